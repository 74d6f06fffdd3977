from __future__ import annotations

import math

import numpy as np
import pytest

from dltune.lr.smooth import SIGMA_DECADES, smooth

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
