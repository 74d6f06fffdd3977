from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest

from dltune.lr.blow_up import batch_noise
from dltune.lr.curve import LrCurve, SweepEnd
from dltune.lr.smooth import SIGMA_DECADES, combine, smooth
from tests.lr.closed_forms import dip, valley

RATES = 10.0 ** np.linspace(-6, 0, 301)
LOG_RATES = np.log10(RATES)
INSIDE = slice(60, -60)  # further from the ends than the kernel reaches


def test_the_smoother_has_no_lag() -> None:
    """A logistic curve keeps its middle, its steepest point and its ends."""
    losses = 2.0 / (1.0 + np.exp((LOG_RATES + 3.0) / 0.25))
    curve = smooth(RATES.tolist(), losses.tolist(), blown_up=False)
    middle = int(np.argmin(np.abs(LOG_RATES + 3.0)))
    assert int(np.argmin(curve.slopes)) == middle
    assert curve.losses[middle] == pytest.approx(1.0, abs=1e-3)
    assert curve.start == pytest.approx(2.0, abs=1e-3)
    assert curve.losses[-1] == pytest.approx(0.0, abs=1e-3)


def test_value_and_slope_of_a_gaussian_are_the_closed_form() -> None:
    """A Gaussian dip convolved with a Gaussian is a wider Gaussian."""
    width = 0.5
    wider = math.hypot(width, SIGMA_DECADES)
    depth = 3.0 * width / wider
    x = LOG_RATES + 3.0
    curve = smooth(
        RATES.tolist(), (1.0 - 3.0 * np.exp(-0.5 * (x / width) ** 2)).tolist(), blown_up=False
    )
    dip = depth * np.exp(-0.5 * (x / wider) ** 2)
    assert curve.losses[INSIDE] == pytest.approx((1.0 - dip)[INSIDE], abs=2e-3)
    assert curve.slopes[INSIDE] == pytest.approx((dip * x / wider**2)[INSIDE], abs=2e-2)
    assert curve.drop == pytest.approx(depth, abs=2e-3)


def test_the_slope_does_not_depend_on_the_number_of_steps() -> None:
    def steepest(points: int) -> float:
        rates = np.geomspace(1e-6, 1.0, points)
        losses = 2.0 / (1.0 + np.exp((np.log10(rates) + 3.0) / 0.25))
        return float(smooth(rates.tolist(), losses.tolist(), blown_up=False).slopes.min())

    assert steepest(150) == pytest.approx(steepest(600), rel=0.01)


def test_a_blow_up_does_not_reach_back() -> None:
    losses = np.where(LOG_RATES < -1.0, 1.0, 1e30)
    curve = smooth(RATES.tolist(), losses.tolist(), blown_up=True)
    assert curve.losses == pytest.approx(np.ones(301))


def test_beyond_a_blow_up_the_curve_stays_up() -> None:
    falling = (-LOG_RATES).tolist()
    stays = smooth(RATES.tolist(), falling, blown_up=False)
    rises = smooth(RATES.tolist(), falling, blown_up=True)
    assert stays.losses[-1] == pytest.approx(0.0, abs=0.02)
    assert stays.slopes[-1] == pytest.approx(-1.0, abs=0.02)
    assert rises.losses[-1] > 2.0
    assert rises.losses[INSIDE] == pytest.approx(stays.losses[INSIDE])


def test_residue_and_drop_error_are_what_noise_leaves() -> None:
    generator = np.random.default_rng(0)
    curves = [
        smooth(RATES.tolist(), (0.1 * generator.standard_normal(301)).tolist(), blown_up=False)
        for _ in range(200)
    ]
    left = np.std([curve.losses[INSIDE] for curve in curves])
    assert np.mean([curve.noise for curve in curves]) == pytest.approx(0.1, rel=0.05)
    assert np.mean([curve.residue for curve in curves]) == pytest.approx(left, rel=0.05)
    starts = np.std([curve.start for curve in curves])
    errors = np.mean([curve.drop_error for curve in curves])
    assert errors == pytest.approx(math.hypot(left, starts), rel=0.1)


def test_a_sweep_that_starts_in_the_fall_knows_where_it_started() -> None:
    rates = np.geomspace(1e-3, 1.0, 151)
    losses = 2.0 / (1.0 + np.exp((np.log10(rates) + 2.5) / 0.1))
    curve = smooth(rates.tolist(), losses.tolist(), blown_up=False)
    assert curve.start == pytest.approx(losses[2])


Make = Callable[..., LrCurve]
BLOWN = {"end": SweepEnd.DIVERGED, "ended_by": "loss above its start"}


def broken(curve: LrCurve) -> LrCurve:
    """The fresh model had no finite loss."""
    return dataclasses.replace(
        curve,
        rates=(),
        losses=(),
        initial_loss=math.nan,
        end=SweepEnd.NON_FINITE,
        ended_by="non-finite loss",
        ended_at=None,
    )


def test_one_curve_that_stays_below_its_start_is_itself(make_curve: Make) -> None:
    curve = make_curve(lambda x: 2.0 - (x > -4.0))
    assert combine([curve]) == curve


def test_a_mean_at_every_rate(make_curve: Make) -> None:
    curves = [
        make_curve(lambda x, k=k: k * dip(x), initial_loss=k, epochs=k) for k in (1.0, 2.0, 6.0)
    ]
    mean = combine(curves)
    assert mean.losses == pytest.approx(make_curve(lambda x: 3.0 * dip(x)).losses)
    assert mean.rates == curves[0].rates
    assert mean.initial_loss == pytest.approx(3.0)
    assert mean.epochs == pytest.approx(9.0)
    assert mean.end is SweepEnd.RANGE


def test_noise_goes_down_with_the_root_of_the_seeds(make_curve: Make) -> None:
    """And so does what a fall must be to be seen."""
    generator = np.random.default_rng(0)
    curves = [
        make_curve(lambda x: 0.1 * generator.standard_normal(len(x)), steps=2000) for _ in range(9)
    ]
    alone, mean = curves[0], combine(curves)
    # A loss is cut off at three standard deviations, which takes next to nothing from a normal one.
    assert batch_noise(mean.losses) == pytest.approx(0.1 / 3.0, rel=0.1)
    errors = [smooth(one.rates, one.losses, blown_up=False).drop_error for one in (mean, alone)]
    assert errors[0] == pytest.approx(errors[1] / 3.0, rel=0.1)


@pytest.mark.parametrize("last", [3.0, 1e9, 1e300])
def test_a_seed_that_blew_up_counts_as_one_however_high(make_curve: Make, last: float) -> None:
    """Without noise it is cut off at its start of 2, and stays there."""
    usual = make_curve(lambda x: np.where(x < -3.0, 2.0, 1.0))
    wild = make_curve(lambda x: np.where(x < -5.0, 2.0, last), keep=55, **BLOWN)
    mean = combine([usual, wild, usual, usual])
    expected = np.where(np.log10(usual.rates) < -3.0, 2.0, (3.0 * 1.0 + 2.0) / 4.0)
    assert mean.losses == pytest.approx(expected)
    assert mean.rates == usual.rates


def test_the_height_at_which_a_seed_is_cut_off_is_three_units_of_its_noise(
    make_curve: Make,
) -> None:
    def noisy(x: np.ndarray) -> np.ndarray:
        losses = 2.0 + 0.1 * np.random.default_rng(0).standard_normal(len(x))
        losses[:5] = 2.0  # a start without doubt
        losses[-3:] = 1e6
        return losses

    mean = combine([make_curve(noisy, steps=4000, **BLOWN)])
    assert mean.losses[-1] == pytest.approx(2.0 + 3.0 * 0.1, abs=0.03)


def test_the_mean_goes_as_far_as_the_longest(make_curve: Make) -> None:
    curves = [make_curve(valley, keep=keep, **BLOWN) for keep in (120, 150, 140)]
    mean = combine(curves)
    assert (mean.rates, mean.ended_at) == (curves[1].rates, curves[1].ended_at)
    assert (mean.end, mean.ended_by) == (SweepEnd.DIVERGED, "loss above its start")
    # Up to where the first one ends it is what all of them are.
    assert mean.losses[:120] == pytest.approx(np.minimum(curves[0].losses, 2.0), abs=1e-3)
    assert mean.losses[-1] > curves[1].losses[-1]


def test_the_order_of_the_seeds_plays_no_part(make_curve: Make) -> None:
    curves = [
        make_curve(lambda x: valley(x) + 0.1),
        make_curve(valley, keep=120, **BLOWN),
        make_curve(lambda x: valley(x) + 0.2),
    ]
    means = [combine(order) for order in itertools.permutations(curves)]
    for mean in means[1:]:
        assert mean.losses == pytest.approx(means[0].losses, rel=1e-12)
        assert (mean.rates, mean.end) == (means[0].rates, means[0].end)


def test_a_seed_without_losses_counts_only_where_all_are_without(make_curve: Make) -> None:
    usual = make_curve(valley)
    without = broken(usual)
    some = combine([without, usual, without])
    assert some.losses == combine([usual]).losses
    assert (some.initial_loss, some.end, some.ended_by) == (usual.initial_loss, SweepEnd.RANGE, "")
    assert combine([without, without]) == without
