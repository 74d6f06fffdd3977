"""What a source gives: columns or an array with the targets, before anything is fitted."""

from __future__ import annotations

import bisect
import dataclasses
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dltune.data.complaints import Complaint
from dltune.data.dataset import Task

MISSING_CODE = -1
"""The code of a cell of a text column that is empty."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class NumericColumn:
    """A column of numbers, in a type that holds all their digits; NaN where missing.

    values  (rows,), of any type of integers or floats up to 64 bits.
    """

    name: str
    values: NDArray[Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class TextColumn:
    """A column of categories: four bytes a row, whatever the length of the texts.

    codes       int32 (rows,), an index into `categories`; MISSING_CODE where the cell is empty.
    categories  the distinct texts, in their final order.
    """

    name: str
    codes: NDArray[np.int32]
    categories: tuple[str, ...]


Column = NumericColumn | TextColumn


class Places(Protocol):
    """Says where a row is, in the words of its source."""

    def of(self, rows: Sequence[int]) -> list[str]:
        """The places of rows (counted from 0), such as "line 2" for row 0 of a CSV file."""
        ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class RowPlaces:
    """Rows counted from 1, within a split where the source gives splits.

    starts  the first row of every given split, ascending; empty if nothing is given.

    >>> RowPlaces().of([0, 41])
    ['row 1', 'row 42']
    >>> RowPlaces(starts={"train": 0, "dev": 40}).of([41])
    ['row 2 of dev']
    """

    starts: Mapping[str, int] = dataclasses.field(default_factory=dict)

    def of(self, rows: Sequence[int]) -> list[str]:
        if not self.starts:
            return [f"row {row + 1:,}" for row in rows]
        names, firsts = list(self.starts), list(self.starts.values())
        places = []
        for row in rows:
            split = bisect.bisect_right(firsts, row) - 1
            places.append(f"row {row - firsts[split] + 1:,} of {names[split]}")
        return places


@dataclasses.dataclass(frozen=True, kw_only=True)
class RawData:
    """The contents of a source.

    name        short name, for notes.
    origin      what the user typed, the beginning of every error.
    features    columns, or one array (rows, ...) of numbers.
    targets     one column; several for a regression with several outputs.
    task        what the source itself knows of the task, or None.
    given       rows of the splits that the source brings; None if it brings none.
    forced      columns that the user calls categorical, exempt from the checks of categories.
    complaints  of columns that the reader could not read, which are not in `features`.
    target_key  whether `data.target` names the target, so that another can be named.
    delimiter   between the cells of a CSV file; None for other sources.
    """

    name: str
    origin: str
    features: tuple[Column, ...] | NDArray[Any]
    targets: tuple[Column, ...]
    places: Places = dataclasses.field(default_factory=RowPlaces)
    task: Task | None = None
    given: Mapping[str, NDArray[np.int64]] | None = None
    forced: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()
    complaints: tuple[Complaint, ...] = ()
    target_key: bool = False
    delimiter: str | None = None

    @property
    def another_target(self) -> str:
        """What to do about a target that cannot be learned, where the target is named."""
        return "Name another column with data.target" if self.target_key else "Give another y"

    @property
    def rows(self) -> int:
        """Number of examples, of all splits together."""
        return column_length(self.targets[0])

    def digest(self) -> str:
        """SHA-256 of all values, names and given splits, in hexadecimal digits."""
        digest = hashlib.sha256()
        array = isinstance(self.features, np.ndarray)
        columns = self.targets if array else (*self.features, *self.targets)
        for column in columns:
            values = column.values if isinstance(column, NumericColumn) else column.codes
            texts = () if isinstance(column, NumericColumn) else column.categories
            digest.update(repr((column.name, texts, values.dtype.str, values.shape)).encode())
            digest.update(np.ascontiguousarray(values).data)
        arrays = {"features": self.features} if isinstance(self.features, np.ndarray) else {}
        for name, values in {**arrays, **(self.given or {})}.items():
            digest.update(repr((name, values.dtype.str, values.shape)).encode())
            digest.update(np.ascontiguousarray(values).data)
        return digest.hexdigest()


def column_length(column: Column) -> int:
    """Number of rows of a column of either kind."""
    return len(column.values if isinstance(column, NumericColumn) else column.codes)


def text_column(name: str, codes: NDArray[Any], texts: Sequence[str]) -> TextColumn:
    """A text column whose categories are sorted: by value if all are numbers, else by text.

    codes  (rows,), indices into `texts`, MISSING_CODE where missing.

    >>> column = text_column("rooms", np.array([0, 1, 2, 1]), ["10", "9", "2"])
    >>> column.categories, column.codes.tolist()
    (('2', '9', '10'), [2, 1, 0, 1])
    """
    order = sort_categories(texts)
    # One slot more, at the end, so that MISSING_CODE maps to itself.
    new_code = np.full(len(texts) + 1, MISSING_CODE, dtype=np.int32)
    position = {text: index for index, text in enumerate(order)}
    new_code[: len(texts)] = [position[text] for text in texts]
    return TextColumn(name=name, codes=new_code[codes], categories=tuple(order))


def sort_categories(texts: Iterable[str]) -> list[str]:
    """The distinct texts, by value if all of them are finite numbers, else alphabetically.

    >>> sort_categories(["9", "1e1", "9007199254740993", "9007199254740992"])
    ['9', '1e1', '9007199254740992', '9007199254740993']
    """
    distinct = sorted(set(texts))
    try:
        numbers = {text: _value(text) for text in distinct}
    except ValueError:
        return distinct
    if not all(abs(number) < np.inf for number in numbers.values()):
        return distinct
    return sorted(distinct, key=lambda text: (numbers[text], text))


def _value(text: str) -> float:
    try:
        return int(text)  # exact, however large
    except ValueError:
        return float(text)


def text_from_numbers(name: str, values: NDArray[Any]) -> TextColumn:
    """A column of numbers read as categories, in the order of the numbers; NaN is missing.

    >>> text_from_numbers("floor", np.array([10.0, 2.0, np.nan])).categories
    ('2', '10')
    """
    distinct, codes = np.unique(values, return_inverse=True)
    codes[np.isnan(values)] = MISSING_CODE
    texts = tuple(number_text(number) for number in distinct if not np.isnan(number))
    return TextColumn(name=name, codes=codes.astype(np.int32), categories=texts)


def number_text(number: Any) -> str:
    """A number as a category's name, with all its digits: whole numbers without a point.

    >>> number_text(3.0), number_text(0.5), number_text(np.int64(2**53 + 1)), number_text(1e300)
    ('3', '0.5', '9007199254740993', '1e+300')
    """
    if isinstance(number, np.integer):
        return str(number)
    return str(number + 0.0).removesuffix(".0")  # + 0.0: no minus before a zero
