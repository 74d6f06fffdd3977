"""Building one column from pieces of a file, in the memory of the finished column.

A piece is tried as numbers at once; only where that fails are its distinct texts looked at. Numbers
go straight into one array, of float64 or, where that would not hold their digits, of 64-bit
integers; texts go into four-byte codes.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from dltune.data.numbers import INTEGERS, beyond_whole, from_python, holds, is_whole
from dltune.data.raw import MISSING_CODE, Column, NumericColumn, text_column
from dltune.data.sources.cells import CODE, is_missing, is_missing_number, number_in

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
    as_text   keep every cell as a category, whatever it holds.
    labels    look for codes, such as "01", which are other labels than 1.

    rounded   there was a whole number whose last digits the array of numbers does not hold.
    code      the first code found, or None.
    """

    def __init__(
        self, name: str, *, rows: int, as_text: bool = False, labels: bool = False
    ) -> None:
        self.name = name
        self.counts = Counts()
        self.as_text = as_text
        self.rounded = False
        self.code: str | None = None
        self._labels = labels
        self._length = 0
        self._codes_by_text: dict[str, int] = {}
        self._kept: NDArray[Any] = np.empty(rows, dtype=np.int32 if as_text else np.float64)

    def append(self, cells: Any) -> None:
        """Add a pyarrow array of strings, the next cells of the file."""
        if self._labels and self.code is None:
            codes = cells.filter(pc.match_substring_regex(cells, CODE))
            self.code = codes[0].as_py() if len(codes) else None
        if not self.as_text and (values := _cast(cells)) is not None:
            self.counts.numbers += len(values)
            self._keep_numbers(values)
            return
        encoded = cells.dictionary_encode()
        texts = encoded.dictionary.to_pylist()
        indices = encoded.indices.to_numpy(zero_copy_only=False)
        numbers = self._count(texts, indices)
        # The first piece decides; a column that turns out otherwise later is read once more.
        if self._length == 0 and self.counts.other > self.counts.numbers and not self.as_text:
            self.as_text = True
            self._kept = np.empty(len(self._kept), dtype=np.int32)
        if self.as_text:
            self._keep(self._to_codes(texts)[indices])
        else:
            self._keep_numbers(numbers[indices])

    @property
    def holds_numbers(self) -> bool:
        """Whether the cells are numbers, but for slips."""
        return self.counts.number_share >= NUMBER_SHARE

    @property
    def holds_whole_numbers(self) -> bool:
        """Whether the cells are numbers and all of them whole."""
        return not self.as_text and is_whole(self._kept[: self._length])

    def finish(self) -> Column:
        """The column; numbers that are missing or slips are NaN."""
        kept = self._kept[: self._length]
        if self.as_text:
            return text_column(self.name, kept, list(self._codes_by_text))
        return NumericColumn(name=self.name, values=kept)

    def _count(self, texts: list[str], indices: NDArray[Any]) -> NDArray[Any]:
        """Count numbers, missing and other texts; return their numbers, NaN for none."""
        numbers: list[float] = [np.nan] * len(texts)
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
        exact = from_python(numbers)
        if exact is not None and exact.dtype in INTEGERS and beyond_whole(exact):
            return exact
        rounded = np.array(numbers, dtype=np.float64)
        self.rounded |= any(
            isinstance(number, int) and number != held
            for number, held in zip(numbers, rounded.tolist(), strict=True)
        )
        return rounded

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

    def _keep_numbers(self, values: NDArray[Any]) -> None:
        """Keep numbers; the array changes its type where only another holds all their digits."""
        so_far = self._kept[: self._length]
        types = (so_far.dtype, *INTEGERS) if not self.rounded else ()
        dtype = next((t for t in types if holds(t, values) and holds(t, so_far)), None)
        if dtype is None:
            self.rounded, dtype = True, np.dtype(np.float64)
        if dtype != so_far.dtype:
            self._kept = np.empty(len(self._kept), dtype=dtype)
            self._kept[: self._length] = so_far
        self._keep(values)

    def _keep(self, values: NDArray[Any]) -> None:
        end = self._length + len(values)
        if end > len(self._kept):
            # Half as much again: few copies, and memory that is never written to is never used.
            grown = np.empty(max(end, len(self._kept) * 3 // 2), dtype=self._kept.dtype)
            grown[: self._length] = self._kept[: self._length]
            self._kept = grown
        self._kept[self._length : end] = values
        self._length = end


def _cast(cells: Any) -> NDArray[Any] | None:
    """Cells that are all numbers, as float64 or 64-bit integers; None for others."""
    try:
        values: NDArray[Any] = pc.cast(cells, pa.float64()).to_numpy(zero_copy_only=False)
    except pa.ArrowInvalid:
        return None
    if not beyond_whole(values):
        return values
    for dtype in (pa.int64(), pa.uint64()):
        try:
            return pc.cast(cells, dtype).to_numpy(zero_copy_only=False)  # type: ignore[no-any-return]
        except pa.ArrowInvalid:
            continue
    return None  # looked at one by one, which tells whether digits are lost
