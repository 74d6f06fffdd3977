"""Scaling by the statistics of the training set, for features and for regression targets."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from dltune.data.numbers import difference

Normalize = Literal["zscore", "minmax", "none"]

BLOCK_NUMBERS = 1 << 21
"""Numbers looked at at a time: 16 MB in float64."""

ROUNDINGS = 4
"""A column of fractions that differ by so few steps of float64 counts as constant: 0.1 + 0.2 and
0.3 are one step apart."""

FLOAT32_DIGITS_LEFT = 1e5
"""float32 keeps 7.2 decimal digits; where values are this much larger than their spread, two are
left to tell them apart."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scaling:
    """scaled = ((value - base) - offset) / scale; one entry a column or channel.

    base      a value of the column, in its own type: the distance from it keeps all digits where
              float64 would not (an id beyond 2^53), or their sum would not (1e15 + 0.1).
    constant  has one value only in the training set; its scale is 1.
    coarse    not scaled, and float32 hardly tells its values apart.
    """

    base: NDArray[Any]
    offset: NDArray[np.float64]
    scale: NDArray[np.float64]
    constant: NDArray[np.bool_]
    coarse: NDArray[np.bool_]

    @property
    def center(self) -> NDArray[np.float64]:
        """What becomes 0, in the units of the values."""
        return np.asarray(self.base.astype(np.float64) + self.offset)

    def apply(self, values: NDArray[Any]) -> NDArray[np.float32]:
        """Scaled values, float32; infinite where float32 cannot hold them.

        values  (n, columns) or (n, channels, ...), of the type that was fitted.
        """
        shape = (-1, *[1] * (values.ndim - 2))
        base, offset, scale = (
            numbers.reshape(shape) for numbers in (self.base, self.offset, self.scale)
        )
        with np.errstate(over="ignore"):
            scaled = (difference(values, base) - offset) / scale
            return scaled.astype(np.float32)


def fit_scaling(blocks: Iterable[NDArray[Any]], normalize: Normalize) -> Scaling:
    """Fit a scaling, one column at a time or many.

    blocks     numbers (m, width) each, all of one type; gone through several times, so no
               generator.
    normalize  zscore: mean and standard deviation (of n, not n - 1); minmax: minimum and range;
               none: 0 and 1.

    >>> scaling = fit_scaling([np.array([[1.0], [2.0]]), np.array([[6.0]])], "minmax")
    >>> scaling.center.tolist(), scaling.scale.tolist()
    ([1.0], [5.0])
    """
    base = next(iter(blocks))[0]
    distances = [(d.min(0), d.max(0), d.sum(0)) for d in (difference(b, base) for b in blocks)]
    lows, highs, totals = zip(*distances, strict=True)
    low, high = np.min(lows, axis=0), np.max(highs, axis=0)
    count = sum(len(block) for block in blocks)
    varies = high - low > _rounding(base, low, high)
    # The mean of a constant may miss it by a rounding, which a division would blow up.
    mean = np.where(varies, np.sum(totals, axis=0) / count, low)
    # In units of about the range, a power of two: squares of 1e-200 would vanish. And a pass of
    # its own: the mean of the squares minus the square of the mean would cancel.
    unit = np.ldexp(1.0, np.frexp(high - low)[1])
    squares = np.sum(
        [(((difference(block, base) - mean) / unit) ** 2).sum(0) for block in blocks], axis=0
    )
    deviation = unit * np.sqrt(squares / count)
    zero, one = np.zeros_like(mean), np.ones_like(mean)
    if normalize == "none":
        tiny = deviation < np.finfo(np.float32).tiny
        far = np.abs(base + mean) > FLOAT32_DIGITS_LEFT * deviation
        coarse = varies & (far | tiny)
        return Scaling(
            base=np.zeros_like(base), offset=zero, scale=one, constant=~varies, coarse=coarse
        )
    offset, scale = (mean, deviation) if normalize == "zscore" else (low, high - low)
    return Scaling(
        base=base,
        offset=offset,
        scale=np.where(varies, scale, 1.0),
        constant=~varies,
        coarse=np.zeros_like(varies),
    )


def row_blocks(rows: int, shape: tuple[int, ...]) -> list[slice]:
    """Slices over the examples of an array, each of a size that is cheap to copy.

    >>> row_blocks(3, (2048, 1024))
    [slice(0, 1, None), slice(1, 2, None), slice(2, 3, None)]
    """
    step = max(1, BLOCK_NUMBERS // max(1, int(np.prod(shape))))
    return [slice(start, min(start + step, rows)) for start in range(0, rows, step)]


def _rounding(
    base: NDArray[Any], low: NDArray[np.float64], high: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The range up to which values differ by rounding only; whole numbers never do."""
    if base.dtype.kind in "iub":
        return np.zeros_like(low)
    start = base.astype(np.float64)
    largest = np.maximum(np.abs(start + low), np.abs(start + high))
    return np.asarray(ROUNDINGS * np.spacing(largest))
