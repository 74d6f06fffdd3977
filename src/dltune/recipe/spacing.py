"""Even spacing on a line and on a log scale, and the arithmetic of cells, for the ranges."""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

# A grid of 5 points over 4 decades has one point a decade; with 3 such ranges it is 125 trials.
DEFAULT_POINTS = 5


def clamp(value: float, low: float, high: float) -> float:
    """The number nearest to `value` in [low, high]."""
    return min(max(value, low), high)


def cell_at(unit: float, cells: int) -> int:
    """The number, from 0, of the cell that holds u when [0, 1] is cut into equal cells.

    >>> cell_at(0.5, 2), cell_at(1.0, 2), cell_at(-3.0, 2)
    (1, 1, 0)
    """
    return min(int(clamp(unit, 0.0, 1.0) * cells), cells - 1)


def evenly(low: float, high: float, points: int) -> list[float]:
    """Evenly spaced numbers; the first and last are exactly the bounds.

    >>> evenly(0.0, 0.3, 4)
    [0.0, 0.1, 0.2, 0.3]
    """
    # In decimal, so that the second number above is 0.1 and not 0.09999999999999999.
    first, width = Decimal(repr(low)), Decimal(repr(high)) - Decimal(repr(low))
    inner = (float(first + width * index / (points - 1)) for index in range(1, points - 1))
    return [low, *(clamp(value, low, high) for value in inner), high]


def log_evenly(low: float, high: float, points: int) -> list[float]:
    """Numbers evenly spaced in the exponent; the first and last are exactly the bounds.

    >>> log_evenly(1e-3, 1e-1, 3)
    [0.001, 0.01, 0.1]
    """
    # Base 10, so that whole decades come out as written: 0.01 and not 0.010000000000000002.
    first, last = math.log10(low), math.log10(high)
    exponents = (first + (last - first) * index / (points - 1) for index in range(1, points - 1))
    return [low, *(clamp(10.0**exponent, low, high) for exponent in exponents), high]


def log_points(low: float, high: float, points: int | None, per_decade: int | None) -> int:
    """How many points a log grid has, at least 2.

    >>> log_points(1e-4, 1e-1, None, 2)
    7
    """
    if per_decade is not None:
        return max(2, round((math.log10(high) - math.log10(low)) * per_decade) + 1)
    return DEFAULT_POINTS if points is None else points


def whole_without_repeats(values: Sequence[float]) -> list[int]:
    """The numbers rounded to whole ones, in their order, each once.

    >>> whole_without_repeats([1, 1.4, 2.6, 3])
    [1, 3]
    """
    return list(dict.fromkeys(round(value) for value in values))


def range_table(kind: str, low: float, high: float, **counts: float | None) -> dict[str, Any]:
    """A range as it stands in a recipe; counts that are None are left out.

    >>> range_table("int", 1, 9, points=None, step=2)
    {'int': [1, 9], 'step': 2}
    """
    return {kind: [low, high]} | {key: v for key, v in counts.items() if v is not None}
