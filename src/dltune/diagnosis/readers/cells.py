"""Cells of a run's CSV: text to values, with errors that name the place."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

from dltune.errors import RunFolderError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Line:
    """One line of a table: its cells by column, and where it stands.

    >>> Line(file=Path("trials.csv"), number=2, cells={"epochs": "20"}).whole("epochs")
    20
    """

    file: Path
    number: int
    cells: dict[str, str]

    def refuse(self, column: str, must_hold: str) -> RunFolderError:
        """An error that names this line, the column and its text."""
        place = f"{self.file}, line {self.number}, column {column}"
        return RunFolderError(
            f"{place} is {self.cells[column]!r}: {must_hold}",
            hint=f"Mend the cell, or take line {self.number} out of the file.",
        )

    def number_or_none(self, column: str) -> float | None:
        """A finite number; None for an empty cell, NaN or an infinity."""
        text = self.cells[column].strip()
        if not text:
            return None
        try:
            value = float(text)
        except ValueError:
            raise self.refuse(column, "a number or an empty cell is needed") from None
        return value if math.isfinite(value) else None

    def whole(self, column: str, *, at_least: int = 0) -> int | None:
        """A whole number; None for an empty cell."""
        value = self.number_or_none(column)
        if value is None:
            return None
        if value != int(value) or value < at_least:
            raise self.refuse(column, f"a whole number, at least {at_least}, is needed")
        return int(value)

    def error(self, column: str) -> float | None:
        """An error, 0 or more; None for an empty cell, NaN or an infinity."""
        value = self.number_or_none(column)
        if value is not None and value < 0:
            raise self.refuse(column, "an error is 0 or more")
        return value


def setting(text: str) -> Any:
    """The value of a hyperparameter's cell: a number, a list, true or false, text; None if empty.

    >>> setting("[128, 64]"), setting("0.1"), setting("True"), setting("relu"), setting("")
    ([128, 64], 0.1, True, 'relu', None)
    """
    text = text.strip()
    if not text:
        return None
    if text in ("True", "False"):
        return text == "True"
    try:
        return json.loads(text)
    except ValueError:
        return text
