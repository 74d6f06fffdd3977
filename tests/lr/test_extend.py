"""A sweep that finds its own range and speed, on curves in closed form."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from dltune.data.device import DeviceData
from dltune.errors import SweepError
from dltune.lr.curve import LrCurve, SweepEnd
from dltune.lr.extend import DEFAULT_RANGES, SweepRange, learned_little, sweep_where_needed
from dltune.lr.finder import Finder
from dltune.lr.read import LrStatus, read
from dltune.lr.smooth import combine
from dltune.recipe.schema import Config, OptimConfig
from tests.lr.closed_forms import dip, noise_only, valley

Loss = Callable[[np.ndarray], np.ndarray]
Make = Callable[..., LrCurve]
Plan = tuple[float, float, int]


def swept(
    make_curve: Make, loss: Loss, start: SweepRange, **curve: object
) -> tuple[list[Plan], list[LrCurve], list[str]]:
    """The sweeps that were made, the last one's curves, and the notes."""
    plans: list[Plan] = []

    def sweep(low: float, high: float, steps: int) -> list[LrCurve]:
        plans.append((low, high, steps))
        return [make_curve(loss, low=low, high=high, steps=steps, **curve)]

    curves, notes = sweep_where_needed(sweep, start)
    return plans, curves, notes


START = SweepRange(low=1e-5, high=1.0, steps=101)


def test_every_optimizer_has_a_range_around_its_default() -> None:
    union, _ = get_args(OptimConfig)
    kinds = [get_args(option)[0] for option in get_args(union)]
    assert {kind().name for kind in kinds} == set(DEFAULT_RANGES)
    for kind in kinds:
        low, high = DEFAULT_RANGES[kind().name]
        assert 10 * low < kind().lr < high / 10


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        # Adam's usual range, 2e-5 to 10, is 5.7 decades.
        pytest.param({}, (2e-5, 10.0, 286), id="nothing"),
        pytest.param({"low": 1e-3}, (1e-3, 10.0, 201), id="low"),
        pytest.param({"high": 2.0}, (2e-5, 2.0, 251), id="high"),
        pytest.param({"steps": 60}, (2e-5, 10.0, 60), id="steps"),
        pytest.param({"low": 1e-2, "high": 0.1}, (1e-2, 0.1, 51), id="one decade"),
        pytest.param({"low": 0.1, "high": 0.2}, (0.1, 0.2, 20), id="never fewer steps than 20"),
        pytest.param({"low": 1e-3, "high": 1.0, "steps": 33}, (1e-3, 1.0, 33), id="all"),
    ],
)
def test_a_range_is_what_was_chosen_and_the_usual_for_the_rest(
    chosen: dict[str, float], expected: Plan
) -> None:
    made = SweepRange.of("adam", per_decade=50, **chosen)
    assert (made.low, made.high, made.steps) == expected
    fixed = {"low": made.fixed_low, "high": made.fixed_high, "steps": made.fixed_steps}
    assert {name for name, is_fixed in fixed.items() if is_fixed} == set(chosen)


@pytest.mark.parametrize(
    "chosen",
    [
        pytest.param({"low": 100.0}, id="above the usual highest"),
        pytest.param({"high": 1e-9}, id="below the usual lowest"),
        pytest.param({"low": 0.0}, id="zero"),
        pytest.param({"high": math.inf}, id="infinite"),
        pytest.param({"low": math.nan}, id="nan"),
        pytest.param({"steps": 19}, id="few steps"),
    ],
)
def test_an_impossible_range_is_refused_before_any_sweep(chosen: dict[str, float]) -> None:
    with pytest.raises(SweepError):
        SweepRange.of("adam", per_decade=50, **chosen)


def test_a_range_that_will_do_is_swept_once(make_curve: Make) -> None:
    plans, curves, notes = swept(make_curve, dip, START)
    assert plans == [(1e-5, 1.0, 101)]
    assert notes == []
    assert curves == [make_curve(dip, low=1e-5, high=1.0, steps=101)]


def test_it_grows_upwards_where_the_loss_still_falls(make_curve: Make) -> None:
    """Two decades, at twenty steps a decade as before."""
    plans, curves, notes = swept(make_curve, lambda x: valley(x, middle=0.0, wall=1.9), START)
    assert plans == [(1e-5, 1.0, 101), (1e-5, 100.0, 141)]
    assert notes == [
        "the loss still falls at the highest rate, 1: its minimum and the stability edge "
        "lie beyond: swept again from 1e-05 to 1e+02"
    ]
    assert curves[0].high == 100.0
    assert read(combine(curves)).status is LrStatus.OK


def test_it_grows_downwards_where_the_loss_only_rises(make_curve: Make) -> None:
    def loss(x: np.ndarray) -> np.ndarray:
        return valley(x, middle=-5.5, wall=-3.0)

    plans, _, notes = swept(make_curve, loss, START)
    assert plans == [(1e-5, 1.0, 101), (pytest.approx(1e-7), 1.0, 141)]
    assert notes == [
        "the loss falls from the lowest rate, 1e-05, on: where the fall begins was not seen: "
        "swept again from 1e-07 to 1"
    ]


def test_it_grows_downwards_where_it_broke_off_at_once(make_curve: Make) -> None:
    broken = {"keep": 3, "end": SweepEnd.NON_FINITE, "ended_by": "non-finite gradient"}
    plans, _, notes = swept(make_curve, valley, START, **broken)
    assert [low for low, _, _ in plans] == pytest.approx([1e-5, 1e-7, 1e-9, 1e-11])
    assert notes[0] == (
        "non-finite gradient after 3 updates, at 1.3e-05: 3 losses are too few for a slope, "
        "10 are needed: swept again from 1e-07 to 1"
    )


@pytest.mark.parametrize(
    ("loss", "fixed"),
    [
        pytest.param(lambda x: valley(x, middle=0.0, wall=1.9), {"fixed_high": True}, id="high"),
        pytest.param(lambda x: valley(x, middle=-5.5, wall=-3.0), {"fixed_low": True}, id="low"),
    ],
)
def test_an_end_that_was_chosen_stays(make_curve: Make, loss: Loss, fixed: dict[str, bool]) -> None:
    plans, _, notes = swept(make_curve, loss, dataclasses.replace(START, **fixed))
    assert plans == [(1e-5, 1.0, 101)]
    assert notes == []


def test_the_other_end_moves_although_one_was_chosen(make_curve: Make) -> None:
    start = dataclasses.replace(START, fixed_low=True)
    plans, _, _ = swept(make_curve, lambda x: valley(x, middle=0.0, wall=1.9), start)
    assert plans[1:] == [(1e-5, 100.0, 141)]


def test_steps_that_were_chosen_stay(make_curve: Make) -> None:
    """Over a wider range, and where nothing is learned."""
    start = dataclasses.replace(START, fixed_steps=True)
    plans, _, _ = swept(make_curve, lambda x: valley(x, middle=0.0, wall=1.9), start)
    assert plans == [(1e-5, 1.0, 101), (1e-5, 100.0, 101)]
    plans, _, notes = swept(make_curve, noise_only, start)
    assert plans == [(1e-5, 1.0, 101)]
    assert notes == []


def test_it_is_widened_three_times_at_most(make_curve: Make) -> None:
    """A loss that falls for ever: as many notes as there were new sweeps, and all of them true."""
    plans, curves, notes = swept(make_curve, lambda x: -x, START)
    assert plans == [
        (1e-5, 1.0, 101),
        (1e-5, 1e2, 141),
        (1e-5, 1e4, 181),
        (1e-5, 1e6, 221),
    ]
    assert [note.rpartition(": ")[2] for note in notes] == [
        f"swept again from 1e-05 to 1e+0{power}" for power in (2, 4, 6)
    ]
    assert curves[0].high == 1e6


def test_where_nothing_was_learned_it_is_swept_once_more_and_slower(make_curve: Make) -> None:
    plans, curves, notes = swept(make_curve, noise_only, START)
    assert plans == [(1e-5, 1.0, 101), (1e-5, 1.0, 404)]
    assert notes == ["the model hardly learned anything: swept again, 4 times slower"]
    assert curves[0].steps == 404


def test_a_slower_sweep_may_have_to_be_wider_too(make_curve: Make) -> None:
    """A plateau: below a rate of 1 nothing moves unless the sweep is slow, and then it falls."""
    plans: list[Plan] = []

    def sweep(low: float, high: float, steps: int) -> list[LrCurve]:
        plans.append((low, high, steps))
        loss = noise_only if len(plans) == 1 else lambda x: valley(x, middle=0.0, wall=1.9)
        return [make_curve(loss, low=low, high=high, steps=steps)]

    _, notes = sweep_where_needed(sweep, START)
    assert plans == [(1e-5, 1.0, 101), (1e-5, 1.0, 404), (1e-5, 100.0, 565)]
    assert len(notes) == 2


@pytest.mark.parametrize(
    ("loss", "curve", "little"),
    [
        pytest.param(noise_only, {}, True, id="no fall"),
        pytest.param(dip, {}, False, id="a fall, and nothing to compare with"),
        pytest.param(lambda x: 0.87 + 0.1 * dip(x), {"baseline": 1.0}, False, id="11 % less"),
        pytest.param(lambda x: 1.00 + 0.1 * dip(x), {"baseline": 1.0}, True, id="2 % more"),
        pytest.param(lambda x: 0.93 + 0.1 * dip(x), {"baseline": 1.0}, True, id="5 % less"),
        pytest.param(lambda x: -x, {"baseline": 1.0}, False, id="of a fall without an end"),
        pytest.param(
            lambda x: np.full_like(x, 0.1), {"baseline": 1.0}, False, id="known all along"
        ),
    ],
)
def test_little_is_less_than_a_tenth_of_what_a_constant_costs(
    make_curve: Make, loss: Loss, curve: dict[str, float], little: bool
) -> None:
    """Smoothed, 0.1 dip is 0.021 deep at its bottom."""
    made = make_curve(loss, **curve)
    assert learned_little(made, read(made)) is little


def test_a_deep_tanh_net_needs_the_slower_sweep(digits: DeviceData) -> None:
    """Eight layers: at first all outputs are alike, and the gradient is next to nothing."""
    config = Config.model_validate(
        {
            "data": {"source": "sklearn:digits"},
            "model": {"hidden": [16] * 8, "activation": "tanh"},
            "optim": {"name": "sgd"},
        }
    )
    finder = Finder(config, digits, Path(), None)
    start = SweepRange.of("sgd", per_decade=25)
    curves, notes = finder.sweep(start, 2)
    assert notes == ["the model hardly learned anything: swept again, 4 times slower"]
    mean = combine(curves)
    assert mean.steps == 4 * start.steps
    assert not learned_little(mean, read(mean))
