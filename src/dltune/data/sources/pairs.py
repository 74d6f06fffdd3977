"""Arrays and frames in memory, as NPZ files and Python functions give them."""

from __future__ import annotations

import itertools
import numbers
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dltune.data.complaints import Complaint
from dltune.data.dataset import SPLITS
from dltune.data.numbers import beyond_whole, from_python, join
from dltune.data.raw import (
    Column,
    NumericColumn,
    RawData,
    RowPlaces,
    TextColumn,
    text_column,
)
from dltune.data.selection import refuse_target
from dltune.errors import DataError, closest
from dltune.recipe.schema import DataConfig

ALIASES = {
    "val": "dev",
    "valid": "dev",
    "validation": "dev",
    "train_dev": "train-dev",
    "training": "train",
    "testing": "test",
}

WHOLE = "all"
"""The one part of data that comes without splits."""


def split_name(name: str, *, origin: str) -> str:
    """The name of a split as dltune spells it; raises DataError for a name that is none.

    >>> split_name("validation", origin="data.npz")
    'dev'
    """
    known = ALIASES.get(name, name)
    if known not in SPLITS:
        near = closest(name, [*SPLITS, *ALIASES])
        raise DataError(
            f"{origin}: unknown split {name!r}" + (f"; did you mean {near!r}?" if near else ""),
            hint=f"Name the splits {', '.join(SPLITS)}; only train must be there.",
        )
    return known


def raw_from_pairs(
    pairs: Mapping[str, tuple[Any, Any]], config: DataConfig, *, name: str, notes: tuple[str, ...]
) -> RawData:
    """One `RawData` of the pairs (X, y) of every split, laid end to end.

    pairs  by split as in SPLITS, or the single key WHOLE. X is an array (n, ...) or a pandas frame,
           y an array (n,), (n, outputs), a series or a frame.

    Raises DataError if lengths, shapes or columns do not fit together.
    """
    origin = config.source
    refuse_target(config, origin)
    for split, (features, targets) in pairs.items():
        _check_lengths(features, targets, _part(origin, split))
    if "train" not in pairs and WHOLE not in pairs:
        raise DataError(
            f"{origin}: gives the splits {', '.join(pairs)} but no train",
            hint="Add a set of that name; splits that are missing are cut from it.",
        )
    parts = list(pairs)
    sizes = [len(targets) for _, targets in pairs.values()]
    starts = [0, *itertools.accumulate(sizes)]
    given = {part: np.arange(starts[index], starts[index + 1]) for index, part in enumerate(parts)}
    is_whole = parts == [WHOLE]
    read = _features([features for features, _ in pairs.values()], parts, config)
    columns = [] if isinstance(read, np.ndarray) else read
    return RawData(
        name=name,
        origin=origin,
        features=read
        if isinstance(read, np.ndarray)
        else tuple(column for column in columns if not isinstance(column, Complaint)),
        targets=_targets([targets for _, targets in pairs.values()], config),
        places=RowPlaces()
        if is_whole
        else RowPlaces(starts=dict(zip(parts, starts, strict=False))),
        given=None if is_whole else given,
        forced=frozenset(config.categorical),
        notes=notes,
        complaints=tuple(column for column in columns if isinstance(column, Complaint)),
    )


def to_array(value: Any, what: str) -> NDArray[Any]:
    """A value as a NumPy array; tensors are read without importing torch.

    Raises DataError for what NumPy cannot read, such as lists of unequal length, and for masked
    values, whose mask an array would lose.
    """
    if np.ma.is_masked(value):
        masked = int(np.sum(np.ma.getmask(value)))
        raise DataError(
            f"{what}: has {masked:,} masked values, which are missing ones",
            hint="Fill them, or leave their examples out.",
        )
    try:
        array = np.asarray(value)
        if isinstance(value, list | tuple) and array.dtype.kind == "f" and beyond_whole(array):
            # NumPy makes floats of a list with whole numbers on both sides of what int64 holds.
            return np.asarray(value, dtype=object)
        return array
    except (ValueError, TypeError, RuntimeError) as error:
        to_floats = ".float()" if "BFloat16" in str(error) else ""
        raise DataError(
            f"{what}: cannot be read as an array: {error}",
            hint=f"Give a NumPy array, such as tensor.detach().cpu(){to_floats}.numpy().",
        ) from error


def _features(
    values: list[Any], parts: list[str], config: DataConfig
) -> list[Column | Complaint] | NDArray[Any]:
    origin = config.source
    if _is_frame(values[0]):
        from dltune.data.sources.frames import columns_of_frames

        return columns_of_frames(values, parts, config)
    if config.drop or config.categorical:
        raise DataError(
            f"{origin}: X is an array without column names, so data.drop and data.categorical have "
            "nothing to name",
            hint="Take these keys out of the recipe, or give X as a pandas frame.",
        )
    arrays = [
        to_array(value, f"{_part(origin, part)}, X")
        for value, part in zip(values, parts, strict=True)
    ]
    for array, part in zip(arrays, parts, strict=True):
        _check_features(array, f"{_part(origin, part)}, X")
        if array.shape[1:] != arrays[0].shape[1:]:
            raise DataError(
                f"{origin}: X of {part} has examples of shape {array.shape[1:]}, but X of "
                f"{parts[0]} of shape {arrays[0].shape[1:]}",
                hint="Give all splits the same shape beside the number of examples.",
            )
    return join_splits(arrays, f"{origin}, X")


def join_splits(arrays: list[NDArray[Any]], what: str) -> NDArray[Any]:
    """Arrays of the splits end to end; of the longest floats, which few machines have, float64."""
    arrays = [a.astype(np.float64) if a.dtype == np.longdouble else a for a in arrays]
    if len(arrays) == 1:
        return arrays[0]
    joined = join(arrays) if all(array.dtype.kind in "biuf" for array in arrays) else None
    if joined is None:
        kinds = ", ".join(str(array.dtype) for array in arrays)
        raise DataError(
            f"{what}: has types {kinds} in the splits, and no type of 64 bits keeps the digits "
            "of both",
            hint="Give all splits the same type.",
        )
    return joined


def _check_features(array: NDArray[Any], what: str) -> None:
    if array.dtype.kind not in "biuf":
        raise DataError(
            f"{what}: holds values of type {array.dtype}, not numbers",
            hint="Give numbers, or a pandas frame, whose text columns become categories.",
        )
    if array.ndim < 2:
        raise DataError(
            f"{what}: has shape {array.shape}; it must be (examples, columns) or "
            "(examples, channels, height, width)",
            hint="For a single column: X.reshape(-1, 1).",
        )
    if 0 in array.shape[1:]:
        raise DataError(
            f"{what}: has shape {array.shape}: its examples hold no numbers",
            hint="Give at least one column.",
        )


def _targets(values: list[Any], config: DataConfig) -> tuple[Column, ...]:
    origin = f"{config.source}, y"
    arrays = [to_array(value, origin) for value in values]
    if len({array.shape[1:] for array in arrays}) > 1:
        raise DataError(
            f"{origin}: has shapes {', '.join(str(array.shape) for array in arrays)} in the splits",
            hint="Give all splits the same shape beside the number of examples.",
        )
    array = _join_targets(arrays, origin)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]  # (n, 1) -> (n,)
    if array.ndim == 1:
        return (_label_column("y", array, origin),)
    if array.ndim != 2 or array.dtype.kind not in "iufb" or array.shape[1] == 0:
        raise DataError(
            f"{origin}: has shape {array.shape} and type {array.dtype}; it must be (examples,), or "
            "(examples, outputs) with numbers",
            hint="Give one label or one row of numbers an example.",
        )
    if config.task != "regression" and _is_one_hot(array):
        raise DataError(
            f"{origin}: has shape {array.shape} with a single 1 in every row, as one-hot labels "
            "have; classes must be one number or name an example",
            hint="Give y.argmax(axis=1), or --set data.task=regression if these are targets.",
        )
    return tuple(
        NumericColumn(name=f"y{output}", values=array[:, output])
        for output in range(array.shape[1])
    )


def _join_targets(arrays: list[NDArray[Any]], origin: str) -> NDArray[Any]:
    if all(array.dtype.kind in "iuf" for array in arrays):
        return join_splits(arrays, origin)
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


def _label_column(name: str, array: NDArray[Any], origin: str) -> Column:
    if array.dtype.kind == "O":
        array = _from_objects(array, origin)
    if array.dtype.kind in "iuf":
        return NumericColumn(name=name, values=array)
    if array.dtype.kind == "b":
        return TextColumn(name=name, codes=array.astype(np.int32), categories=("False", "True"))
    if array.dtype.kind in "UT":
        texts, codes = np.unique(np.asarray(array, dtype=str), return_inverse=True)
        return text_column(name, codes, [str(text) for text in texts])
    raise DataError(
        f"{origin}: holds values of type {array.dtype}; targets are numbers, booleans or texts",
        hint="Convert it in the function or before saving it.",
    )


def _from_objects(array: NDArray[Any], origin: str) -> NDArray[Any]:
    """Labels of Python's own types: numbers, or texts, which numbers of very many digits become."""
    labels = array.tolist()
    found = from_python(labels)
    if found is not None:
        return found
    if not all(isinstance(label, numbers.Real | Decimal) for label in labels):
        wrong = next((i for i, label in enumerate(labels) if not isinstance(label, str)), None)
        if wrong is not None:
            raise DataError(
                f"{origin}[{wrong}]: is {labels[wrong]!r} between texts; labels must be all texts "
                "or all numbers",
                hint="Give y as an array of one type, without missing labels.",
            )
    return np.asarray([str(label) for label in labels])


def _is_one_hot(array: NDArray[Any]) -> bool:
    return bool(np.isin(array, (0, 1)).all() and (array.sum(axis=1) == 1).all())


def _check_lengths(features: Any, targets: Any, what: str) -> None:
    for value, letter in ((features, "X"), (targets, "y")):
        if not hasattr(value, "__len__") or getattr(value, "ndim", 1) == 0:
            raise DataError(
                f"{what}, {letter}: is of type {type(value).__name__}; it must be an array or a "
                "frame",
                hint=f"Give {letter} as a NumPy array with one row an example.",
            )
    if len(features) != len(targets):
        raise DataError(
            f"{what}: X has {len(features):,} examples, but y has {len(targets):,}",
            hint="Give one target an example.",
        )
    if len(features) == 0:
        raise DataError(f"{what}: has no examples", hint="Check where its rows were lost.")


def _is_frame(value: Any) -> bool:
    import pandas as pd

    return isinstance(value, pd.DataFrame)


def _part(origin: str, part: str) -> str:
    return origin if part == WHOLE else f"{origin}, {part}"
