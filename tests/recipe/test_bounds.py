"""What the constructors of ranges refuse, and what they say."""

from __future__ import annotations

import math

import pytest

from dltune.errors import RecipeError
from dltune.recipe.ranges import Choice, Int, IntLog, Log, Uniform

LOG_NEEDS = "a log range needs low > 0; bounds are values, not exponents"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Log(0, 1), f"log = [0, 1]: {LOG_NEEDS}"),
        (lambda: Log(-5, -1), f"log = [-5, -1]: {LOG_NEEDS}"),
        (lambda: IntLog(0, 4), f"int_log = [0, 4]: {LOG_NEEDS}"),
        (
            lambda: Log(1e-1, 1e-5),
            "log = [0.1, 1e-05]: low must be less than high; did you mean [1e-05, 0.1]?",
        ),
        (
            lambda: Uniform(1, 1),
            "uniform = [1, 1]: low must be less than high; write 1 for a fixed value",
        ),
        (
            lambda: Uniform(0, math.inf),
            "uniform = [0, inf]: bounds must be finite numbers",
        ),
        (
            lambda: Uniform(-1e301, 1),
            "uniform = [-1e+301, 1]: bounds must lie within plus or minus 1e+300",
        ),
        (
            lambda: Log(1, 1 + 1e-15),
            "log = [1, 1.000000000000001]: bounds must differ by more than rounding does",
        ),
        (
            lambda: Log("1e-5", 1),  # type: ignore[arg-type]
            'log = ["1e-5", 1]: bounds must be finite numbers; drop the quotes',
        ),
        (lambda: Uniform(True, 2), "uniform = [true, 2]: bounds must be finite numbers"),
        (
            lambda: Int(1, 2.0),  # type: ignore[arg-type]
            "int = [1, 2.0]: bounds must be whole numbers",
        ),
        (
            lambda: Int(1, 10**13),
            "int = [1, 10000000000000]: bounds must lie within plus or minus 1e+12",
        ),
        (
            lambda: Log(1, 2, points=1),
            "points = 1: must be a whole number from 2 to 1000000",
        ),
        (
            lambda: Log(1, 2, per_decade=0),
            "per_decade = 0: must be a whole number from 1 to 1000000",
        ),
        (lambda: Log(1, 2, points=3, per_decade=3), "points and per_decade exclude each other"),
        (lambda: Uniform(0, 1, points=3, step=0.5), "points and step exclude each other"),
        (lambda: Uniform(0, 1, step=-1), "step = -1: must be a number greater than 0"),
        (
            lambda: Uniform(0, 1, step=0.3),
            "step = 0.3: 1 - 0 must be a whole multiple of the step, but is 3.33333 steps",
        ),
        (
            lambda: Uniform(0, 1, step=1e-9),
            "step = 1e-09: gives more than 1000000 values",
        ),
        (
            lambda: Int(0, 4, step=0.5),  # type: ignore[arg-type]
            "step = 0.5: must be a whole number, at least 1",
        ),
        (lambda: Int(0, 4, step=8), "step = 8: 4 - 0 must be a whole multiple of the step"),
        (lambda: Choice(()), "a choice needs at least one option"),
        (lambda: Choice((1, 2, 1.0)), "the option 1.0 is there twice; keep one"),
        (lambda: Choice(("a", "a")), 'the option "a" is there twice; keep one'),
        (lambda: Choice(("a",)).to_unit("b"), '"b" is not one of ["a"]'),
    ],
)
def test_what_a_range_refuses(make: object, message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        make()  # type: ignore[operator]
    assert str(caught.value).startswith(message)
