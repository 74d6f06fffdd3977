from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dltune.errors import SweepError
from dltune.lr.curve import exponential_rates


@given(st.floats(-9, 0), st.floats(0.5, 9), st.integers(20, 500))
def test_rates_have_a_constant_ratio_and_exact_ends(
    start: float, decades: float, steps: int
) -> None:
    low, high = 10.0**start, 10.0 ** (start + decades)
    rates = exponential_rates(low, high, steps)
    assert len(rates) == steps
    assert (rates[0], rates[-1]) == (low, high)
    ratios = [later / rate for rate, later in itertools.pairwise(rates)]
    assert ratios == pytest.approx([(high / low) ** (1 / (steps - 1))] * (steps - 1))


@pytest.mark.parametrize(
    ("low", "high"),
    [
        pytest.param(1.0, 1.0, id="empty"),
        pytest.param(1.0, 0.1, id="swapped"),
        pytest.param(0.0, 1.0, id="zero"),
        pytest.param(-1.0, 1.0, id="negative"),
        pytest.param(math.nan, 1.0, id="nan"),
        pytest.param(1.0, math.inf, id="infinite"),
    ],
)
def test_an_impossible_range_is_refused(low: float, high: float) -> None:
    with pytest.raises(SweepError) as refused:
        exponential_rates(low, high, 100)
    assert refused.value.found == (
        f"the sweep goes from learning rate {low:g} to {high:g}: "
        "0 < lowest < highest must hold, both finite"
    )
    assert refused.value.hint == "Try --min-lr 1e-6 --max-lr 10."


@pytest.mark.parametrize("high", [1e-3 * (1 + 1e-9), 1.9e-3])
def test_a_range_too_narrow_for_a_curve_is_refused(high: float) -> None:
    with pytest.raises(SweepError) as refused:
        exponential_rates(1e-3, high, 100)
    assert refused.value.found == (
        f"the sweep goes from learning rate 0.001 to {high:g}: the highest must be at least 2 "
        "times the lowest, or there is no curve to see"
    )
    assert refused.value.hint == f"Try --min-lr 1e-05 --max-lr {high * 100:.2g}."


def test_too_few_steps_are_refused() -> None:
    with pytest.raises(SweepError) as refused:
        exponential_rates(1e-3, 1.0, 19)
    assert str(refused.value) == (
        "a sweep of 19 steps has too few points for a slope: at least 20 are needed\n"
        "Try --steps 200."
    )
