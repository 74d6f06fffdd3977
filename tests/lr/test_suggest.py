"""The rule: from a reading to a rate, its band, and the range to search."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from dltune.lr.curve import LrCurve, SweepEnd
from dltune.lr.extend import DEFAULT_RANGES
from dltune.lr.read import LrStatus
from dltune.lr.suggest import LrSuggestion, band_around, search_range, suggest, two_digits
from tests.lr.closed_forms import dip, falls, noise_only, rate_in_dip, valley

Make = Callable[..., LrCurve]
STEP = 10.0 ** (8 / 199)
PLAIN = ("sgd", "momentum", "nesterov", "adagrad")


@pytest.mark.parametrize("optimizer", sorted(DEFAULT_RANGES))
def test_a_third_or_a_quarter_of_the_middle_of_minimum_and_edge(
    make_curve: Make, optimizer: str
) -> None:
    found = suggest([make_curve(dip, optimizer=optimizer)])
    divisor = 3.0 if optimizer in PLAIN else 4.0
    middle = math.sqrt(rate_in_dip(0.98, side=-1) * rate_in_dip(0.9, side=1))
    assert found.status is LrStatus.OK
    assert found.suggestion == pytest.approx(middle / divisor, rel=STEP - 1.0)
    assert found.minimum is not None
    assert found.edge is not None
    rate = math.sqrt(found.minimum * found.edge) / divisor
    assert found.suggestion == two_digits(rate)
    assert found.peak == two_digits(1.6 * rate)
    assert found.band == (two_digits(rate / 5), two_digits(rate * 10))
    assert found.search_range == (two_digits(rate / 10), two_digits(min(10 * rate, found.edge)))
    assert found.reason == (
        f"{divisor:g} times below the middle of minimum and edge, where longer trainings do best; "
        f"the stability edge is {found.edge / rate:.2g} times higher"
    )
    assert found.advice == ""


def test_without_an_edge_the_minimum_stands_in_for_it(make_curve: Make) -> None:
    found = suggest([make_curve(falls)])
    assert found.status is LrStatus.OK
    assert found.edge is None
    assert found.minimum is not None
    assert found.suggestion == two_digits(found.minimum / 4)
    assert found.search_range == (
        two_digits(found.minimum / 40),
        two_digits(found.minimum / 4 * 10),
    )
    assert found.reason == (
        "4 times below the minimum, where longer trainings do best; "
        "there is no stability edge up to 10"
    )


def long_fall(x: np.ndarray) -> np.ndarray:
    """Steepest at 10^-5, and then on, slowly, to a wall at 10."""
    return valley(x, middle=-5.0, wall=1.0) - 0.2 * np.clip(x + 5.0, 0.0, None)


def test_no_further_than_a_hundred_times_above_the_steepest_point(make_curve: Make) -> None:
    found = suggest([make_curve(long_fall)])
    assert found.steepest is not None
    assert found.edge is not None
    assert found.steepest == pytest.approx(1e-5, rel=0.2)
    assert found.suggestion == two_digits(100.0 * found.steepest)
    assert found.reason == (
        "100 times the rate where the loss falls fastest; "
        f"the stability edge is {found.edge / (100.0 * found.steepest):.2g} times higher"
    )


def test_ways_that_allow_rates_a_thousand_times_apart_decide_nothing(make_curve: Make) -> None:
    def longer(x: np.ndarray) -> np.ndarray:
        return valley(x, middle=-6.0, wall=2.0) - 0.2 * np.clip(x + 6.0, 0.0, None)

    found = suggest([make_curve(longer, low=1e-8, high=1e3, steps=275)])
    assert found.status is LrStatus.APART
    assert found.suggestion is found.peak is found.band is found.search_range is None
    assert found.steepest is not None
    assert found.minimum is not None
    assert found.edge is not None
    low, high = 100.0 * found.steepest, math.sqrt(found.minimum * found.edge) / 4.0
    assert high > 1000.0 * low
    assert found.reason == (
        f"the ways to read the curve lie far apart: {two_digits(low):g} and {two_digits(high):g} "
        "(steepest point; edge)"
    )
    assert found.advice == "--validate"


def shifted(make_curve: Make, steps: int, seed: int) -> LrCurve:
    """A dip so many rates higher."""
    return make_curve(lambda x: dip(x, middle=-3.0 + steps * 8 / 199), seed=seed)


def test_each_seed_has_rates_of_its_own(make_curve: Make) -> None:
    """Dips 0, 5 and 10 rates higher: a median absolute deviation of 5 rates."""
    found = suggest([shifted(make_curve, 5 * k, seed=7 + k) for k in range(3)])
    assert [one.seed for one in found.seeds] == [7, 8, 9]
    first, *others = found.seeds
    for count, other in enumerate(others, start=1):
        for name in ("edge", "steepest", "minimum"):
            expected = getattr(first, name) * STEP ** (5 * count)
            assert getattr(other, name) == pytest.approx(expected), name
    # Two digits: an eighth of a rate.
    assert found.spread == pytest.approx(1.4826 * 5 * 8 / 199, rel=0.05)
    assert found.suggestion == pytest.approx(found.seeds[1].suggestion, rel=STEP - 1.0)


def test_one_seed_has_no_spread(make_curve: Make) -> None:
    assert suggest([make_curve(dip)]).spread is None


def test_seeds_that_show_nothing_are_left_out_of_the_spread(make_curve: Make) -> None:
    found = suggest([make_curve(dip), make_curve(noise_only), make_curve(dip)])
    assert found.seeds[1].suggestion is None
    assert found.spread == 0.0


@pytest.mark.parametrize(
    ("apart", "status"),
    [pytest.param(20, LrStatus.OK, id="0.60"), pytest.param(29, LrStatus.APART, id="0.86")],
)
def test_seeds_more_than_0_7_decades_apart_decide_nothing(
    make_curve: Make, apart: int, status: LrStatus
) -> None:
    """Two values that are d apart have a median absolute deviation of d / 2."""
    found = suggest([shifted(make_curve, 0, seed=0), shifted(make_curve, apart, seed=1)])
    assert found.spread == pytest.approx(1.4826 * apart * 8 / 199 / 2.0, abs=0.02)
    assert found.status is status
    if status is LrStatus.APART:
        assert found.reason == (
            "the seeds disagree: their own suggestions have a standard deviation of 0.9 decades"
        )
        assert found.advice == "--steps 400 --seeds 10"
        assert found.suggestion is None
        assert found.edge is not None


def test_one_odd_seed_of_five_is_no_contradiction(make_curve: Make) -> None:
    usual = [shifted(make_curve, k, seed=k) for k in range(4)]
    found = suggest([*usual, shifted(make_curve, 60, seed=4)])
    assert found.status is LrStatus.OK


def noisy_valleys(
    make_curve: Make, generator: np.random.Generator, count: int, *, noise: float = 0.4
) -> list[LrCurve]:
    return [
        make_curve(
            lambda x: valley(x) + noise * generator.standard_normal(len(x)),
            keep=155,
            end=SweepEnd.DIVERGED,
        )
        for _ in range(count)
    ]


def test_several_seeds_answer_more_alike_than_one(make_curve: Make) -> None:
    """Nearly by the root of their number, if noise is all that they differ in."""
    generator = np.random.default_rng(0)

    def deviation(seeds: int) -> float:
        found = [suggest(noisy_valleys(make_curve, generator, seeds)) for _ in range(60)]
        rates = [math.log10(one.suggestion) for one in found if one.suggestion]
        assert len(rates) >= 58
        return float(np.std(rates))

    assert deviation(5) < 0.65 * deviation(1)


def test_several_seeds_see_a_fall_that_one_does_not(make_curve: Make) -> None:
    generator = np.random.default_rng(0)

    def seen(seeds: int) -> int:
        found = [suggest(noisy_valleys(make_curve, generator, seeds, noise=2.5)) for _ in range(30)]
        return sum(one.status is LrStatus.OK for one in found)

    assert seen(1) < 10
    assert seen(10) > 20


def test_a_seed_that_blew_up_early_counts_as_one_seed(make_curve: Make) -> None:
    def early(x: np.ndarray) -> np.ndarray:
        return np.where(x < -5.0, 2.0, 1e12)

    usual = [make_curve(valley, seed=seed) for seed in range(4)]
    wild = make_curve(early, keep=60, end=SweepEnd.DIVERGED, seed=4)
    plain, found = suggest(usual), suggest([*usual, wild])
    assert found.status is LrStatus.OK
    for name in ("suggestion", "edge", "steepest", "minimum"):
        assert getattr(found, name) == pytest.approx(getattr(plain, name), rel=0.2), name
    assert found.seeds[4].suggestion is None


def test_a_curve_without_an_answer_passes_on_what_was_read(make_curve: Make) -> None:
    found = suggest([make_curve(noise_only, keep=180, end=SweepEnd.DIVERGED)])
    assert found.status is LrStatus.FLAT
    assert found.suggestion is found.peak is found.band is found.search_range is None
    assert found.edge == pytest.approx(10.0 ** (-7 + 179 * 8 / 199))
    assert found.reason.startswith("the loss fell by ")
    assert found.advice == "--steps 400"


def test_drop_and_noise_are_those_of_the_mean(make_curve: Make) -> None:
    def figures(found: LrSuggestion) -> tuple[float | None, float | None]:
        return found.drop, found.noise

    generator = np.random.default_rng(0)
    drop, noise = figures(suggest(noisy_valleys(make_curve, generator, 4)))
    assert drop == pytest.approx(2.0, abs=0.3)
    assert noise == pytest.approx(0.2, rel=0.3)
    short = make_curve(valley, keep=5, end=SweepEnd.NON_FINITE, ended_by="non-finite loss")
    assert figures(suggest([short])) == (None, None)


@pytest.mark.parametrize(
    ("rate", "edge", "expected"),
    [
        pytest.param(0.01, None, (0.001, 0.1), id="no edge"),
        pytest.param(0.01, 5.0, (0.001, 0.1), id="an edge far above"),
        pytest.param(0.01, 0.03, (0.001, 0.03), id="an edge inside"),
        pytest.param(0.01, 0.005, (0.001, 0.01), id="an edge below the rate"),
    ],
)
def test_the_range_to_search(
    rate: float, edge: float | None, expected: tuple[float, float]
) -> None:
    assert search_range(rate, edge) == expected


def test_the_band_is_five_below_and_ten_above() -> None:
    assert band_around(0.0034) == (6.8e-4, 0.034)


def test_a_seed_that_blew_up_early_makes_no_edge(make_curve: Make) -> None:
    """Four of five go through the whole range, where nothing rises."""
    usual = [make_curve(falls, seed=seed) for seed in range(4)]
    wild = make_curve(
        lambda x: np.where(x < -5.0, 2.0, 1e12), keep=60, end=SweepEnd.DIVERGED, seed=4
    )
    assert suggest(usual).edge is None
    assert suggest([*usual, wild]).edge is None
