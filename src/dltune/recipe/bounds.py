"""What must hold for the numbers of a range; each check names the numbers that break it."""

from __future__ import annotations

import math
from collections.abc import Hashable
from decimal import Decimal
from typing import Any, Protocol, TypeGuard

from dltune.errors import RecipeError
from dltune.recipe.toml import toml_value

# A cell of the unit interval must be far wider than the spacing of doubles near 1 (1.1e-16), also
# after a logarithm and back, or whole numbers would not return exactly.
MAX_WHOLE = 10**12
# The width of a range and sums in it stay far from the largest double, 1.8e308.
MAX_FLOAT = 1e300
# About ten thousand times the spacing of doubles: forgives a value written and read as decimal.
RELATIVE_TOLERANCE = 1e-12
# A grid axis longer than this is a slip of the keyboard, and would fill the memory.
MAX_POINTS = 1_000_000
# Share of a step by which bounds may miss a whole number of steps: forgives 0.3333333333 for 1 / 3.
STEP_TOLERANCE = 1e-9


def is_number(value: Any) -> TypeGuard[int | float]:
    """Whether `value` is a finite int or float; true and false are not numbers.

    >>> is_number(1), is_number(True), is_number(float("nan"))
    (True, False, False)
    """
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def is_whole(value: Any) -> TypeGuard[int]:
    """Whether `value` is an int; 1.0 and true are not.

    >>> is_whole(1), is_whole(1.0), is_whole(True)
    (True, False, False)
    """
    return isinstance(value, int) and not isinstance(value, bool)


def key_of(value: Any) -> Hashable:
    """What is equal for values of a recipe that are the same: 1 and 1.0 are, 1 and true are not.

    Raises TypeError, where it is hashed, for a table.

    >>> key_of([1, 2]) == key_of([1.0, 2]), key_of(1) == key_of(True)
    (True, False)
    """
    if isinstance(value, (list, tuple)):
        return tuple(map(key_of, value))
    return isinstance(value, bool), value


def check_float_bounds(kind: str, low: Any, high: Any, *, positive: bool = False) -> None:
    """Raise `RecipeError` unless both bounds are finite numbers, low < high (and low > 0)."""
    found = f"{kind} = {toml_value([low, high])}"
    if not is_number(low) or not is_number(high):
        raise RecipeError(f"{found}: bounds must be finite numbers{quotes_hint(low, high)}")
    _check_order(found, low, high)
    if positive and low <= 0:
        raise RecipeError(f"{found}: a log range needs low > 0; bounds are values, not exponents")
    largest = max(abs(low), abs(high))
    if largest > MAX_FLOAT:
        raise RecipeError(f"{found}: bounds must lie within plus or minus {MAX_FLOAT:.0e}")
    if high - low <= RELATIVE_TOLERANCE * largest:
        raise RecipeError(f"{found}: bounds must differ by more than rounding does")


def check_int_bounds(kind: str, low: Any, high: Any, *, positive: bool = False) -> None:
    """Raise `RecipeError` unless both bounds are whole numbers, low < high (and low >= 1)."""
    found = f"{kind} = {toml_value([low, high])}"
    if not is_whole(low) or not is_whole(high):
        raise RecipeError(f"{found}: bounds must be whole numbers{quotes_hint(low, high)}")
    _check_order(found, low, high)
    if positive and low <= 0:
        raise RecipeError(f"{found}: a log range needs low > 0; bounds are values, not exponents")
    if max(abs(low), abs(high)) > MAX_WHOLE:
        raise RecipeError(f"{found}: bounds must lie within plus or minus {MAX_WHOLE:.0e}")


def _check_order(found: str, low: float, high: float) -> None:
    if low == high:
        raise RecipeError(f"{found}: low must be less than high; write {low!r} for a fixed value")
    if low > high:
        turned = toml_value([high, low])
        raise RecipeError(f"{found}: low must be less than high; did you mean {turned}?")


def quotes_hint(*values: Any) -> str:
    """What to add to a message where a value is text that would be a number without its quotes.

    >>> quotes_hint("1e-4"), quotes_hint("adam"), quotes_hint(1e-4)
    ('; drop the quotes', '', '')
    """
    return "; drop the quotes" if any(map(_is_quoted_number, values)) else ""


def _is_quoted_number(value: Any) -> bool:
    try:
        float(value if isinstance(value, str) else "not a number")
    except ValueError:
        return False
    return True


def check_counts(**counts: Any) -> None:
    """Raise `RecipeError` unless at most one of the counts is given, and it is large enough.

    counts  points (whole, >= 2), per_decade (whole, >= 1) or step (a number > 0); None is absent.
    """
    given = {name: value for name, value in counts.items() if value is not None}
    if len(given) > 1:
        raise RecipeError(f"{' and '.join(given)} exclude each other; keep one")
    for name, value in given.items():
        if name == "step":
            if not is_number(value) or value <= 0:
                raise RecipeError(f"step = {toml_value(value)}: must be a number greater than 0")
            continue
        least = 2 if name == "points" else 1
        if not is_whole(value) or not least <= value <= MAX_POINTS:
            raise RecipeError(
                f"{name} = {toml_value(value)}: must be a whole number from {least} to {MAX_POINTS}"
            )


def check_step(low: float, high: float, step: float | None, *, whole: bool = False) -> None:
    """Raise `RecipeError` unless high - low is a whole multiple of the step (no step is fine)."""
    if step is None:
        return
    if whole and not is_whole(step):
        raise RecipeError(f"step = {step!r}: must be a whole number, at least 1")
    # In decimal, as the numbers are written: 0 to 0.3 is three steps of 0.1.
    width = Decimal(repr(high)) - Decimal(repr(low))
    steps = width / Decimal(repr(step))
    nearest = round(steps)
    if nearest < 1 or abs(steps - nearest) > STEP_TOLERANCE:
        raise RecipeError(
            f"step = {step!r}: {high!r} - {low!r} must be a whole multiple of the step, "
            f"but is {float(steps):.6g} steps"
        )
    if nearest >= MAX_POINTS:
        raise RecipeError(f"step = {step!r}: gives more than {MAX_POINTS} values")


def check_decades(low: float, high: float, per_decade: int | None) -> None:
    """Raise `RecipeError` where so many points a decade are more than a grid may have."""
    if per_decade is not None and (math.log10(high) - math.log10(low)) * per_decade >= MAX_POINTS:
        raise RecipeError(f"per_decade = {per_decade}: gives more than {MAX_POINTS} values")


class _Bounded(Protocol):
    """What `check_start` asks of a range between two bounds."""

    @property
    def low(self) -> float: ...
    @property
    def high(self) -> float: ...
    @property
    def start(self) -> float | None: ...
    def contains(self, value: Any) -> bool: ...
    def from_unit(self, unit: float) -> float: ...
    def to_unit(self, value: Any) -> float: ...


def check_start(range_: _Bounded, *, whole: bool = False) -> None:
    """Raise `RecipeError` unless the start of a range is one of its values (none is fine).

    range_  with bounds, counts and step that have been checked.
    whole   whether its values are whole numbers.
    """
    start: Any = range_.start
    if start is None or range_.contains(start):
        return
    found = f"start = {toml_value(start)}"
    if not (is_whole(start) if whole else is_number(start)):
        kind = "whole" if whole else "finite"
        raise RecipeError(f"{found}: must be a {kind} number{quotes_hint(start)}")
    if not range_.low <= start <= range_.high:
        nearest = toml_value(range_.low if start < range_.low else range_.high)
        bounds = toml_value([range_.low, range_.high])
        raise RecipeError(
            f"{found}: must lie within the bounds {bounds}; widen them, or write start = {nearest}"
        )
    nearest = toml_value(range_.from_unit(range_.to_unit(start)))
    raise RecipeError(
        f"{found}: must be a whole number of steps from {toml_value(range_.low)}; "
        f"did you mean {nearest}?"
    )
