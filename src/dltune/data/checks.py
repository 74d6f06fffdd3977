"""What must hold of the values before anything is fitted to them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dltune.data.dataset import Examples
from dltune.data.numbers import beyond_float32
from dltune.data.raw import MISSING_CODE, Column, NumericColumn, RawData, TextColumn
from dltune.data.scaling import row_blocks
from dltune.data.selection import drop_hint, set_option
from dltune.data.sources.cells import has_decimal_comma, is_date_or_time
from dltune.errors import DataError

COLUMNS_NAMED = 4
"""Columns named with their counts in one message: about a line of a terminal."""

MOSTLY = 0.95
"""Share of a column's cells that decides what kind of text it holds; as for numbers in a CSV."""

FEW_CATEGORIES = 20
"""So many categories are never too many, however few the rows."""

MANY_CATEGORIES = 1000
"""More than this many columns out of one: 4 kB an example, and too few examples of each."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class BadCells:
    """The cells of one column that no training can use."""

    name: str
    count: int
    first: int


def check_values(raw: RawData) -> None:
    """Raise DataError for missing and infinite values, and for texts that are no categories.

    The error names the first such cell by row and column, and counts the others.
    """
    if raw.rows < 2:
        raise DataError(
            f"{raw.origin}: has a single example; a training and a dev set need one each",
            hint="Check that the data was written to its end.",
        )
    for target in raw.targets:
        _check_finite([target], raw, is_target=True)
        if isinstance(target, TextColumn):
            _check_text_kind(target, raw, is_target=True)
    if isinstance(raw.features, np.ndarray):
        _check_array(raw.features, raw)
        return
    _check_finite(raw.features, raw, is_target=False)
    for column in raw.features:
        if isinstance(column, TextColumn) and column.name not in raw.forced:
            _check_text_kind(column, raw, is_target=False)
            _check_cardinality(column, raw)


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


def _check_finite(columns: Any, raw: RawData, *, is_target: bool) -> None:
    missing = [bad for column in columns if (bad := _bad(column, _missing(column))) is not None]
    if missing:
        raise _missing_error(missing, raw, is_target=is_target)
    infinite = [
        bad
        for column in columns
        if isinstance(column, NumericColumn)
        and (bad := _bad(column, beyond_float32(column.values))) is not None
    ]
    if infinite:
        first = min(infinite, key=lambda bad: bad.first)
        place = raw.places.of([first.first])[0]
        raise DataError(
            f"{raw.origin}, {place}, column {first.name!r}: infinite, or beyond the 3.4e38 that "
            f"float32 holds; {_summary(infinite, 'such value', 'such values')}",
            hint=_mend_hint(infinite, is_target=is_target),
        )


def _missing(column: Column) -> NDArray[np.bool_]:
    if isinstance(column, NumericColumn):
        return np.asarray(np.isnan(column.values))
    return np.asarray(column.codes == MISSING_CODE)


def _bad(column: Column, mask: NDArray[np.bool_]) -> BadCells | None:
    count = int(np.count_nonzero(mask))
    if count == 0:
        return None
    return BadCells(name=column.name, count=count, first=int(np.argmax(mask)))


def _missing_error(missing: list[BadCells], raw: RawData, *, is_target: bool) -> DataError:
    first = min(missing, key=lambda bad: bad.first)
    if first.count == raw.rows:
        return DataError(
            f"{raw.origin}, column {first.name!r}: no value in any of its {raw.rows:,} rows",
            hint=f"Leave it out: {drop_hint([first.name])}."
            if not is_target
            else "Name another column with data.target.",
        )
    place = raw.places.of([first.first])[0]
    return DataError(
        f"{raw.origin}, {place}, column {first.name!r}: no value (empty or NaN); "
        f"{_summary(missing, 'missing value', 'missing values')}",
        hint=_mend_hint(missing, is_target=is_target),
    )


def _summary(bad: list[BadCells], one: str, many: str) -> str:
    total = sum(cells.count for cells in bad)
    if total == 1:
        return f"it is the only {one}"
    most = sorted(bad, key=lambda cells: -cells.count)
    named = ", ".join(f"{cells.name} {cells.count:,}" for cells in most[:COLUMNS_NAMED])
    more = f", {len(bad) - COLUMNS_NAMED:,} more columns" if len(bad) > COLUMNS_NAMED else ""
    return f"there are {total:,} {many} ({named}{more})"


def _mend_hint(bad: list[BadCells], *, is_target: bool) -> str:
    one = sum(cells.count for cells in bad) == 1
    cells, rows = ("the cell", "its row") if one else ("these cells", "their rows")
    if is_target:
        return f"Fill {cells}, or delete {rows}."
    columns = "column" if len(bad) == 1 else "columns"
    names = [cells.name for cells in bad]
    return f"Fill {cells} or delete {rows}, or leave the {columns} out: {drop_hint(names)}."


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
    kind = "NaN" if np.isnan(value) else "infinite, or beyond the 3.4e38 that float32 holds"
    total = "it is the only such value" if count == 1 else f"there are {count:,} NaN or infinite"
    raise DataError(
        f"{raw.origin}, X, {raw.places.of([first[0]])[0]}, at [{index}]: {kind}; {total}",
        hint="Fill it, or leave the example out: X[numpy.isfinite(X.reshape(len(X), -1)).all(1)].",
    )


def _share(column: TextColumn, holds: Any) -> float:
    """Share of the cells whose text is of a kind."""
    counts = np.bincount(column.codes, minlength=len(column.categories))
    such = np.array([holds(text) for text in column.categories], dtype=bool)
    return float(counts[such].sum() / max(1, counts.sum()))


def _check_text_kind(column: TextColumn, raw: RawData, *, is_target: bool) -> None:
    place = raw.places.of([0])[0]
    example = f"{column.categories[column.codes[0]]!r} on {place}"
    if _share(column, has_decimal_comma) >= MOSTLY:
        raise DataError(
            f"{raw.origin}, column {column.name!r}: writes numbers with commas ({example}); a "
            "decimal point must stand there",
            hint="Write the file anew: "
            "pandas.read_csv(path, sep=None, decimal=',').to_csv(path, index=False).",
        )
    if _share(column, is_date_or_time) >= MOSTLY:
        other = "Name another column with data.target." if is_target else _instead(column.name)
        raise DataError(
            f"{raw.origin}, column {column.name!r}: holds dates or times ({example}), which are "
            "neither numbers nor categories",
            hint=f"Turn them into a number, such as days since the first, or: {other}"
            if not is_target
            else other,
        )


def _check_cardinality(column: TextColumn, raw: RawData) -> None:
    distinct = len(column.categories)
    unique = distinct > FEW_CATEGORIES and distinct > raw.rows / 2
    if unique or distinct > MANY_CATEGORIES:
        raise DataError(
            f"{raw.origin}, column {column.name!r}: {distinct:,} different texts in {raw.rows:,} "
            "rows; as categories they would be learned by heart",
            hint=f"Leave it out or insist: {_instead(column.name)}",
        )


def _instead(name: str) -> str:
    return f"{drop_hint([name])}, or {set_option('categorical', [name])}."
