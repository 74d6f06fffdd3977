"""Schedules against torch's own schedulers and their formulas."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dltune.recipe.schema import (
    ConstantConfig,
    CosineConfig,
    ExponentialConfig,
    OneCycleConfig,
    ScheduleConfig,
    StepConfig,
)
from dltune.training.schedules import lr_factor, momentum_at, warmup_updates

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
        assert momentum_at(schedule, update, updates=UPDATES) == pytest.approx(group["momentum"])
        optimizer.step()
        if update + 1 < UPDATES:
            scheduler.step()


def test_warmup_is_linear_and_the_schedule_follows_it() -> None:
    seen = factors(CosineConfig(warmup=0.1))
    assert seen[:6] == pytest.approx([1 / 6, 2 / 6, 3 / 6, 4 / 6, 5 / 6, 1.0])
    rest = UPDATES - 6
    assert seen[6:] == pytest.approx(
        [0.5 * (1 + math.cos(math.pi * u / rest)) for u in range(rest)]
    )


def test_momentum_is_left_alone_by_other_schedules() -> None:
    assert momentum_at(CosineConfig(), 3, updates=10) is None


@given(
    schedule=st.one_of(
        st.builds(CosineConfig, floor=st.floats(0, 1), warmup=st.floats(0, 0.9)),
        st.builds(
            OneCycleConfig,
            peak_at=st.floats(0.01, 0.99),
            warmup=st.floats(0, 0.9),
            end=st.just(0.0),
        ),
        st.builds(StepConfig, factor=st.floats(0.01, 1), every=st.integers(1, 9)),
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
