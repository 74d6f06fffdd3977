"""`trials.csv`, and what it has in common with `history.csv`: rows, appended a block at a time.

A block of rows is one write to a file opened for appending, so that a reader, or a kill -9, sees
whole blocks. Trials end in any order: their rows stand in the order in which they ended until the
end of a session, which sorts them by number. Missing values are empty cells, floats are written
with `repr` (the shortest text that reads back as the same number), lists as JSON.
"""

from __future__ import annotations

import csv
import io
import itertools
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any

from dltune.errors import RunFolderError
from dltune.recipe.whole_file import replace_file
from dltune.runs.about import FORMAT
from dltune.runs.spreadsheet import set_aside
from dltune.training.history import TrialRecord

if TYPE_CHECKING:  # whoever only reads a run needs no schema
    from dltune.recipe.recipe import Recipe

EXAMPLES_COLUMNS = {
    f"{split}_examples": split for split in ("train", "dev", "test", "train_dev", "curve")
}
RESULT_COLUMNS = (
    "trial",
    "state",
    "reason",
    "objective",
    "best_epoch",
    "epochs",
    "train_error",
    "dev_error",
    "test_error",
    "train_loss",
    "dev_loss",
    "test_loss",
    "train_dev_error",
    *EXAMPLES_COLUMNS,
    "parameters",
    "seconds",
    "seed",
    "format",
)
# Those that a record has under the same names; the trial is its `number`.
RESULT_FIELDS = [name for name in RESULT_COLUMNS if name in TrialRecord.__dataclass_fields__]
WRITTEN_ALIKE = (float, int, NoneType)  # by `cell` and by a CSV writer
TRIALS_START = b"trial,state,"


def cell(value: Any) -> str:
    """One value as text.

    >>> [cell(value) for value in (None, True, 3, 0.1, float("nan"), [64, 32], "two\\nlines")]
    ['', 'true', '3', '0.1', 'nan', '[64, 32]', 'two lines']
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, (list, tuple, dict)):
        return json.dumps(value)
    return " ".join(str(value).splitlines())  # a row stays a line


def trial_row(trial: TrialRecord) -> dict[str, Any]:
    """The cells of one trial by column; without a column for what its config does not have.

    Numbers and None stay as they are: a CSV writer makes the same of them as `cell`.
    """
    row = {name: getattr(trial, name) for name in RESULT_FIELDS}
    row |= {column: trial.examples.get(split) for column, split in EXAMPLES_COLUMNS.items()}
    row |= {"trial": trial.number, "format": FORMAT, **trial.config}
    return {
        name: value if type(value) in WRITTEN_ALIKE else cell(value) for name, value in row.items()
    }


def merge_columns(known: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """All columns: those of the results, then the hyperparameters with each section together.

    Trials of a conditional space differ in their hyperparameters; a new one goes behind the others
    of its section. The order depends on the order of the trials alone.

    >>> merge_columns(["trial", "optim.name", "train.epochs"], [{"trial": "0", "optim.lr": "1"}])
    ('trial', 'optim.name', 'optim.lr', 'train.epochs')
    """
    names = dict.fromkeys([*known, *(name for row in rows for name in row)])
    sections = list(dict.fromkeys(name.partition(".")[0] for name in names if "." in name))
    results = [name for name in names if "." not in name]
    return (
        *results,
        *sorted(
            (name for name in names if "." in name),
            key=lambda name: sections.index(name.partition(".")[0]),
        ),
    )


class TrialsCsv:
    """`trials.csv` of one run folder.

    columns  those of every trial there may be, as `columns_of` gives them.
    """

    def __init__(self, path: Path, columns: Sequence[str] = RESULT_COLUMNS) -> None:
        self._path = path
        self._columns = tuple(columns)

    def rewrite(self, trials: Iterable[TrialRecord]) -> None:
        """Replace the file by these trials, atomically."""
        rows = [trial_row(trial) for trial in trials]
        # An older dltune may have written hyperparameters that there are no longer.
        self._columns = merge_columns(self._columns, rows)
        header = [cell(name) for name in self._columns]
        replace_file(self._path, csv_text([header, *self._cells(rows)]))

    def append(self, trials: Iterable[TrialRecord]) -> None:
        """Add rows in one write."""
        append_block(self._path, csv_text(self._cells(map(trial_row, trials))))

    def _cells(self, rows: Iterable[Mapping[str, Any]]) -> Iterator[list[Any]]:
        return ([row.get(name, "") for name in self._columns] for row in rows)


def columns_of(recipe: Recipe) -> tuple[str, ...]:
    """The columns of `trials.csv` for every trial of a recipe.

    The trials of a conditional space differ in their hyperparameters; every option of every range
    is looked at, so that the columns do not depend on which trials there are.
    """
    from dltune.recipe.schema import flatten
    from dltune.recipe.validation import probes

    configs = [flatten(recipe.config(values)) for values in probes(recipe.space)]
    return merge_columns(RESULT_COLUMNS, configs)


def set_aside_changed(path: Path) -> list[str]:
    """Keep a `trials.csv` that another program has saved under another name.

    Returns a line that says so; none if the file is dltune's own.
    """
    header = path.read_bytes().partition(b"\n")[0] if path.is_file() else b""
    is_ours = header[: len(TRIALS_START)] == TRIALS_START[: len(header)] and b"\r" not in header
    return [] if is_ours else [set_aside(path)]


def sort_rows(path: Path) -> None:
    """Put the rows of `trials.csv` or `history.csv` in order of trial, atomically.

    The rows of one trial keep their order. Nothing is written if all are in order already.

    Raises RunFolderError if the file is damaged.
    """
    header, *rows = whole_lines(text_of(path))
    try:
        numbers = list(map(trial_of, rows))
    except ValueError:  # another program has saved it since: the next opening sees to that
        return
    if any(number > following for number, following in itertools.pairwise(numbers)):
        replace_file(path, "".join([header, *sorted(rows, key=trial_of)]))


def trial_of(line: str) -> int:
    """The trial that a line of either file is about.

    >>> trial_of("12,complete,,0.25")
    12
    """
    return int(line.partition(",")[0])


def text_of(path: Path) -> str:
    """The text of a file, line ends as they are; empty where there is none.

    Raises RunFolderError if it is no UTF-8.
    """
    try:
        return path.read_bytes().decode() if path.exists() else ""
    except UnicodeDecodeError as problem:
        raise damaged(path, str(problem)) from None


def whole_lines(text: str) -> list[str]:
    """The lines of a text, each with its end, without a last one that has none."""
    return [line + "\n" for line in text.split("\n")[:-1]]


def damaged(path: Path, problem: str) -> RunFolderError:
    """What to raise where one of the files cannot be read."""
    return RunFolderError(
        f"{path}: damaged ({problem})",
        hint=f"Move {path.name} away: the run works without the epochs of the trials so far.",
    )


def csv_text(rows: Iterable[Iterable[Any]]) -> str:
    """Rows as CSV lines.

    >>> csv_text([["trial", "reason"], ["0", "too big, sorry"]])
    'trial,reason\\n0,"too big, sorry"\\n'
    """
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    return buffer.getvalue()


def append_block(path: Path, text: str, *, sync: bool = False) -> None:
    """Append text in one write."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)
    try:
        left = text.encode(errors="backslashreplace")  # of a path that is no UTF-8
        while left:  # more than one turn only on a full disk or a signal
            left = left[os.write(descriptor, left) :]
        if sync:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
