from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import pytest

from dltune.lr.curve import LrCurve, SweepEnd
from dltune.lr.smooth import SIGMA_DECADES
from dltune.lr.suggest import LrStatus, suggest, two_digits

Loss = Callable[[np.ndarray], np.ndarray]
Make = Callable[..., LrCurve]
NAN = float("nan")


# sech^2(u / 2) = 1/4 at u = 2 ln(2 + sqrt 3). Smoothing adds its variance to the logistic's, which
# is (pi width)^2 / 3.
_WIDTH = math.sqrt(0.25**2 + 3.0 * SIGMA_DECADES**2 / math.pi**2)
FADES = 10.0 ** (-3.0 + 2.0 * math.log(2.0 + math.sqrt(3.0)) * _WIDTH)


def falls(x: np.ndarray, *, middle: float = -3.0, width: float = 0.25) -> np.ndarray:
    """Logistic in log10 of the rate: 2 at low rates, 0 at high ones, steepest at `middle`."""
    return 2.0 / (1.0 + np.exp((x - middle) / width))


def valley(x: np.ndarray, *, middle: float = -3.0, wall: float = -1.0) -> np.ndarray:
    """The same, and a wall of a fourth power that reaches 2 at `wall`."""
    return falls(x, middle=middle) + 2.0 * 10.0 ** (4.0 * (x - wall))


def edge_of_valley() -> float:
    """Where the noise-free valley has risen by a quarter of its depth of 2, by its formula."""
    return 10.0 ** (-1.0 + math.log10(0.25) / 4.0)


def test_the_rates_of_a_valley_are_where_its_formula_has_them(make_curve: Make) -> None:
    found = suggest(make_curve(valley))
    assert found.status is LrStatus.OK
    assert found.steepest == pytest.approx(1e-3, rel=0.1)
    # The logistic's slope is -2 / (4 width) = -2 in its middle; smoothing takes a fifth of it.
    assert found.slope == pytest.approx(-2.0, rel=0.25)
    fine = np.linspace(-3, -1, 10_000)
    assert found.minimum == pytest.approx(10.0 ** fine[np.argmin(valley(fine))], rel=0.25)
    assert found.edge == pytest.approx(edge_of_valley(), rel=0.25)
    assert found.drop == pytest.approx(2.0, rel=0.02)


def test_the_slope_decides_where_the_edge_is_far(make_curve: Make) -> None:
    """The logistic's slope is a quarter of its steepest at middle + 2 ln(2 + sqrt 3) width."""
    found = suggest(make_curve(lambda x: valley(x, wall=0.5)))
    assert found.suggestion == pytest.approx(FADES, rel=0.15)
    assert found.edge is not None
    assert found.suggestion < found.edge / 6
    assert found.reason.startswith(
        "up to it the loss falls at least a quarter as steeply as at its"
    )


def test_the_edge_bounds_the_slope(make_curve: Make) -> None:
    found = suggest(make_curve(lambda x: valley(x, wall=-2.0)))
    assert found.edge is not None
    assert found.suggestion == two_digits(found.edge / 6)
    assert found.reason.startswith(
        "a sixth of the stability edge; the slope alone would allow 0.00"
    )


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
def test_the_answer_does_not_depend_on_range_and_steps(
    make_curve: Make, plan: dict[str, float]
) -> None:
    usual, other = suggest(make_curve(valley)), suggest(make_curve(valley, **plan))
    step = max(
        8 / 199,
        math.log10(plan.get("high", 10) / plan.get("low", 1e-7)) / (plan.get("steps", 200) - 1),
    )
    for name in ("suggestion", "steepest", "minimum", "edge"):
        decades = math.log10(getattr(usual, name) / getattr(other, name))
        assert abs(decades) <= 1.6 * step, name


@pytest.mark.parametrize("shift", [0.0, -50.0, 1000.0])
@pytest.mark.parametrize("scale", [1.0, 1e-9, 1e9])
def test_the_answer_does_not_depend_on_the_loss_scale(
    make_curve: Make, scale: float, shift: float
) -> None:
    """Negative and tiny losses are as good as any: only their differences count."""
    usual = suggest(make_curve(valley))
    other = suggest(make_curve(lambda x: scale * (valley(x) + shift)))
    for name in ("suggestion", "steepest", "minimum", "edge", "status"):
        assert getattr(other, name) == getattr(usual, name), name


def test_a_curve_that_moves_along_the_axis_takes_the_answer_with_it(make_curve: Make) -> None:
    usual = suggest(make_curve(valley, low=1e-6, high=1.0, steps=151))
    moved = suggest(
        make_curve(lambda x: valley(x, middle=-2.0, wall=0.0), low=1e-5, high=10.0, steps=151)
    )
    for name in ("steepest", "minimum", "edge"):
        assert getattr(moved, name) == pytest.approx(10.0 * getattr(usual, name)), name


def test_noise_moves_the_answer_little(make_curve: Make) -> None:
    usual = suggest(make_curve(valley)).suggestion
    assert usual is not None
    for seed in range(20):
        noise = 0.1 * np.random.default_rng(seed).standard_normal(200)
        found = suggest(make_curve(lambda x, noise=noise: valley(x) + noise))
        assert found.suggestion is not None
        assert abs(math.log10(found.suggestion / usual)) < 0.3


def test_a_curve_that_ends_in_nan_has_its_edge_before_it(make_curve: Make) -> None:
    found = suggest(
        make_curve(falls, keep=150, end=SweepEnd.NON_FINITE, ended_by="non-finite loss")  # at 1e-1
    )
    assert found.status is LrStatus.OK
    assert found.edge == pytest.approx(0.1, rel=0.5)
    assert found.suggestion is not None
    assert found.suggestion <= found.edge / 6


def test_without_an_edge_the_slope_stands_alone(make_curve: Make) -> None:
    found = suggest(make_curve(falls))
    assert found.status is LrStatus.OK
    assert found.edge is None
    assert found.suggestion == pytest.approx(FADES, rel=0.15)
    assert found.reason.endswith("; there is no stability edge up to 10")


def noise_only(x: np.ndarray) -> np.ndarray:
    return 2.0 + 0.1 * np.random.default_rng(1).standard_normal(len(x))


REFUSALS = [
    pytest.param(
        lambda x: np.full_like(x, 2.0),
        {},
        LrStatus.FLAT,
        "the loss does not move from 2",
        id="constant",
    ),
    pytest.param(noise_only, {}, LrStatus.FLAT, "from batch to batch it varies", id="noise"),
    pytest.param(
        lambda x: noise_only(x) + 1e-3 * falls(x),
        {"keep": 180, "end": SweepEnd.DIVERGED},
        LrStatus.FLAT,
        ", until it blew up at ",
        id="a fall below the noise",
    ),
    pytest.param(
        lambda x: falls(x, middle=0.5, width=0.5),
        {},
        LrStatus.FALLING,
        "the loss still falls at the highest rate, 10: its minimum and the stability edge",
        id="monotone",
    ),
    pytest.param(
        lambda x: 2.0 + 10.0 ** (x - 1.0),
        {"low": 1.0, "high": 1e6, "keep": 25, "end": SweepEnd.DIVERGED},
        LrStatus.RISING,
        "the loss only rises from the lowest rate, 1, on",
        id="only rising",
    ),
    pytest.param(
        lambda x: valley(x, wall=-2.0),
        {"low": 2e-3, "high": 1.0, "steps": 100, "keep": 35, "end": SweepEnd.DIVERGED},
        LrStatus.RISING,
        "the sweep starts at 0.002, too close to the stability edge at 0.0",
        id="the answer lies below the range",
    ),
    pytest.param(
        valley,
        {"keep": 9, "end": SweepEnd.NON_FINITE, "ended_by": "non-finite gradient"},
        LrStatus.SHORT,
        "non-finite gradient after 9 updates, at 2.1e-07: 9 losses are too few for a slope",
        id="few points",
    ),
]


@pytest.mark.parametrize(("loss", "plan", "status", "reason"), REFUSALS)
def test_a_curve_that_supports_no_answer_gets_none(
    make_curve: Make, loss: Loss, plan: dict[str, object], status: LrStatus, reason: str
) -> None:
    found = suggest(make_curve(loss, **plan))
    assert found.status is status
    assert found.suggestion is None
    assert reason in found.reason


def test_a_broken_start_is_about_the_data(make_curve: Make) -> None:
    curve = dataclasses.replace(
        make_curve(valley, keep=0, end=SweepEnd.NON_FINITE, ended_by="non-finite loss"),
        initial_loss=NAN,
        ended_at=None,
    )
    found = suggest(curve)
    assert found.status is LrStatus.NON_FINITE
    assert found.suggestion is None
    assert found.reason == (
        "non-finite loss before the first update: look for NaN or infinity in the data, "
        "or in what the model does with it"
    )


@pytest.mark.parametrize(
    ("loss", "plan", "advice"),
    [
        pytest.param(lambda x: falls(x, middle=0.5), {}, "--max-lr 1e+03", id="falling"),
        pytest.param(noise_only, {}, "--steps 400", id="flat"),
        pytest.param(
            lambda x: valley(x, wall=-2.0),
            {"low": 2e-3, "high": 1.0, "steps": 100, "keep": 35, "end": SweepEnd.DIVERGED},
            "--min-lr 2e-05",
            id="rising",
        ),
    ],
)
def test_a_refusal_names_what_to_try(
    make_curve: Make, loss: Loss, plan: dict[str, object], advice: str
) -> None:
    assert suggest(make_curve(loss, **plan)).advice == advice


def test_pure_noise_is_refused_nearly_always(make_curve: Make) -> None:
    """Four standard deviations over the whole curve: about one in two hundred passes."""
    generator = np.random.default_rng(0)
    passed = sum(
        suggest(make_curve(lambda x: generator.standard_normal(len(x)))).status is not LrStatus.FLAT
        for _ in range(300)
    )
    assert passed <= 5
