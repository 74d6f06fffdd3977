"""Schedules against torch's own schedulers and their formulas."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from dltune.recipe.schema import (
    ConstantConfig,
    CosineConfig,
    ExponentialConfig,
    NewbobConfig,
    OneCycleConfig,
    PiecewiseConfig,
    PlateauConfig,
    ScheduleConfig,
    StepConfig,
)
from dltune.training.schedules import lr_factor, momenta, peak_note, peak_notes, warmup_updates
from dltune.training.updates import updates_per_epoch
from tests.training.configs import make_config

UPDATES, PER_EPOCH = 60, 6


def factors(schedule: ScheduleConfig, updates: int = UPDATES) -> list[float]:
    return [
        lr_factor(schedule, update, updates=updates, updates_per_epoch=PER_EPOCH)
        for update in range(updates)
    ]


def torch_factors(make, *, per: int, updates: int = UPDATES) -> list[float]:
    """The rates (with base 1) of a torch scheduler that is stepped every `per` updates."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0, momentum=0.9)
    scheduler = make(optimizer)
    seen = []
    for update in range(updates):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if (update + 1) % per == 0 and update + 1 < updates:
            scheduler.step()
    return seen


def test_constant() -> None:
    assert factors(ConstantConfig()) == [1.0] * UPDATES


def test_step_equals_torch() -> None:
    expected = torch_factors(
        lambda o: torch.optim.lr_scheduler.StepLR(o, step_size=3, gamma=0.5), per=PER_EPOCH
    )
    assert factors(StepConfig(factor=0.5, every=3)) == pytest.approx(expected)


def test_piecewise_equals_torch() -> None:
    """MultiStepLR has powers of one factor only; with a warmup, torch's product of both."""
    expected = torch_factors(
        lambda o: torch.optim.lr_scheduler.MultiStepLR(o, milestones=[2, 3, 7], gamma=0.5),
        per=PER_EPOCH,
    )
    pieces = {"at": [2, 3, 7], "factors": [0.5, 0.25, 0.125]}
    assert factors(PiecewiseConfig(**pieces)) == pytest.approx(expected)
    rise = torch_factors(
        lambda o: torch.optim.lr_scheduler.LinearLR(o, start_factor=1 / 15, total_iters=14), per=1
    )
    both = [one * other for one, other in zip(expected, rise, strict=True)]
    assert factors(PiecewiseConfig(**pieces, warmup=0.25)) == pytest.approx(both)


def test_exponential_equals_torch() -> None:
    expected = torch_factors(
        lambda o: torch.optim.lr_scheduler.ExponentialLR(o, gamma=math.exp(-0.2)), per=PER_EPOCH
    )
    assert factors(ExponentialConfig(decay=0.2)) == pytest.approx(expected)


def test_cosine_equals_torch() -> None:
    expected = torch_factors(
        lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, T_max=UPDATES, eta_min=0.1), per=1
    )
    assert factors(CosineConfig(floor=0.1)) == pytest.approx(expected)


def test_one_cycle_equals_torch_in_rate_and_momentum() -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0, momentum=0.9)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        max_lr=1.0,
        total_steps=UPDATES,
        pct_start=0.3,
        div_factor=25,
        final_div_factor=100,
    )
    schedule = OneCycleConfig(start=1 / 25, end=1 / 2500, peak_at=0.3)
    for update in range(UPDATES):
        group = optimizer.param_groups[0]
        rate = lr_factor(schedule, update, updates=UPDATES, updates_per_epoch=PER_EPOCH)
        assert rate == pytest.approx(group["lr"])
        assert momenta(schedule, update, 1, updates=UPDATES) == pytest.approx(group["momentum"])
        optimizer.step()
        if update + 1 < UPDATES:
            scheduler.step()


# The formulas of docs/recipes.md: from update u of U, with W of warmup and n an epoch.
FORMULAS: dict[str, tuple[ScheduleConfig, Callable[[int, int, int, int], float]]] = {
    "constant": (ConstantConfig(warmup=0.25), lambda u, U, W, n: 1.0),
    "step": (
        StepConfig(warmup=0.25, factor=0.5, every=3),
        lambda u, U, W, n: 0.5 ** math.floor(math.floor(u / n) / 3),
    ),
    "exponential": (
        ExponentialConfig(warmup=0.25, decay=0.2),
        lambda u, U, W, n: math.exp(-0.2 * max(0, math.floor(u / n) - math.floor(W / n))),
    ),
    "cosine": (
        CosineConfig(warmup=0.25, floor=0.1),
        lambda u, U, W, n: 0.1 + 0.9 * (1 + math.cos(math.pi * max(0, u - W) / (U - W))) / 2,
    ),
    "piecewise": (
        PiecewiseConfig(warmup=0.25, at=[4, 6], factors=[0.5, 0.7]),
        lambda u, U, W, n: 1.0 if u < 4 * n else 0.5 if u < 6 * n else 0.7,
    ),
    "plateau": (PlateauConfig(warmup=0.25), lambda u, U, W, n: 1.0),
    "newbob": (NewbobConfig(warmup=0.25), lambda u, U, W, n: 1.0),
}


@pytest.mark.parametrize("epochs", [7, 12])
@pytest.mark.parametrize("per_epoch", [1, 5, 6])
@pytest.mark.parametrize("name", FORMULAS)
def test_a_warmup_multiplies_the_formula(name: str, per_epoch: int, epochs: int) -> None:
    schedule, formula = FORMULAS[name]
    updates = per_epoch * epochs
    warmup = round(0.25 * updates)
    assert warmup_updates(schedule, updates=updates) == warmup
    seen = [
        lr_factor(schedule, update, updates=updates, updates_per_epoch=per_epoch)
        for update in range(updates)
    ]
    expected = [
        min(1.0, (update + 1) / warmup) * formula(update, updates, warmup, per_epoch)
        for update in range(updates)
    ]
    assert seen == pytest.approx(expected)
    assert max(seen) == 1.0


@pytest.mark.parametrize("warmup", [0.0, 0.1, 0.25])
def test_a_step_falls_after_whole_epochs_of_the_training(warmup: float) -> None:
    """12 epochs of 5 updates: at epochs 3, 6 and 9, and nowhere else, with or without a warmup."""
    schedule = StepConfig(factor=0.5, every=3, warmup=warmup)
    seen = [lr_factor(schedule, u, updates=60, updates_per_epoch=5) for u in range(60)]
    assert [u for u in range(1, 60) if seen[u] < seen[u - 1]] == [15, 30, 45]


def test_step_with_a_warmup_equals_torch() -> None:
    """The product of torch's warmup, by update, and its steps, by epoch."""
    steps = torch_factors(
        lambda o: torch.optim.lr_scheduler.StepLR(o, step_size=3, gamma=0.5), per=PER_EPOCH
    )
    rise = torch_factors(
        lambda o: torch.optim.lr_scheduler.LinearLR(o, start_factor=1 / 15, total_iters=14), per=1
    )
    expected = [one * other for one, other in zip(steps, rise, strict=True)]
    assert factors(StepConfig(factor=0.5, every=3, warmup=0.25)) == pytest.approx(expected)


def test_cosine_with_a_warmup_equals_torch() -> None:
    """SequentialLR of a linear rise to the peak and the cosine from there on."""
    lr_scheduler = torch.optim.lr_scheduler

    def both(optimizer: torch.optim.Optimizer) -> torch.optim.lr_scheduler.LRScheduler:
        rise = lr_scheduler.LinearLR(optimizer, start_factor=1 / 15, total_iters=14)
        fall = lr_scheduler.CosineAnnealingLR(optimizer, T_max=UPDATES - 15)
        return lr_scheduler.SequentialLR(optimizer, [rise, fall], milestones=[15])

    assert factors(CosineConfig(warmup=0.25)) == pytest.approx(torch_factors(both, per=1))


def test_momentum_is_left_alone_by_other_schedules() -> None:
    assert momenta(CosineConfig(), 3, 1, updates=10) is None


@given(
    schedule=st.one_of(
        st.builds(CosineConfig, floor=st.floats(0, 1), warmup=st.floats(0, 0.9)),
        st.builds(
            OneCycleConfig,
            peak_at=st.floats(0.01, 0.99),
            end=st.just(0.0),
        ),
        st.builds(
            StepConfig, factor=st.floats(0.01, 1), every=st.integers(1, 9), warmup=st.floats(0, 0.9)
        ),
        st.builds(ExponentialConfig, decay=st.floats(0, 5), warmup=st.floats(0, 0.9)),
    ),
    updates=st.integers(1, 50),
    per_epoch=st.integers(1, 7),
)
def test_factor_is_a_share_of_the_peak(
    schedule: ScheduleConfig, updates: int, per_epoch: int
) -> None:
    for update in range(updates):
        factor = lr_factor(schedule, update, updates=updates, updates_per_epoch=per_epoch)
        assert -1e-12 <= factor <= 1 + 1e-12
    assert 0 <= warmup_updates(schedule, updates=updates) <= updates


@pytest.mark.parametrize(
    ("train", "schedule", "note"),
    [
        pytest.param(
            {"epochs": 12}, {"name": "step", "every": 3, "warmup": 0.25}, "", id="in time"
        ),
        pytest.param(
            {"epochs": 12},
            {"name": "step", "every": 3, "factor": 0.5, "warmup": 0.5},
            "optim.lr is never reached, at most 0.5 of it: the first fall of step comes in the "
            "warmup; a schedule.warmup of at most 0.25 leaves the peak out of it",
            id="falls in the warmup",
        ),
        pytest.param(
            {"epochs": 20},
            {"name": "piecewise", "at": [4, 12], "factors": [0.5, 0.1], "warmup": 0.5},
            "optim.lr is never reached, at most 0.5 of it: the first fall of piecewise comes in "
            "the warmup; a schedule.warmup of at most 0.2 leaves the peak out of it",
            id="pieces in the warmup",
        ),
        pytest.param(
            {"epochs": 20},
            {"name": "piecewise", "at": [4, 12], "factors": [0.5, 1.0], "warmup": 0.5},
            "",
            id="up again after the warmup",
        ),
        pytest.param({"epochs": 4}, {"name": "plateau", "warmup": 0.5}, "", id="plateau"),
        pytest.param(
            {"epochs": 2, "batch_size": "full"},
            {"name": "one-cycle"},
            "optim.lr is never reached, at most 0.81 of it: one-cycle has 2 updates; more epochs "
            "or smaller batches give it more",
            id="two updates",
        ),
        pytest.param(
            {"epochs": 1, "batch_size": "full"},
            {"name": "one-cycle"},
            "optim.lr is never reached, at most 4e-06 of it: one-cycle has 1 update; more epochs "
            "or smaller batches give it more",
            id="one update",
        ),
        pytest.param({"epochs": 3, "batch_size": "full"}, {"name": "one-cycle"}, "", id="three"),
        pytest.param(
            {"epochs": 4, "batch_size": "full"},
            {"name": "cosine", "warmup": 0.9},
            "the warmup takes all 4 updates: cosine never begins; a smaller schedule.warmup "
            "leaves it some",
            id="warmup as long as the training",
        ),
        pytest.param({"epochs": 4, "batch_size": "full"}, {"warmup": 0.9}, "", id="only a warmup"),
        pytest.param({"epochs": 1, "batch_size": "full"}, {"name": "cosine"}, "", id="cosine"),
    ],
)
def test_a_schedule_that_cannot_come_to_its_peak_is_told(
    train: dict[str, object], schedule: dict[str, object], note: str
) -> None:
    config = make_config(train=train, schedule=schedule)
    assert peak_note(config, examples=100) == (note or None)
    if note:  # what it says is what the formula gives
        per_epoch = updates_per_epoch(config.train, 100)
        updates = per_epoch * config.train.epochs
        highest = max(
            lr_factor(config.schedule, u, updates=updates, updates_per_epoch=per_epoch)
            for u in range(updates)
        )
        assert f"at most {highest:.2g} of it" in note or highest == 1.0


def test_a_study_tells_the_first_note_and_whether_it_is_of_all() -> None:
    fine = make_config(train={"epochs": 12}, schedule={"name": "one-cycle"})
    short = make_config(train={"epochs": 1, "batch_size": 100}, schedule={"name": "one-cycle"})
    note = peak_note(short, examples=100)
    assert peak_notes([fine, fine], examples=100) == ()
    assert peak_notes([short, short], examples=100) == (note,)
    assert peak_notes([fine, short], examples=100) == (f"in some trials {note}",)


def test_one_cycle_takes_no_warmup() -> None:
    with pytest.raises(ValidationError, match="one-cycle rises by itself"):
        OneCycleConfig(warmup=0.1)
    assert OneCycleConfig(warmup=0.0) == OneCycleConfig()
