"""The ranges between two bounds: floats and whole numbers, even on a line or on a log scale."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from dltune.recipe.bounds import (
    RELATIVE_TOLERANCE,
    check_counts,
    check_decades,
    check_float_bounds,
    check_int_bounds,
    check_start,
    check_step,
    is_number,
    is_whole,
)
from dltune.recipe.spacing import (
    DEFAULT_POINTS,
    cell_at,
    clamp,
    evenly,
    log_evenly,
    log_points,
    range_table,
    whole_without_repeats,
)


@dataclass(frozen=True)
class Log:
    """A float between two positive bounds, even in the exponent.

    low, high   bounds, 0 < low < high.
    points      how many grid points, at least 2; 5 when neither this nor `per_decade` is given.
    per_decade  grid points a decade, at least 1; the number is round(decades * per_decade) + 1.
    start       where a search begins, a value of the range; None for none.

    value = 10 ** (log10 low + u (log10 high - log10 low))

    >>> Log(1e-4, 1e-1).from_unit(1 / 3)
    0.001
    >>> Log(1e-4, 1e-1, per_decade=1).grid()
    [0.0001, 0.001, 0.01, 0.1]
    """

    low: float
    high: float
    points: int | None = None
    per_decade: int | None = None
    start: float | None = None

    def __post_init__(self) -> None:
        check_float_bounds("log", self.low, self.high, positive=True)
        check_counts(points=self.points, per_decade=self.per_decade)
        check_decades(self.low, self.high, self.per_decade)
        check_start(self)
        _make_floats(self, "low", "high", "start")

    def from_unit(self, unit: float) -> float:
        """The value at u; exactly the bounds at 0 and 1."""
        if unit <= 0.0 or unit >= 1.0:
            return self.low if unit <= 0.0 else self.high
        first, last = math.log10(self.low), math.log10(self.high)
        return clamp(10.0 ** (first + unit * (last - first)), self.low, self.high)

    def to_unit(self, value: float) -> float:
        """Where `value` lies between the bounds, in [0, 1], on the log scale."""
        first, last = math.log10(self.low), math.log10(self.high)
        position = math.log10(clamp(value, self.low, self.high)) - first
        return clamp(position / (last - first), 0.0, 1.0)

    def contains(self, value: Any) -> bool:
        """Whether `value` is a number between the bounds, up to 1e-12 of the bound."""
        slack = 1 + RELATIVE_TOLERANCE
        return is_number(value) and self.low / slack <= value <= self.high * slack

    def grid(self) -> list[float]:
        """The grid points in rising order; the first and last are exactly the bounds."""
        points = log_points(self.low, self.high, self.points, self.per_decade)
        return list(dict.fromkeys(log_evenly(self.low, self.high, points)))

    def toml(self) -> dict[str, Any]:
        """The range as the table that stands for it in a recipe."""
        counts = {"points": self.points, "per_decade": self.per_decade}
        return range_table("log", self.low, self.high, **counts, start=self.start)


@dataclass(frozen=True)
class Uniform:
    """A float between two bounds; with `step`, only low, low + step, ..., high.

    low, high  bounds, low < high.
    points     how many grid points, at least 2; 5 when neither this nor `step` is given.
    step       distance of neighbouring values, > 0; high - low must be a whole multiple of it.
    start      where a search begins, a value of the range; None for none.

    value = low + u (high - low)

    >>> Uniform(0.0, 0.3, points=4).grid()
    [0.0, 0.1, 0.2, 0.3]
    >>> Uniform(0.0, 0.5, step=0.25).from_unit(0.4)
    0.25
    """

    low: float
    high: float
    points: int | None = None
    step: float | None = None
    start: float | None = None

    def __post_init__(self) -> None:
        check_float_bounds("uniform", self.low, self.high)
        check_counts(points=self.points, step=self.step)
        check_step(self.low, self.high, self.step)
        _make_floats(self, "low", "high", "step")
        check_start(self)
        _make_floats(self, "start")

    @property
    def _cells(self) -> int:
        return 0 if self.step is None else round((self.high - self.low) / self.step) + 1

    def _at(self, cell: int) -> float:
        if cell == self._cells - 1:
            return self.high
        # In decimal, so that three steps of 0.1 are 0.3.
        return float(Decimal(repr(self.low)) + cell * Decimal(repr(self.step)))

    def from_unit(self, unit: float) -> float:
        """The value at u; exactly the bounds at 0 and 1."""
        if self.step is not None:
            return self._at(cell_at(unit, self._cells))
        if unit <= 0.0 or unit >= 1.0:
            return self.low if unit <= 0.0 else self.high
        return clamp(self.low + unit * (self.high - self.low), self.low, self.high)

    def to_unit(self, value: float) -> float:
        """Where `value` lies between the bounds, in [0, 1]; with `step`, the middle of its cell."""
        if self.step is not None:
            cell = round((clamp(value, self.low, self.high) - self.low) / self.step)
            return (cell + 0.5) / self._cells
        return clamp((value - self.low) / (self.high - self.low), 0.0, 1.0)

    def contains(self, value: Any) -> bool:
        """Whether `value` is a number in the range (a whole number of steps from `low`)."""
        if not is_number(value):
            return False
        slack = RELATIVE_TOLERANCE * max(abs(self.low), abs(self.high))
        if not self.low - slack <= value <= self.high + slack:
            return False
        nearest = value if self.step is None else self.from_unit(self.to_unit(value))
        return abs(value - nearest) <= slack

    def grid(self) -> list[float]:
        """The grid points in rising order; the first and last are exactly the bounds."""
        if self.step is not None:
            return [self._at(cell) for cell in range(self._cells)]
        return list(dict.fromkeys(evenly(self.low, self.high, self.points or DEFAULT_POINTS)))

    def toml(self) -> dict[str, Any]:
        """The range as the table that stands for it in a recipe."""
        counts = {"points": self.points, "step": self.step}
        return range_table("uniform", self.low, self.high, **counts, start=self.start)


@dataclass(frozen=True)
class Int:
    """A whole number between two bounds, all equally likely; with `step`, every step-th.

    low, high  bounds, whole numbers, low < high.
    points     how many grid points before rounding and dropping duplicates; 5 when absent.
    step       distance of neighbouring values, >= 1; high - low must be a whole multiple of it.
    start      where a search begins, a value of the range; None for none.

    >>> Int(1, 3).grid(), Int(16, 64, step=16).grid()
    ([1, 2, 3], [16, 32, 48, 64])
    """

    low: int
    high: int
    points: int | None = None
    step: int | None = None
    start: int | None = None

    def __post_init__(self) -> None:
        check_int_bounds("int", self.low, self.high)
        check_counts(points=self.points, step=self.step)
        check_step(self.low, self.high, self.step, whole=True)
        check_start(self, whole=True)

    @property
    def _cells(self) -> int:
        return (self.high - self.low) // (self.step or 1) + 1

    def from_unit(self, unit: float) -> int:
        """The value in whose cell u lies; all cells are equally wide."""
        return self.low + cell_at(unit, self._cells) * (self.step or 1)

    def to_unit(self, value: int) -> float:
        """The middle of the cell of `value`, in (0, 1)."""
        nearest = round((clamp(value, self.low, self.high) - self.low) / (self.step or 1))
        return (nearest + 0.5) / self._cells

    def contains(self, value: Any) -> bool:
        """Whether `value` is a whole number in the range; 3.0 and true are not."""
        inside = is_whole(value) and self.low <= value <= self.high
        return inside and (value - self.low) % (self.step or 1) == 0

    def grid(self) -> list[int]:
        """The grid points in rising order, without duplicates; both bounds are among them."""
        if self.step is not None:
            return list(range(self.low, self.high + 1, self.step))
        return whole_without_repeats(evenly(self.low, self.high, self.points or DEFAULT_POINTS))

    def toml(self) -> dict[str, Any]:
        """The range as the table that stands for it in a recipe."""
        counts = {"points": self.points, "step": self.step}
        return range_table("int", self.low, self.high, **counts, start=self.start)


@dataclass(frozen=True)
class IntLog:
    """A whole number between two positive bounds, even in the exponent.

    low, high   bounds, whole numbers, 1 <= low < high.
    points      how many grid points before rounding and dropping duplicates; 5 when absent.
    per_decade  grid points a decade, at least 1; the number is round(decades * per_decade) + 1.
    start       where a search begins, a value of the range; None for none.

    The unit interval is the log scale from low - 1/2 to high + 1/2, so that each whole number v
    owns the cell between v - 1/2 and v + 1/2.

    >>> IntLog(16, 256).grid(), IntLog(16, 256).from_unit(0.5)
    ([16, 32, 64, 128, 256], 63)
    """

    low: int
    high: int
    points: int | None = None
    per_decade: int | None = None
    start: int | None = None

    def __post_init__(self) -> None:
        check_int_bounds("int_log", self.low, self.high, positive=True)
        check_counts(points=self.points, per_decade=self.per_decade)
        check_decades(self.low, self.high, self.per_decade)
        check_start(self, whole=True)

    @property
    def _ends(self) -> tuple[float, float]:
        return math.log(self.low - 0.5), math.log(self.high + 0.5)

    def from_unit(self, unit: float) -> int:
        """The whole number in whose cell u lies."""
        first, last = self._ends
        value = math.floor(math.exp(first + clamp(unit, 0.0, 1.0) * (last - first)) + 0.5)
        return min(max(value, self.low), self.high)

    def to_unit(self, value: int) -> float:
        """Where `value` lies in its cell's log scale, in (0, 1)."""
        first, last = self._ends
        return (math.log(clamp(value, self.low, self.high)) - first) / (last - first)

    def contains(self, value: Any) -> bool:
        """Whether `value` is a whole number between the bounds; 3.0 and true are not."""
        return is_whole(value) and self.low <= value <= self.high

    def grid(self) -> list[int]:
        """The grid points in rising order, without duplicates; both bounds are among them."""
        points = log_points(self.low, self.high, self.points, self.per_decade)
        return whole_without_repeats(log_evenly(self.low, self.high, points))

    def toml(self) -> dict[str, Any]:
        """The range as the table that stands for it in a recipe."""
        counts = {"points": self.points, "per_decade": self.per_decade}
        return range_table("int_log", self.low, self.high, **counts, start=self.start)


def _make_floats(range_: Log | Uniform, *names: str) -> None:
    """Let fields of a frozen range be floats, as a recipe may have whole numbers there."""
    for name in names:
        value = getattr(range_, name)
        if value is not None:
            object.__setattr__(range_, name, float(value))
