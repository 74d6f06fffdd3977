"""Scaling and one-hot encoding, fitted on the training set and applied to every split."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dltune.data.complaints import COLUMNS_NAMED
from dltune.data.memory import FLOAT32_BYTES, refuse_too_large
from dltune.data.raw import Column, NumericColumn, TextColumn
from dltune.data.scaling import Normalize, Scaling, fit_scaling, row_blocks
from dltune.data.selection import drop_hint, shorten_names
from dltune.data.sources.cells import is_missing_number

Rows = NDArray[np.int64]

OTHER = "(other)"
"""Name of the slot for categories that the training set does not have."""

IMAGE_CHANNELS = (1, 3, 4)
"""Grey, RGB, RGB with transparency."""

MANY_CATEGORIES = 1000
"""More columns than this out of one: 4 kB an example, and too few examples of each."""

FEWEST_TO_COUNT = 20
"""Rows from which on a column 1, 2, 3, ... is no chance."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Encoded:
    """The features of every split.

    features  by split, float32 (n, *shape).
    names     one a column; empty for shaped data.
    """

    features: dict[str, NDArray[np.float32]]
    names: tuple[str, ...]
    notes: tuple[str, ...]


def encode_features(
    features: tuple[Column, ...] | NDArray[Any],
    splits: Mapping[str, Rows],
    normalize: Normalize,
    *,
    dropped: Sequence[str] = (),
    origin: str = "",
) -> Encoded:
    """Scale numbers and turn categories into columns, by the statistics of `splits["train"]`.

    features   columns, or an array of numbers (n, columns) or (n, channels, ...).
    normalize  zscore: (x - mean) / standard deviation (of n, not n - 1); minmax: (x - min) / (max -
               min), so that train lies in [0, 1] and others may lie outside; none: x.
    dropped    columns that the recipe leaves out, for advice to leave out more.
    origin     what the user typed, for errors.

    A column of k categories in train becomes k + 1 columns of 0 and 1; the last one is for
    categories that train does not have. Categories are never scaled. Images are scaled by channel.
    A column that is constant in train is divided by 1.

    >>> column = NumericColumn(name="a", values=np.array([1.0, 3.0, 5.0]))
    >>> rows = {"train": np.array([0, 1]), "dev": np.array([2])}
    >>> encode_features((column,), rows, "zscore").features["dev"].tolist()
    [[3.0]]

    Raises DataError where categories would take more memory than there is.

    Source: scikit-learn's StandardScaler, MinMaxScaler and OneHotEncoder, which a test compares.
    """
    if isinstance(features, np.ndarray):
        return _encode_array(features, splits, normalize)
    return _encode_columns(features, splits, normalize, dropped, origin)


def _encode_columns(
    columns: tuple[Column, ...],
    splits: Mapping[str, Rows],
    normalize: Normalize,
    dropped: Sequence[str],
    origin: str,
) -> Encoded:
    names, notes = [], _Notes(dropped)
    vocabularies: dict[str, NDArray[Any]] = {}
    for column in columns:
        if isinstance(column, TextColumn):
            seen = np.unique(column.codes[splits["train"]])
            vocabularies[column.name] = seen
    _refuse_too_wide(columns, vocabularies, splits, dropped, origin)
    for column in columns:
        if isinstance(column, TextColumn):
            seen = vocabularies[column.name]
            names += [f"{column.name}={column.categories[code]}" for code in seen]
            names.append(f"{column.name}={OTHER}")
        else:
            names.append(column.name)
    features = {
        split: np.zeros((len(rows), len(names)), dtype=np.float32) for split, rows in splits.items()
    }
    at = 0
    for column in columns:
        if isinstance(column, TextColumn):
            seen = vocabularies[column.name]
            slots = _slots(column, seen)
            for split, rows in splits.items():
                features[split][np.arange(len(rows)), at + slots[column.codes[rows]]] = 1.0
            notes.add_categories(column, seen)
            at += len(seen) + 1
        else:
            _scale_column(column, splits, normalize, features, at, notes)
            at += 1
    return Encoded(features=features, names=tuple(names), notes=notes.sentences())


def _refuse_too_wide(
    columns: tuple[Column, ...],
    vocabularies: Mapping[str, NDArray[Any]],
    splits: Mapping[str, Rows],
    dropped: Sequence[str],
    origin: str,
) -> None:
    """Raise DataError where one-hot columns would take more memory than there is."""
    if not vocabularies:
        return
    rows = sum(len(part) for part in splits.values())
    width = len(columns) + sum(len(seen) for seen in vocabularies.values())
    most = sorted(vocabularies, key=lambda name: -len(vocabularies[name]))
    widest = [name for name in most if len(vocabularies[name]) > MANY_CATEGORIES] or most[:1]
    counts = ", ".join(f"{name} {len(vocabularies[name]):,}" for name in widest[:COLUMNS_NAMED])
    refuse_too_large(
        FLOAT32_BYTES * rows * width,
        f"{origin}: {width:,} columns of {rows:,} rows, one for each category ({counts}),",
        hint="Join rare categories into one in the data, or leave columns out: "
        f"{drop_hint(widest, dropped)}.",
    )


def _slots(column: TextColumn, seen: NDArray[Any]) -> NDArray[np.int64]:
    """The slot of every code: those seen in order, then one for all others."""
    slots = np.full(len(column.categories), len(seen), dtype=np.int64)
    slots[seen] = np.arange(len(seen))
    return slots


def _scale_column(
    column: NumericColumn,
    splits: Mapping[str, Rows],
    normalize: Normalize,
    features: Mapping[str, NDArray[np.float32]],
    at: int,
    notes: _Notes,
) -> None:
    scaling = fit_scaling([column.values[splits["train"]][:, None]], normalize)  # (n,) -> (n, 1)
    notes.add_scaling(scaling, [column.name])
    notes.add_counter(column)
    for split, rows in splits.items():
        features[split][:, at : at + 1] = scaling.apply(column.values[rows][:, None])


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Blocks:
    """The rows of an array as blocks (m, channels), as often as they are asked for."""

    array: NDArray[Any]
    rows: Rows

    def __iter__(self) -> Iterator[NDArray[Any]]:
        for part in row_blocks(len(self.rows), self.array.shape[1:]):
            block = self.array[self.rows[part]]
            # (n, channels, ...) -> (n, ..., channels) -> (m, channels)
            yield np.moveaxis(block, 1, -1).reshape(-1, block.shape[1])


def _encode_array(array: NDArray[Any], splits: Mapping[str, Rows], normalize: Normalize) -> Encoded:
    shape = array.shape[1:]
    flat = len(shape) == 1
    kind = "x" if flat else "channel "
    names = tuple(f"{kind}{index}" for index in range(shape[0]))
    scaling = fit_scaling(_Blocks(array=array, rows=splits["train"]), normalize)
    notes = _Notes(())
    notes.add_scaling(scaling, names)
    if not flat:
        notes.add_shape(shape)
    features = {}
    for split, rows in splits.items():
        out = np.empty((len(rows), *shape), dtype=np.float32)
        for part in row_blocks(len(rows), shape):
            out[part] = scaling.apply(array[rows[part]])
        features[split] = out
    return Encoded(features=features, names=names if flat else (), notes=notes.sentences())


class _Notes:
    """Collects what is worth a sentence: one sentence a kind, not one a column."""

    def __init__(self, dropped: Sequence[str]) -> None:
        self._dropped = dropped
        self._counters: list[str] = []
        self._constant: list[str] = []
        self._coarse: list[str] = []
        self._categories: list[str] = []
        self._other: list[str] = []

    def add_scaling(self, scaling: Scaling, names: Sequence[str]) -> None:
        self._constant += [names[int(index)] for index in np.flatnonzero(scaling.constant)]
        self._coarse += [names[int(index)] for index in np.flatnonzero(scaling.coarse)]

    def add_categories(self, column: TextColumn, seen: NDArray[Any]) -> None:
        self._categories.append(f"{column.name} ({len(seen):,} categories)")
        for word in column.categories:
            if is_missing_number(word):
                self._other.append(
                    f"column {column.name!r}: {word!r} is taken as a category, not as missing"
                )
        unseen = len(np.unique(column.codes)) - len(seen)
        if unseen:
            self._other.append(
                f"column {column.name!r}: {unseen:,} of its categories are not in train and share "
                f"the slot {column.name}={OTHER}"
            )

    def add_counter(self, column: NumericColumn) -> None:
        steps = np.diff(column.values)
        if len(steps) >= FEWEST_TO_COUNT and (steps == 1).all():
            self._counters.append(column.name)

    def add_shape(self, shape: tuple[int, ...]) -> None:
        if len(shape) == 3 and shape[2] in IMAGE_CHANNELS and shape[0] not in IMAGE_CHANNELS:
            self._other.append(
                f"features of shape {shape} look like images with their channels last; channels "
                "are expected first: numpy.moveaxis(X, -1, 1)"
            )
        elif len(shape) != 3:
            self._other.append(
                f"features of shape {shape}: the first axis is taken as {shape[0]} channels"
            )

    def sentences(self) -> tuple[str, ...]:
        notes = []
        if self._categories:
            notes.append(f"categorical: {', '.join(self._categories)}")
        if self._constant:
            notes.append(f"constant in train: {shorten_names(self._constant)}")
        if self._coarse:
            notes.append(
                "float32 keeps few of the digits that tell values apart in: "
                f"{shorten_names(self._coarse)}; to scale them first: --set data.normalize=zscore"
            )
        if self._counters:
            names = ", ".join(map(repr, self._counters))
            count, them = f"column {names} only counts", "it"
            if len(self._counters) > 1:
                count, them = f"columns {names} only count", "them"
            option = drop_hint(self._counters, self._dropped)
            notes.append(f"{count} the rows; leave {them} out: {option}")
        return (*notes, *self._other)
