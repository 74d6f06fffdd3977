"""What must hold of the values before anything is fitted to them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dltune.data.commas import MOSTLY, comma_complaint
from dltune.data.complaints import COLUMNS_NAMED, OR_LEAVE_OUT, Complaint, refuse
from dltune.data.dataset import Examples
from dltune.data.memory import fits_one_hot
from dltune.data.numbers import beyond_float32
from dltune.data.raw import MISSING_CODE, Column, NumericColumn, RawData, TextColumn
from dltune.data.scaling import row_blocks
from dltune.data.selection import categorical_hint
from dltune.data.sources.cells import is_date_or_time
from dltune.data.transforms import MANY_CATEGORIES
from dltune.errors import DataError, escaped
from dltune.recipe.schema import DataConfig

MISSING = "no value (empty or NaN)"
BEYOND = "infinite, or beyond the 3.4e38 that float32 holds"

FEW_CATEGORIES = 20
"""So many categories are never too many, however few the rows."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class BadCells:
    """The cells of one column that no training can use."""

    name: str
    count: int
    first: int


def check_values(raw: RawData, config: DataConfig) -> None:
    """Raise DataError for missing and infinite values, and for texts that are no categories.

    The error names the first such cell by row and column, and counts the others. All columns that
    cannot be used are in one error, with what leaves all of them out.
    """
    if raw.rows < 2:
        raise DataError(
            f"{raw.origin}: has a single example; a training and a dev set need one each",
            hint="Check that the data was written to its end.",
        )
    for target in raw.targets:
        _check_target(target, raw)
    if isinstance(raw.features, np.ndarray):
        _check_array(raw.features, raw)
        return
    complaints = [*raw.complaints, *_missing_cells(raw), *_infinite_cells(raw)]
    for column in raw.features:
        if isinstance(column, TextColumn) and column.name not in raw.forced:
            complaint = next(filter(None, (find(column, raw) for find in KINDS)), None)
            complaints += [complaint] if complaint else []
    if complaints:
        names = {name for complaint in complaints for name in complaint.columns}
        read = {column.name for column in raw.features}
        raise refuse(complaints, dropped=config.drop, left=len(read - names))


def check_scaled(
    examples: Mapping[str, Examples],
    splits: Mapping[str, NDArray[np.int64]],
    raw: RawData,
    names: Sequence[str],
) -> None:
    """Raise DataError for values so far from those in train that scaled by them they are infinite.

    splits  rows by split.
    names   one a column; empty for shaped data.
    """
    for split, part in examples.items():
        for values, what in ((part.features, names), (part.targets, ())):
            if values.dtype.kind != "f" or np.isfinite(values.sum(dtype=np.float64)):
                continue
            infinite = ~np.isfinite(values)
            row, *index = (int(place) for place in np.argwhere(infinite)[0])
            name = what[index[0]] if what else "y" if values is part.targets else "X"
            count = int(infinite.sum())
            key = "normalize_target" if values is part.targets else "normalize"
            others = f"there are {count:,} such values" if count > 1 else "it is the only one"
            raise DataError(
                f"{raw.origin}, {raw.places.of([int(splits[split][row])])[0]}, {name}: so far from "
                f"the values in train that float32 cannot hold it as scaled by them; {others}",
                hint=f"Mend {'these cells' if count > 1 else 'it'}, or try --set data.{key}=none.",
            )


def _check_target(target: Column, raw: RawData) -> None:
    for bad, what in ((_missing(target), MISSING), (_infinite(target), BEYOND)):
        if bad is None:
            continue
        if bad.count == raw.rows and what is MISSING:
            raise DataError(
                f"{raw.origin}, column {bad.name!r}: no value in any of its {raw.rows:,} rows",
                hint=f"{raw.another_target}.",
            )
        words = "missing value" if what is MISSING else "such value"
        cells, rows = _cells_and_rows(bad.count)
        raise DataError(
            f"{_place(bad, raw)}: {what}; {_summary([bad], words)}",
            hint=f"Fill {cells}, or delete {rows}.",
        )
    if not isinstance(target, TextColumn):
        return
    if (dates := _dates(target, raw)) is not None:
        raise DataError(dates.found, hint=f"{raw.another_target}.")
    if (commas := comma_complaint(target, raw)) is not None:
        raise DataError(commas.found, hint=f"{commas.mend}.")


def _missing_cells(raw: RawData) -> list[Complaint]:
    found = [bad for column in raw.features if (bad := _missing(column)) is not None]
    empty = {bad.name: "no value" for bad in found if bad.count == raw.rows}
    found = [bad for bad in found if bad.name not in empty]
    complaints = [_cells_complaint(found, raw, MISSING, "missing value")] if found else []
    if empty:
        first = next(iter(empty))
        complaints.append(
            Complaint(
                found=f"{raw.origin}, column {first!r}: no value in any of its {raw.rows:,} rows",
                columns=empty,
            )
        )
    return complaints


def _infinite_cells(raw: RawData) -> list[Complaint]:
    found = [bad for column in raw.features if (bad := _infinite(column)) is not None]
    return [_cells_complaint(found, raw, BEYOND, "such value")] if found else []


def _cells_complaint(found: list[BadCells], raw: RawData, what: str, words: str) -> Complaint:
    cells, rows = _cells_and_rows(sum(bad.count for bad in found))
    kind = "missing" if what is MISSING else "infinite"
    return Complaint(
        found=f"{_place(min(found, key=lambda bad: bad.first), raw)}: {what}; "
        f"{_summary(found, words)}",
        columns={bad.name: f"{bad.count:,} {kind}" for bad in found},
        mend=f"Fill {cells} or delete {rows}",
        link=OR_LEAVE_OUT,
    )


def _missing(column: Column) -> BadCells | None:
    if isinstance(column, NumericColumn):
        return _bad(column, np.asarray(np.isnan(column.values)))
    return _bad(column, np.asarray(column.codes == MISSING_CODE))


def _infinite(column: Column) -> BadCells | None:
    if not isinstance(column, NumericColumn):
        return None
    return _bad(column, beyond_float32(column.values))


def _bad(column: Column, mask: NDArray[np.bool_]) -> BadCells | None:
    count = int(np.count_nonzero(mask))
    if count == 0:
        return None
    return BadCells(name=column.name, count=count, first=int(np.argmax(mask)))


def _place(bad: BadCells, raw: RawData) -> str:
    return f"{raw.origin}, {raw.places.of([bad.first])[0]}, column {bad.name!r}"


def _cells_and_rows(count: int) -> tuple[str, str]:
    return ("the cell", "its row") if count == 1 else ("these cells", "their rows")


def _summary(found: list[BadCells], words: str) -> str:
    total = sum(bad.count for bad in found)
    if total == 1:
        return f"it is the only {words}"
    most = sorted(found, key=lambda bad: -bad.count)
    named = ", ".join(f"{escaped(bad.name)} {bad.count:,}" for bad in most[:COLUMNS_NAMED])
    more = f", {len(found) - COLUMNS_NAMED:,} more columns" if len(found) > COLUMNS_NAMED else ""
    return f"there are {total:,} {words}s ({named}{more})"


def _check_array(array: NDArray[Any], raw: RawData) -> None:
    count, first = 0, None
    for block in row_blocks(len(array), array.shape[1:]):
        finite = ~(np.isnan(array[block]) | beyond_float32(array[block]))
        if finite.all():
            continue
        count += int(finite.size - np.count_nonzero(finite))
        if first is None:
            inside = np.unravel_index(int(np.argmin(finite)), finite.shape)
            first = (block.start + int(inside[0]), *(int(index) for index in inside[1:]))
    if first is None:
        return
    value = array[first]
    index = ", ".join(["..."] if not first[1:] else [str(position) for position in first[1:]])
    kind = "NaN" if np.isnan(value) else BEYOND
    total = "it is the only such value" if count == 1 else f"there are {count:,} NaN or infinite"
    raise DataError(
        f"{raw.origin}, X, {raw.places.of([first[0]])[0]}, at [{index}]: {kind}; {total}",
        hint="Fill it, or leave the example out of X and y: "
        "X[numpy.isfinite(X.astype('float32').reshape(len(X), -1)).all(1)].",
    )


def _dates(column: TextColumn, raw: RawData) -> Complaint | None:
    filled = np.flatnonzero(column.codes != MISSING_CODE)
    counts = np.bincount(column.codes[filled], minlength=len(column.categories))
    dates = np.array([is_date_or_time(text) for text in column.categories], dtype=bool)
    if not len(filled) or counts[dates].sum() < MOSTLY * len(filled):
        return None
    row = int(filled[0])
    example = f"{column.categories[column.codes[row]]!r} on {raw.places.of([row])[0]}"
    return Complaint(
        found=f"{raw.origin}, column {column.name!r}: holds dates or times ({example}), which are "
        "neither numbers nor categories",
        columns={column.name: "dates or times"},
        mend="Turn them into a number, such as days since the first",
        link=", or: ",
        instead=f", or {categorical_hint([column.name], raw.forced)}",
    )


def _cardinality(column: TextColumn, raw: RawData) -> Complaint | None:
    distinct = len(column.categories)
    unique = distinct > FEW_CATEGORIES and distinct > raw.rows / 2
    if not unique and distinct <= MANY_CATEGORIES:
        return None
    fits = fits_one_hot(raw.rows, distinct)
    return Complaint(
        found=f"{raw.origin}, column {column.name!r}: {distinct:,} different texts in "
        f"{raw.rows:,} rows; as categories they would be learned by heart"
        + ("" if fits else ", and take more memory than there is"),
        columns={column.name: f"{distinct:,} different texts"},
        link="Leave it out or insist: " if fits else "Leave it out: ",
        instead=f", or {categorical_hint([column.name], raw.forced)}" if fits else "",
    )


KINDS = (_dates, comma_complaint, _cardinality)
"""What texts may be other than categories; the first that fits is told."""
