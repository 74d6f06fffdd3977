"""A training that was taken out and put back is the one that was never interrupted."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from dltune.data.device import DeviceData
from dltune.training.engine import Stop
from dltune.training.history import Trial, TrialState
from dltune.training.loop import Cohort
from dltune.training.outcome import TrialOutcome
from dltune.training.state import TrainingState
from tests.training.stacked.test_engine import (
    MODELS,
    OPTIMIZERS,
    SCHEDULES,
    assert_alike,
    few_digits,
    trials_of,
)

__all__ = ["few_digits"]  # a fixture
DOUBLE = {"epochs": 6, "batch_size": 32, "precision": "float64"}


def cohort_of(
    states: Sequence[TrainingState], data: DeviceData, *, stacked: bool, folder: Path = Path()
) -> Cohort:
    cohort = Cohort(data, folder=folder, stacked=stacked)
    cohort.put(states)
    return cohort


def trained(cohort: Cohort, epochs: int | None = None) -> list[TrialOutcome]:
    """What has ended after so many epochs, by number; all of it with None."""
    ended: list[TrialOutcome] = []
    while cohort.alive and epochs != 0:
        ended += cohort.run_epoch().ended
        epochs = None if epochs is None else epochs - 1
    return sorted(ended, key=lambda one: one.record.number)


def fresh(trials: Sequence[Trial]) -> list[TrainingState]:
    return [TrainingState(trial=trial) for trial in trials]


def moved(cohort: Cohort, data: DeviceData, *, stacked: bool) -> Cohort:
    return cohort_of(list(cohort.take(cohort.alive).values()), data, stacked=stacked)


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(model, id=name, marks=[] if name == "mlp" else [pytest.mark.slow])
        for name, model in MODELS.items()
    ],
)
def test_every_optimizer_and_schedule_goes_on_as_if_nothing_had_been(
    model: dict[str, Any], few_digits: DeviceData
) -> None:
    """Stacked to looped and back, in float64; dropout, early stopping and the best included."""
    more = {} if "batch_norm" in model else {"dropout": 0.2}
    trials = trials_of(
        [
            {
                "model": {**model, **more},
                "optim": {"name": name, **settings},
                "schedule": schedule,
                "regularize": {"early_stop": 4},
                "train": DOUBLE,
            }
            for name, settings in OPTIMIZERS.items()
            for schedule in SCHEDULES
        ]
    )
    whole = trained(cohort_of(fresh(trials), few_digits, stacked=False))
    for forms in ([True, True, True], [False, True, False], [True, False, False]):
        cohort = cohort_of(fresh(trials), few_digits, stacked=forms[0])
        parts = trained(cohort, 2)
        for stacked in forms[1:]:
            cohort = moved(cohort, few_digits, stacked=stacked)
            parts += trained(cohort, 2 if stacked is not forms[-1] else None)
        parts += trained(cohort)
        parts.sort(key=lambda one: one.record.number)
        assert_alike(whole, parts, relative=1e-7)


@pytest.mark.parametrize(
    "stacked",
    [pytest.param(False, id="looped", marks=pytest.mark.slow), pytest.param(True, id="stacked")],
)
def test_nothing_changes_in_single_precision_either(stacked: bool, digits: DeviceData) -> None:
    """To the last bit, in the form in which it was; with large models, whose updates are fused."""
    for hidden in ([16], [300, 100]):
        trials = trials_of(
            [
                {
                    "model": {"hidden": hidden, "dropout": 0.3},
                    "optim": {"name": name, **settings},
                    "train": {"epochs": 3},
                }
                for name, settings in OPTIMIZERS.items()
            ]
        )
        whole = trained(cohort_of(fresh(trials), digits, stacked=stacked))
        cohort = cohort_of(fresh(trials), digits, stacked=stacked)
        ended = trained(cohort, 1)
        ended += trained(moved(cohort, digits, stacked=stacked))
        for one, other in zip(whole, ended, strict=True):
            same = dataclasses.replace(
                other.record,
                seconds=one.record.seconds,
                history=tuple(
                    dataclasses.replace(mine, seconds=theirs.seconds)
                    for mine, theirs in zip(other.record.history, one.record.history, strict=True)
                ),
            )
            assert same == one.record
            for name, weight in one.weights.items():
                assert torch.equal(weight, other.weights[name])


def test_trials_come_and_go(few_digits: DeviceData) -> None:
    """A stack takes in a fresh trial and one that has paused; rows have their own epochs."""
    trials = trials_of(
        [
            {"model": {"hidden": [8]}, "optim": {"name": name}, "train": DOUBLE}
            for name in ("adam", "momentum", "adam", "nadam")
        ]
    )
    whole = trained(cohort_of(fresh(trials), few_digits, stacked=True))
    cohort = cohort_of(fresh(trials[:3]), few_digits, stacked=True)
    trained(cohort, 2)
    paused = cohort.take([1])
    cohort.leave([1])
    trained(cohort, 1)
    cohort.put([*paused.values(), *fresh(trials[3:])])
    ended = trained(cohort)
    assert [one.record.epochs for one in ended] == [6] * 4
    assert_alike(whole, ended, relative=1e-9)


def test_a_state_has_no_part_in_what_trains_on(few_digits: DeviceData) -> None:
    """Neither the taken value nor the one that was put changes with the training."""
    trials = trials_of([{"model": {"hidden": [8]}, "train": DOUBLE}])
    for stacked in (False, True):
        cohort = cohort_of(fresh(trials), few_digits, stacked=stacked)
        trained(cohort, 2)
        (state,) = cohort.take([0]).values()
        assert state.weights is not None
        before = {name: one.clone() for name, one in state.weights.items()}
        moments = {name: one.clone() for name, one in state.optimizer["exp_avg"].items()}
        trained(cohort, 1)
        trained(moved(cohort_of([state], few_digits, stacked=stacked), few_digits, stacked=stacked))
        for name, one in before.items():
            assert torch.equal(state.weights[name], one)
        for name, one in moments.items():
            assert torch.equal(state.optimizer["exp_avg"][name], one)
        assert state.epochs == len(state.history) == 2


@pytest.mark.parametrize("stacked", [False, True], ids=["looped", "stacked"])
def test_who_is_ended_before_its_turn_keeps_its_best(few_digits: DeviceData, stacked: bool) -> None:
    """One that has paused and was put back is measured with the weights that it came with."""
    (trial,) = trials_of([{"model": {"hidden": [8]}, "train": DOUBLE}])
    cohort = cohort_of(fresh([trial]), few_digits, stacked=stacked)
    trained(cohort, 2)
    again = moved(cohort, few_digits, stacked=stacked)
    stop = {0: Stop(state=TrialState.INTERRUPTED, reason="stopped")}
    assert_alike(cohort.stop(stop), again.stop(stop), relative=1e-9)
