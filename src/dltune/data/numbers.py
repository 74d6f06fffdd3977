"""Numbers that keep all their digits until they are scaled or become classes.

float64 holds every whole number up to 2^53 only. 64-bit integers (ids, times in nanoseconds) go
beyond, so they stay integers until their distance from one of them is taken, which is exact.
"""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

LARGEST_WHOLE = 2**53
"""Up to here float64 holds every whole number."""

INTEGERS = (np.dtype(np.int64), np.dtype(np.uint64))


def holds(dtype: np.dtype[Any], values: NDArray[Any]) -> bool:
    """Whether a type keeps every digit of numbers of another.

    dtype  int64, uint64 or float64.

    >>> holds(np.dtype(np.float64), np.array([2**53 + 1])), holds(INTEGERS[0], np.array([3.0]))
    (False, True)
    """
    if len(values) == 0 or values.dtype == dtype:
        return True
    if dtype.kind == "f":
        return values.dtype.kind not in "iu" or not beyond_whole(values)
    if values.dtype.kind == "f" and (beyond_whole(values) or not is_whole(values)):
        return False
    limits = np.iinfo(dtype)
    return int(values.min()) >= limits.min and int(values.max()) <= limits.max


def is_whole(values: NDArray[Any]) -> bool:
    """Whether all values are whole numbers; NaN is none."""
    return values.dtype.kind in "biu" or bool(np.all(values == np.floor(values)))


def beyond_whole(values: NDArray[Any]) -> bool:
    """Whether a value is so large that float64 skips whole numbers next to it; NaN is not."""
    return bool((values > LARGEST_WHOLE).any() or (values < -LARGEST_WHOLE).any())


def beyond_float32(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Which values are infinite, or would be in float32."""
    with np.errstate(over="ignore"):
        return np.asarray(np.isinf(values.astype(np.float32, copy=False)))


def join(parts: Sequence[NDArray[Any]]) -> NDArray[Any] | None:
    """Arrays of numbers laid end to end, in a type that keeps their digits; None if there is none.

    >>> join([np.array([2**63], np.uint64), np.array([5])]).tolist()
    [9223372036854775808, 5]
    >>> join([np.array([2**63], np.uint64), np.array([0.5])]) is None
    True
    """
    usual = np.result_type(*parts)
    for dtype in (usual, *INTEGERS):
        if (dtype.kind != "f" and dtype == usual) or all(holds(dtype, part) for part in parts):
            return np.concatenate([part.astype(dtype, copy=False) for part in parts])
    return None


def from_python(values: Sequence[Any]) -> NDArray[Any] | None:
    """Numbers of Python as an array; None if one is no number, or none of 64 bits tells them apart.

    >>> from_python([1, 2**63]).dtype.name, from_python([1, Decimal("0.5")]).tolist()
    ('uint64', [1.0, 0.5])
    >>> from_python([2**64, 1]), from_python(["a"]), from_python([0.1, Decimal("0.1")])
    (None, None, None)
    """
    if all(isinstance(value, bool | np.bool_) for value in values):
        return np.asarray(values, dtype=bool)
    if not all(isinstance(value, numbers.Real | Decimal | np.bool_) for value in values):
        return None
    if all(isinstance(value, numbers.Integral | np.bool_) for value in values):
        low, high = int(min(values)), int(max(values))
        for dtype in INTEGERS:
            if np.iinfo(dtype).min <= low and high <= np.iinfo(dtype).max:
                return np.asarray([int(value) for value in values], dtype=dtype)
        return None
    exact: dict[float, Any] = {}
    rounded = [float(value) for value in values]
    for value, number in zip(values, rounded, strict=True):
        if exact.setdefault(number, value) != value and number == number:  # NaN differs from itself
            return None
    return np.asarray(rounded)


def difference(values: NDArray[Any], base: Any) -> NDArray[np.float64]:
    """values - base in float64, without a rounding where both are 64-bit integers or near by.

    values  (n, ...).
    base    of the same type; a scalar or one a column.

    >>> difference(np.array([2**63 - 2, 2**63]  , np.uint64), np.uint64(2**63 - 1)).tolist()
    [-1.0, 1.0]
    """
    if values.dtype not in INTEGERS:
        return values.astype(np.float64) - np.asarray(base, dtype=np.float64)
    # Unsigned arithmetic wraps around, so that the distance is right between any two of 64 bits.
    above = values.astype(np.uint64) - np.asarray(base).astype(np.uint64)
    below = np.negative(above)
    return np.where(values >= base, above.astype(np.float64), -below.astype(np.float64))
