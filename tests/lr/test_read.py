"""What one curve shows, against closed forms."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import pytest

from dltune.lr.curve import LrCurve, SweepEnd
from dltune.lr.read import LrStatus, read
from tests.lr.closed_forms import (
    SMOOTHED_DEPTH,
    SMOOTHED_WIDTH,
    dip,
    falls,
    noise_only,
    rate_in_dip,
    valley,
)

Loss = Callable[[np.ndarray], np.ndarray]
Make = Callable[..., LrCurve]
RATES = ("edge", "steepest", "minimum", "fading")
STEP = 10.0 ** (8 / 199)  # from a rate to the next


def test_the_rates_of_a_dip_are_those_of_its_formula(make_curve: Make) -> None:
    """Each to the next rate of the sweep, since only those are answers."""
    found = read(make_curve(dip))
    assert (found.status, found.reason, found.advice) == (LrStatus.OK, "", "")
    assert found.minimum is not None
    assert found.edge is not None
    # The first rate within 2 % of the fall of the lowest; the last one before a tenth is lost.
    assert 1.0 / STEP <= rate_in_dip(0.98, side=-1) / found.minimum <= 1.0 + 1e-9
    assert 1.0 - 1e-9 <= rate_in_dip(0.9, side=1) / found.edge <= STEP
    assert found.steepest == pytest.approx(10.0 ** (-3.0 - SMOOTHED_WIDTH), rel=STEP - 1.0)
    assert found.slope == pytest.approx(-SMOOTHED_DEPTH / SMOOTHED_WIDTH * math.exp(-0.5), rel=0.01)
    assert found.smoothed is not None
    assert found.smoothed.drop == pytest.approx(SMOOTHED_DEPTH, rel=0.01)


def test_the_fall_fades_where_its_slope_is_a_quarter(make_curve: Make) -> None:
    """The slope of a Gaussian is u exp(-u^2 / 2) in its widths: u = 0.1534 for a quarter."""
    share = 0.1534
    assert share * math.exp(-(share**2) / 2.0) == pytest.approx(math.exp(-0.5) / 4.0, rel=2e-3)
    found = read(make_curve(dip))
    assert found.fading == pytest.approx(10.0 ** (-3.0 - share * SMOOTHED_WIDTH), rel=STEP - 1.0)


def test_the_rates_of_a_valley_are_where_its_formula_has_them(make_curve: Make) -> None:
    """A wall is rounded by the smoother, by less than its width of a fifth of a decade."""
    found = read(make_curve(valley))
    fine = np.linspace(-4, 0, 100_000)
    losses = valley(fine)
    lowest = float(losses.min())
    edge = 10.0 ** fine[losses <= lowest + 0.1 * (2.0 - lowest)][-1]
    minimum = 10.0 ** fine[losses <= lowest + 0.02 * (2.0 - lowest)][0]
    assert found.status is LrStatus.OK
    assert found.steepest == pytest.approx(1e-3, rel=0.1)
    assert found.edge is not None
    assert found.minimum is not None
    assert abs(math.log10(found.edge / edge)) < 0.2
    assert abs(math.log10(found.minimum / minimum)) < 0.2


def test_of_a_long_flat_bottom_the_first_rate_is_the_minimum(make_curve: Make) -> None:
    """A model that knows its batches by heart: nearly 0 over two decades, and 1 % lower far out."""
    plain = read(make_curve(lambda x: valley(x, wall=0.5)))
    lower_far_out = read(make_curve(lambda x: valley(x, wall=0.5) - 0.02 / (1.0 + 10.0 ** (-x))))
    assert plain.minimum is not None
    assert plain.edge is not None
    assert plain.minimum < plain.edge / 50
    assert lower_far_out.minimum == pytest.approx(plain.minimum, rel=STEP - 1.0 + 1e-9)


def test_a_dip_before_the_last_rise_is_no_edge(make_curve: Make) -> None:
    """The edge is where the loss leaves for good: a bump of a fifth of the drop comes back."""

    def bumpy(x: np.ndarray) -> np.ndarray:
        return valley(x, wall=0.0) + 0.6 * np.exp(-0.5 * ((x + 1.5) / 0.1) ** 2)

    plain, found = read(make_curve(lambda x: valley(x, wall=0.0))), read(make_curve(bumpy))
    assert found.edge == plain.edge


@pytest.mark.parametrize(
    "plan",
    [
        pytest.param({"steps": 100}, id="half the steps"),
        pytest.param({"steps": 400}, id="twice the steps"),
        pytest.param({"low": 1e-9, "high": 1e3, "steps": 300}, id="longer range"),
        pytest.param({"low": 1e-5, "high": 1.0, "steps": 125}, id="shorter range"),
        pytest.param({"low": 2.5e-7, "high": 7.0}, id="other grid points"),
    ],
)
@pytest.mark.parametrize("loss", [dip, valley])
def test_the_answer_does_not_depend_on_range_and_steps(
    make_curve: Make, loss: Loss, plan: dict[str, float]
) -> None:
    usual, other = read(make_curve(loss)), read(make_curve(loss, **plan))
    decades = math.log10(plan.get("high", 10) / plan.get("low", 1e-7))
    step = max(8 / 199, decades / (plan.get("steps", 200) - 1))
    for name in RATES:
        apart = math.log10(getattr(usual, name) / getattr(other, name))
        assert abs(apart) <= 1.6 * step, name


@pytest.mark.parametrize("shift", [0.0, -50.0, 1000.0])
@pytest.mark.parametrize("scale", [1.0, 1e-9, 1e9])
def test_the_answer_does_not_depend_on_the_loss_scale(
    make_curve: Make, scale: float, shift: float
) -> None:
    """Negative and tiny losses are as good as any: only their differences count."""
    usual = read(make_curve(valley))
    other = read(make_curve(lambda x: scale * (valley(x) + shift)))
    for name in (*RATES, "status"):
        assert getattr(other, name) == getattr(usual, name), name
    assert usual.slope is not None
    assert other.slope == pytest.approx(scale * usual.slope)


def test_a_curve_that_moves_along_the_axis_takes_the_answer_with_it(make_curve: Make) -> None:
    usual = read(make_curve(valley, low=1e-6, high=1.0, steps=151))
    moved = read(
        make_curve(lambda x: valley(x, middle=-2.0, wall=0.0), low=1e-5, high=10.0, steps=151)
    )
    for name in RATES:
        assert getattr(moved, name) == pytest.approx(10.0 * getattr(usual, name)), name


def test_noise_moves_the_rates_little(make_curve: Make) -> None:
    usual = read(make_curve(valley))
    for seed in range(20):
        noise = 0.1 * np.random.default_rng(seed).standard_normal(200)
        found = read(make_curve(lambda x, noise=noise: valley(x) + noise))
        assert found.status is LrStatus.OK
        for name in ("edge", "steepest", "minimum"):
            apart = math.log10(getattr(found, name) / getattr(usual, name))
            assert abs(apart) < 0.4, (seed, name)


def test_pure_noise_is_refused_nearly_always(make_curve: Make) -> None:
    """Four standard deviations over the whole curve: about one in two hundred passes."""
    generator = np.random.default_rng(0)
    passed = sum(
        read(make_curve(lambda x: generator.standard_normal(len(x)))).status is not LrStatus.FLAT
        for _ in range(300)
    )
    assert passed <= 5


def test_a_curve_that_ends_in_nan_has_its_edge_before_it(make_curve: Make) -> None:
    found = read(
        make_curve(falls, keep=150, end=SweepEnd.NON_FINITE, ended_by="non-finite loss")  # at 1e-1
    )
    assert found.status is LrStatus.OK
    assert found.edge == pytest.approx(0.1, rel=0.5)


def test_without_a_rise_there_is_no_edge(make_curve: Make) -> None:
    found = read(make_curve(falls))
    assert found.status is LrStatus.OK
    assert found.edge is None


ENDED = {"keep": 180, "end": SweepEnd.DIVERGED, "ended_by": "loss above its start"}  # at 1.6

REFUSALS = [
    pytest.param(
        lambda x: np.full_like(x, 2.0),
        {},
        LrStatus.FLAT,
        "the loss does not move from 2",
        "--steps 400",
        id="constant",
    ),
    pytest.param(
        lambda x: np.full_like(x, 2.0),
        ENDED,
        LrStatus.FLAT,
        "the loss does not move from 2, until it blew up at 1.6",
        "--steps 400",
        id="constant until it blows up",
    ),
    pytest.param(
        lambda x: falls(x, middle=0.5, width=0.5),
        {},
        LrStatus.FALLING,
        "the loss still falls at the highest rate, 10: its minimum and the stability edge "
        "lie beyond",
        "--max-lr 1e+03",
        id="falling at the end",
    ),
    pytest.param(
        lambda x: 2.0 + 10.0 ** (x - 1.0),
        {"low": 1.0, "high": 1e6, "keep": 25, "end": SweepEnd.DIVERGED},
        LrStatus.RISING,
        "the loss only rises from the lowest rate, 1, on",
        "--min-lr 0.01",
        id="only rising",
    ),
    pytest.param(
        valley,
        {"low": 1e-3, "high": 1.0, "steps": 100},
        LrStatus.RISING,
        "the loss falls from the lowest rate, 0.001, on: where the fall begins was not seen",
        "--min-lr 1e-05",
        id="begins in the fall",
    ),
    pytest.param(
        valley,
        {"keep": 9, "end": SweepEnd.NON_FINITE, "ended_by": "non-finite gradient"},
        LrStatus.SHORT,
        "non-finite gradient after 9 updates, at 2.1e-07: 9 losses are too few for a slope, "
        "10 are needed",
        "--min-lr 1e-09",
        id="few points",
    ),
    pytest.param(
        valley,
        {
            "keep": 4,
            "end": SweepEnd.NON_FINITE,
            "ended_by": "non-finite loss",
            "ended_at": 1.448e-7,
        },
        LrStatus.SHORT,
        "non-finite loss after 5 updates, at 1.4e-07: 4 losses are too few for a slope, "
        "10 are needed",
        "--min-lr 1e-09",
        id="few points, and an update without a loss",
    ),
    pytest.param(
        lambda x: 2.3 + 0.1 * falls(x),
        {"baseline": 2.3026},
        LrStatus.FLAT,
        "the loss falls to 2.3 and no further: a prediction that does not look at the inputs has "
        "2.3, so the model learned nothing yet",
        "--validate",
        id="a constant prediction is all that was learned",
    ),
    pytest.param(
        lambda x: np.full_like(x, 0.125),
        {"baseline": 1.0},
        LrStatus.LEARNED,
        "the loss starts at 0.125, where a prediction that does not look at the inputs has 1, and "
        "falls no further: a model that was trained before shows only where it breaks",
        "--validate",
        id="trained before",
    ),
    pytest.param(
        lambda x: np.full_like(x, 0.125),
        {"baseline": 1.0, **ENDED},
        LrStatus.LEARNED,
        "the loss starts at 0.125, where a prediction that does not look at the inputs has 1, and "
        "falls no further, until it blew up at 1.6: a model that was trained before shows only "
        "where it breaks",
        "--validate",
        id="trained before, and breaks",
    ),
]


@pytest.mark.parametrize(("loss", "plan", "status", "reason", "advice"), REFUSALS)
def test_a_curve_that_shows_no_rate_says_why(
    make_curve: Make,
    loss: Loss,
    plan: dict[str, object],
    status: LrStatus,
    reason: str,
    advice: str,
) -> None:
    found = read(make_curve(loss, **plan))
    assert (found.status, found.reason, found.advice) == (status, reason, advice)


@pytest.mark.parametrize(
    ("plan", "until"),
    [
        pytest.param({}, "; from", id="the whole range"),
        pytest.param(ENDED, ", until it blew up at 1.6; from", id="blown up"),
    ],
)
def test_a_fall_below_the_noise_is_flat(
    make_curve: Make, plan: dict[str, object], until: str
) -> None:
    found = read(make_curve(lambda x: noise_only(x) + 1e-3 * falls(x), **plan))
    assert found.status is LrStatus.FLAT
    assert found.smoothed is not None
    assert found.reason == (
        f"the loss fell by {max(found.smoothed.drop, 0.0):.2g}{until} batch to batch it varies so "
        f"much that {4.0 * found.smoothed.drop_error:.2g} could be chance"
    )
    assert found.advice == "--steps 400"


def test_a_broken_start_is_about_the_data(make_curve: Make) -> None:
    curve = dataclasses.replace(
        make_curve(valley, keep=0, end=SweepEnd.NON_FINITE, ended_by="non-finite loss"),
        initial_loss=math.nan,
        ended_at=None,
    )
    found = read(curve)
    assert found.status is LrStatus.NON_FINITE
    assert found.reason == (
        "non-finite loss before the first update: look for NaN or infinity in the data, "
        "or in what the model does with it"
    )


@pytest.mark.parametrize(
    ("plan", "edge"),
    [
        pytest.param({}, None, id="it goes through the range"),
        pytest.param(ENDED, 10.0 ** (-7 + 179 * 8 / 199), id="it blows up"),
    ],
)
@pytest.mark.parametrize(
    "shape",
    [
        pytest.param({"loss": noise_only}, id="flat"),
        pytest.param({"loss": noise_only, "baseline": 10.0}, id="learned"),
        pytest.param({"loss": lambda x: 2.3 + falls(x), "baseline": 2.3}, id="nothing learned"),
    ],
)
def test_without_a_rate_the_edge_is_where_it_blew_up(
    make_curve: Make, shape: dict[str, object], plan: dict[str, object], edge: float | None
) -> None:
    found = read(make_curve(**shape, **plan))
    assert found.status in (LrStatus.FLAT, LrStatus.LEARNED)
    assert found.edge == (None if edge is None else pytest.approx(edge))
    assert found.minimum is found.steepest is found.slope is None


TWINS = [
    pytest.param(
        lambda x: 1.005 + valley(x), {"baseline": 1.0}, LrStatus.FLAT, id="nothing learned"
    ),
    pytest.param(
        lambda x: 0.93 + valley(x), {"baseline": 1.0}, LrStatus.OK, id="something learned"
    ),
    pytest.param(
        lambda x: np.full_like(x, 0.66), {"baseline": 1.0}, LrStatus.LEARNED, id="known before"
    ),
    pytest.param(lambda x: np.full_like(x, 0.67), {"baseline": 1.0}, LrStatus.FLAT, id="as fresh"),
    pytest.param(
        lambda x: np.full_like(x, 0.1),
        {"baseline": None},
        LrStatus.FLAT,
        id="nothing to compare with",
    ),
    pytest.param(
        lambda x: 2.0 + 10.0 ** (x - 1.0),
        {"low": 1.0, "high": 1e4, "steps": 101, "keep": 50, "end": SweepEnd.DIVERGED},
        LrStatus.RISING,
        id="a rise within less than two decades",
    ),
    pytest.param(
        lambda x: np.full_like(x, 2.0),
        {"low": 1.0, "high": 1e4, "steps": 101, "keep": 53, "end": SweepEnd.DIVERGED},
        LrStatus.FLAT,
        id="a rise after more than two",
    ),
    pytest.param(
        lambda x: valley(x, middle=-6.6), {"steps": 400}, LrStatus.RISING, id="0.4 decades in"
    ),
    pytest.param(
        lambda x: valley(x, middle=-6.3), {"steps": 400}, LrStatus.OK, id="0.7 decades in"
    ),
]


@pytest.mark.parametrize(("loss", "plan", "status"), TWINS)
def test_on_either_side_of_a_limit(
    make_curve: Make, loss: Loss, plan: dict[str, object], status: LrStatus
) -> None:
    assert read(make_curve(loss, **plan)).status is status
