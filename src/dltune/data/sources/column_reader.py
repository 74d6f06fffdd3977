"""Building one column from pieces of a file, in the memory of the finished column.

A piece is tried as numbers at once; only where that fails are its distinct texts looked at. Numbers
go straight into one array of their final type, texts into four-byte codes.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import DTypeLike, NDArray

from dltune.data.raw import MISSING_CODE, Column, NumericColumn, text_column
from dltune.data.sources.cells import is_missing, is_missing_number, number_in

NUMBER_SHARE = 0.95
"""From this share of numbers on, a cell that is none is a slip and not a category."""

STRAYS_KEPT = 3
"""Cells named in an error: enough to see the pattern."""


@dataclasses.dataclass(kw_only=True)
class Counts:
    """How many cells were numbers, empty, or other texts, and the first texts among them."""

    numbers: int = 0
    missing: int = 0
    other: int = 0
    odd: int = 0
    strays: list[tuple[int, str]] = dataclasses.field(default_factory=list)

    @property
    def number_share(self) -> float:
        """Share of numbers among the cells that hold something; 1 if none does."""
        filled = self.numbers + self.other
        return self.numbers / filled if filled else 1.0


class ColumnReader:
    """Collects the cells of one column.

    rows      a good guess of how many rows will come; more are welcome.
    dtype     of the numbers.
    as_text   keep every cell as a category, whatever it holds.
    """

    def __init__(self, name: str, *, rows: int, dtype: DTypeLike, as_text: bool = False) -> None:
        self.name = name
        self.counts = Counts()
        self.as_text = as_text
        self._length = 0
        self._codes_by_text: dict[str, int] = {}
        self._kept: NDArray[Any] = np.empty(rows, dtype=np.int32 if as_text else dtype)

    def append(self, cells: Any) -> None:
        """Add a pyarrow array of strings, the next cells of the file."""
        if not self.as_text:
            try:
                values = pc.cast(cells, pa.float64()).to_numpy(zero_copy_only=False)
            except pa.ArrowInvalid:
                pass
            else:
                self.counts.numbers += len(values)
                self._keep(values)
                return
        encoded = cells.dictionary_encode()
        texts = encoded.dictionary.to_pylist()
        indices = encoded.indices.to_numpy(zero_copy_only=False)
        numbers = self._count(texts, indices)
        # The first piece decides; a column that turns out otherwise later is read once more.
        if self._length == 0 and self.counts.other > self.counts.numbers and not self.as_text:
            self.as_text = True
            self._kept = np.empty(len(self._kept), dtype=np.int32)
        self._keep((self._to_codes(texts) if self.as_text else numbers)[indices])

    @property
    def holds_numbers(self) -> bool:
        """Whether the cells are numbers, but for slips."""
        return self.counts.number_share >= NUMBER_SHARE

    def finish(self) -> Column:
        """The column; numbers that are missing or slips are NaN."""
        kept = self._kept[: self._length]
        if self.as_text:
            return text_column(self.name, kept, list(self._codes_by_text))
        return NumericColumn(name=self.name, values=kept)

    def _count(self, texts: list[str], indices: NDArray[Any]) -> NDArray[np.float64]:
        """Count numbers, missing and other texts; return their numbers, NaN for none."""
        numbers = np.full(len(texts), np.nan)
        filled = np.zeros(len(texts), dtype=bool)  # holds a text that is no number
        times = np.bincount(indices, minlength=len(texts))
        for index, text in enumerate(texts):
            number = None if is_missing(text) else number_in(text)
            if number is not None:
                numbers[index] = number
                self.counts.numbers += int(times[index])
            elif is_missing_number(text):
                self.counts.missing += int(times[index])
                filled[index] = bool(text.strip())
            else:
                self.counts.other += int(times[index])
                filled[index] = True
        odd = np.flatnonzero(filled[indices])
        self.counts.odd += len(odd)
        for row in odd[: STRAYS_KEPT - len(self.counts.strays)]:
            self.counts.strays.append((self._length + int(row), texts[indices[row]]))
        return numbers

    def _to_codes(self, texts: list[str]) -> NDArray[np.int32]:
        codes = np.empty(len(texts), dtype=np.int32)
        for index, text in enumerate(texts):
            word = text.strip()
            codes[index] = (
                MISSING_CODE
                if is_missing(word)
                else self._codes_by_text.setdefault(word, len(self._codes_by_text))
            )
        return codes

    def _keep(self, values: NDArray[Any]) -> None:
        end = self._length + len(values)
        if end > len(self._kept):
            # Half as much again: few copies, and memory that is never written to is never used.
            grown = np.empty(max(end, len(self._kept) * 3 // 2), dtype=self._kept.dtype)
            grown[: self._length] = self._kept[: self._length]
            self._kept = grown
        with np.errstate(over="ignore"):  # beyond float32 becomes inf, which the checks report
            self._kept[self._length : end] = values
        self._length = end
