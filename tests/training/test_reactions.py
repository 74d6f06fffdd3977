"""Rates that follow a training's own history: torch's rule, and what outlives a divergence."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dltune.data.device import DeviceData
from dltune.recipe.schema import Config
from dltune.training.engine import Stop
from dltune.training.history import EpochRecord, Trial, TrialState
from dltune.training.loop import Cohort
from dltune.training.outcome import TrialOutcome
from dltune.training.reactions import MOST_REACTIONS, Reactions, lr_scale
from dltune.training.schedules import lr_factor
from dltune.training.state import TrainingState
from tests.histories import history_of
from tests.training.configs import make_config
from tests.training.stacked.test_engine import assert_alike

# 17 updates an epoch. Descent at 0.2 holds there, at 2 the loss overflows in the first epoch.
LEARNS = {
    "model": {"hidden": [8], "dropout": 0.1},
    "optim": {"name": "sgd", "lr": 0.2},
    "train": {"epochs": 6, "batch_size": 16, "precision": "float64", "on_divergence": "lr/10"},
}


def sections(lr: float = 0.2, **more: dict[str, Any]) -> dict[str, Any]:
    changed = {"optim": {"name": "sgd", "lr": lr}, **more}
    return {name: {**LEARNS.get(name, {}), **one} for name, one in (LEARNS | changed).items()}


def trial(number: int = 0, lr: float = 0.2, **more: dict[str, Any]) -> Trial:
    config = make_config("sklearn:diabetes", **sections(lr, **more))
    return Trial(number=number, config=config, seed=1)


def trained(cohort: Cohort, epochs: int | None = None) -> list[TrialOutcome]:
    ended: list[TrialOutcome] = []
    while cohort.alive and epochs != 0:
        ended += cohort.run_epoch().ended
        epochs = None if epochs is None else epochs - 1
    return sorted(ended, key=lambda one: one.record.number)


def cohort_of(
    states: Sequence[TrainingState], data: DeviceData, *, stacked: bool, **more: Any
) -> Cohort:
    cohort = Cohort(data, folder=Path(), stacked=stacked, **more)
    cohort.put(states)
    return cohort


def outcomes(trials: Sequence[Trial], data: DeviceData, *, stacked: bool) -> list[TrialOutcome]:
    return trained(cohort_of([TrainingState(trial=one) for one in trials], data, stacked=stacked))


def scales(config: Config, objectives: Sequence[float]) -> list[float]:
    """After each epoch, of those whose dev error and loss are given."""
    history = history_of(len(objectives), train=lambda e: 1.0, dev=lambda e: objectives[e - 1])
    seen = [lr_scale(config, history[:count]) for count in range(1, len(history) + 1)]
    reactions, followed = Reactions(config), []
    for record in history:
        reactions.see(record)
        followed.append(reactions.scale)
    assert followed == seen
    return seen


@given(
    objectives=st.lists(
        st.sampled_from([0.0, 0.1, 0.2, 0.2001, 0.3, 1.0, math.inf, math.nan]), max_size=40
    ),
    factor=st.sampled_from([0.1, 0.5]),
    patience=st.integers(0, 4),
    threshold=st.sampled_from([0.0, 1e-4, 0.4]),
    cooldown=st.integers(0, 3),
    floor=st.sampled_from([0.0, 0.2]),
)
@settings(deadline=None)
def test_plateau_equals_torch(objectives: list[float], **rule: float) -> None:
    config = make_config(
        schedule={"name": "plateau", **rule},  # type: ignore[arg-type]
        objective={"metric": "dev_loss"},
    )
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    floor = rule.pop("floor")
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, mode="min", threshold_mode="rel", min_lr=floor, eps=0, **rule
    )
    expected = []
    for objective in objectives:
        scheduler.step(objective)
        expected.append(optimizer.param_groups[0]["lr"])
    assert scales(config, objectives) == pytest.approx(expected, rel=1e-12)


def test_newbob_is_halved_at_every_rise() -> None:
    config = make_config(schedule={"name": "newbob"})
    assert scales(config, [0.5, 0.4, 0.45, 0.45, 0.3, 0.35]) == [1, 1, 0.5, 0.5, 0.5, 0.25]
    # An epoch that diverged is compared with nothing.
    assert scales(config, [0.5, math.nan, 0.4, math.inf, 0.45]) == [1, 1, 1, 1, 0.5]
    slow = make_config(schedule={"name": "newbob", "factor": 0.9})
    assert scales(slow, [0.1, 0.2, 0.3]) == pytest.approx([1, 0.9, 0.81])


def test_the_objective_decides() -> None:
    """The error is a quarter of the loss in these histories; here it falls while the loss rises."""
    history = history_of(2, train=lambda e: 1.0, dev=float)
    history[1] = dataclasses.replace(history[1], dev_error=0.1)
    by_error = make_config(schedule={"name": "newbob"})
    by_loss = make_config(schedule={"name": "newbob"}, objective={"metric": "dev_loss"})
    assert [lr_scale(one, history) for one in (by_error, by_loss)] == [1.0, 0.5]


def test_every_divergence_is_a_tenth_beside_the_schedule() -> None:
    config = make_config(schedule={"name": "newbob"}, train={"on_divergence": "lr/10"})
    seen = scales(config, [math.nan, 0.3, 0.4, math.inf, 0.2])
    assert seen == pytest.approx([0.1, 0.1, 0.05, 0.005, 0.005])
    assert scales(make_config(), [math.nan, 0.1]) == [1.0, 1.0]


@pytest.mark.parametrize("stacked", [False, True], ids=["looped", "stacked"])
@pytest.mark.parametrize(
    "schedule",
    [
        {"name": "plateau", "patience": 0, "factor": 0.5, "floor": 0.1, "warmup": 0.2},
        {"name": "newbob", "warmup": 0.2},
    ],
    ids=lambda schedule: schedule["name"],
)
def test_the_rate_of_every_epoch_is_that_of_its_history(
    diabetes: DeviceData, schedule: dict[str, Any], stacked: bool
) -> None:
    """Beside a trial with a schedule that reacts to nothing."""
    trials = [
        trial(0, schedule=schedule, train={"epochs": 12}),
        trial(1, schedule={"name": "piecewise", "at": [2, 4], "factors": [0.5, 0.1]}),
    ]
    for one in outcomes(trials, diabetes, stacked=stacked):
        config, history = trials[one.record.number].config, one.record.history
        per_epoch = 17
        for record in history:
            share = lr_factor(
                config.schedule,
                record.epoch * per_epoch - 1,
                updates=per_epoch * config.train.epochs,
                updates_per_epoch=per_epoch,
            )
            share *= lr_scale(config, history[: record.epoch - 1])
            assert record.lr == pytest.approx(0.2 * share, rel=1e-12)
        falls = sum(late.lr < early.lr for early, late in itertools.pairwise(history))
        assert falls >= 2


def same_epochs(first: Sequence[EpochRecord], second: Sequence[EpochRecord]) -> bool:
    same = {"epoch": 0, "seconds": 0.0}
    return [dataclasses.replace(one, **same) for one in first] == [
        dataclasses.replace(one, **same) for one in second
    ]


def test_from_the_start_at_a_tenth_and_again(diabetes: DeviceData) -> None:
    """At 20 and at 2 the first epoch overflows: then it is that at 0.2, two epochs late."""
    (wild,), (calm,) = (outcomes([trial(0, lr)], diabetes, stacked=False) for lr in (20.0, 0.2))
    history = wild.record.history
    assert [record.lr for record in history] == [20.0, 2.0, 0.2, 0.2, 0.2, 0.2]
    assert [bool(record.non_finite) for record in history] == [True] * 2 + [False] * 4
    assert same_epochs(history[2:], calm.record.history[:4])
    assert wild.record.state is TrialState.COMPLETE
    assert wild.record.epochs == 6
    assert wild.weights


def test_from_the_last_good_epoch(diabetes: DeviceData) -> None:
    """The rate leaps after two epochs; the weights, moments and batches of epoch 2 come back."""
    leap = {"name": "piecewise", "at": [2], "factors": [1000.0]}
    calm = {"name": "piecewise", "at": [2], "factors": [1.0]}
    optim = {"name": "momentum", "lr": 0.01}
    wild, twin = (
        outcomes([trial(schedule=one, optim=optim, train={"epochs": 8})], diabetes, stacked=False)[
            0
        ]
        for one in (leap, calm)
    )
    history = wild.record.history
    assert [record.lr for record in history] == pytest.approx([0.01] * 2 + [10, 1] + [0.1] * 4)
    assert [record.epoch for record in history if record.non_finite] == [3, 4]
    assert same_epochs(history[:2], twin.record.history[:2])
    # From epoch 2 on at ten times the rate of the twin: the same batches, so nearby.
    assert history[4].train_loss == pytest.approx(twin.record.history[2].train_loss, rel=0.2)
    assert wild.record.best_epoch not in (3, 4)


def test_after_three_tenths_it_has_diverged(diabetes: DeviceData) -> None:
    (outcome,) = outcomes([trial(0, 2e3)], diabetes, stacked=False)
    record = outcome.record
    assert [one.lr for one in record.history] == pytest.approx([2e3, 200, 20, 2])
    assert len(record.history) == 1 + MOST_REACTIONS
    assert (record.state, record.reason) == (TrialState.DIVERGED, "non-finite loss in epoch 4")
    assert (record.objective, outcome.weights) == (None, {})


@pytest.mark.parametrize("stacked", [False, True], ids=["looped", "stacked"])
def test_a_training_that_is_over_keeps_its_best_epoch(diabetes: DeviceData, stacked: bool) -> None:
    """Where the last epoch diverges; without any good epoch, it has diverged."""
    leap = {"name": "piecewise", "at": [2], "factors": [1000.0]}
    trials = [
        trial(0, schedule=leap, optim={"name": "momentum", "lr": 0.01}, train={"epochs": 3}),
        trial(1, 200.0, train={"epochs": 2}),
        trial(2, 200.0, regularize={"early_stop": 3}),
    ]
    ends: list[TrainingState] = []
    states = [TrainingState(trial=one) for one in trials]
    whole, none, waited = trained(cohort_of(states, diabetes, stacked=stacked, on_end=ends.append))
    assert (whole.record.state, whole.record.best_epoch) == (TrialState.COMPLETE, 2)
    assert whole.record.history[-1].non_finite == "loss"
    assert whole.record.test_error is not None
    assert whole.weights
    for one in (none, waited):
        assert one.record.state is TrialState.DIVERGED
        assert one.record.objective is None
    assert len(waited.record.history) == 3
    (end,) = ends  # from which a fork may go on
    assert (end.trial.number, end.epochs, len(end.history)) == (0, 3, 3)
    assert end.weights is not None
    for name, weight in whole.weights.items():  # epoch 2 was the last good one and the best
        assert torch.equal(end.weights[name], weight)


@pytest.mark.parametrize("stacked", [False, True], ids=["looped", "stacked"])
def test_who_is_ended_right_after_a_divergence_is_measured(
    diabetes: DeviceData, stacked: bool
) -> None:
    leap = {"name": "piecewise", "at": [2], "factors": [1000.0]}
    one = trial(0, schedule=leap, optim={"name": "momentum", "lr": 0.01})
    cohort = cohort_of([TrainingState(trial=one)], diabetes, stacked=stacked)
    assert trained(cohort, 3) == []
    (outcome,) = cohort.stop({0: Stop(state=TrialState.PRUNED, reason="pruned")})
    assert outcome.record.history[-1].non_finite
    assert outcome.record.test_error is not None
    assert outcome.weights


@pytest.mark.parametrize("rule", ["stop", "lr/10"])
def test_what_a_history_has_outlived_does_not_end_who_goes_on(
    diabetes: DeviceData, rule: str
) -> None:
    """A fork may have another rule; with "stop", the rate is its recipe's."""
    cohort = cohort_of([TrainingState(trial=trial(0, 2.0))], diabetes, stacked=False)
    trained(cohort, 2)
    (state,) = cohort.take([0]).values()
    assert [bool(one.non_finite) for one in state.history] == [True, False]
    other = trial(0, 0.1, train={"on_divergence": rule})
    forked = cohort_of([dataclasses.replace(state, trial=other)], diabetes, stacked=False)
    (outcome,) = trained(forked)
    assert outcome.record.state is TrialState.COMPLETE
    rate = 0.1 if rule == "stop" else 0.01
    assert [one.lr for one in outcome.record.history[2:]] == pytest.approx([rate] * 4)


def several() -> list[Trial]:
    """Some diverge at the start, some in between, one not at all, one gives up."""
    leap = {"name": "piecewise", "at": [2], "factors": [1000.0]}
    newbob = {"name": "newbob", "factor": 0.7}
    return [
        trial(0, 20.0),
        trial(1, schedule=leap, optim={"name": "momentum", "lr": 0.01}),
        trial(2, optim={"name": "adam", "lr": 0.01}),
        trial(3, 2.0, schedule=newbob),
        trial(4, 2e3),
        trial(5, 2.0, train={"on_divergence": "stop"}),
        trial(6, 0.2, schedule={"name": "plateau", "patience": 1, "factor": 0.5}),
    ]


@pytest.mark.slow
def test_looped_and_stacked_are_equal(diabetes: DeviceData) -> None:
    trials = several()
    looped = outcomes(trials, diabetes, stacked=False)
    stacked = outcomes(trials, diabetes, stacked=True)
    states = [one.record.state for one in looped]
    assert states == [TrialState.COMPLETE] * 4 + [TrialState.DIVERGED] * 2 + [TrialState.COMPLETE]
    assert_finite_parts_alike(looped, stacked)
    alone = [outcomes([one], diabetes, stacked=False)[0] for one in trials]
    assert_finite_parts_alike(looped, alone)


@pytest.mark.parametrize(
    "forms",
    [
        (False, True),
        *(
            pytest.param(forms, marks=pytest.mark.slow)
            for forms in [(False, False), (True, True), (True, False)]
        ),
    ],
)
def test_who_pauses_goes_on_as_if_nothing_had_been(
    diabetes: DeviceData, forms: tuple[bool, bool]
) -> None:
    trials = several()
    whole = outcomes(trials, diabetes, stacked=False)
    for epochs in (1, 3):  # after a divergence at the start, and one in between
        before = cohort_of([TrainingState(trial=one) for one in trials], diabetes, stacked=forms[0])
        parts = trained(before, epochs)
        states = list(before.take(before.alive).values())
        assert all(state.epochs == len(state.history) == epochs for state in states)
        parts += trained(cohort_of(states, diabetes, stacked=forms[1]))
        parts.sort(key=lambda one: one.record.number)
        assert_finite_parts_alike(whole, parts)


def assert_finite_parts_alike(
    first: Sequence[TrialOutcome], second: Sequence[TrialOutcome]
) -> None:
    """The same epochs have diverged, and the others have the same figures."""

    def finite(one: TrialOutcome) -> TrialOutcome:
        history = tuple(record for record in one.record.history if not record.non_finite)
        return dataclasses.replace(one, record=dataclasses.replace(one.record, history=history))

    for one, other in zip(first, second, strict=True):
        mine, theirs = one.record.history, other.record.history
        assert [bool(a.non_finite) for a in mine] == [bool(a.non_finite) for a in theirs]
        assert [a.lr for a in mine] == pytest.approx([a.lr for a in theirs], rel=1e-9)
        assert (one.record.state, one.record.reason) == (other.record.state, other.record.reason)
    measured = [[finite(one) for one in group if one.weights] for group in (first, second)]
    assert_alike(*measured, relative=1e-7)
