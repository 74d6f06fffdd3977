"""A training that is interrupted ends after the update that runs, with its best epoch so far."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from dltune.data.device import DeviceData
from dltune.recipe.files import parse_recipe
from dltune.training.history import Trial, TrialState
from dltune.training.loop import train_cohort
from dltune.training.outcome import TrialOutcome

EPOCHS = 5
UPDATES = 4  # an epoch: 106 training examples in batches of 32

RECIPE = f"""\
data.source = "sklearn:wine"
model.hidden = [8]
optim.lr = 0.01
train = {{ epochs = {EPOCHS}, batch_size = 32, device = "cpu" }}
"""


def trials(count: int) -> list[Trial]:
    config = parse_recipe(RECIPE, folder=Path()).config()
    return [Trial(number=number, config=config, seed=number) for number in range(count)]


def after(updates: int) -> Callable[[], str]:
    """Interrupts when it is asked for that time."""
    asked = iter(range(updates - 1))
    return lambda: "stopped by SIGTERM" if next(asked, None) is None else ""


def trained(
    data: DeviceData, *, stacked: bool, count: int = 2, interrupted: Callable[[], str] = str
) -> tuple[list[TrialOutcome], int]:
    """The outcomes, and how many epochs came before."""
    training = train_cohort(
        trials(count), data, folder=Path(), stacked=stacked, interrupted=interrupted
    )
    epochs = 0
    while True:
        try:
            epochs += bool(next(training).records)
        except StopIteration as end:
            return end.value, epochs


@pytest.mark.parametrize("stacked", [False, True])
def test_the_best_epoch_so_far_is_what_a_shorter_training_gives(
    wine: DeviceData, stacked: bool
) -> None:
    whole, _ = trained(wine, stacked=stacked)
    cut = [False]

    def interrupted() -> str:  # in the third epoch, whenever that is asked
        return "stopped by SIGTERM" if cut[0] else ""

    training = train_cohort(
        trials(2), wine, folder=Path(), stacked=stacked, interrupted=interrupted
    )
    for epoch in training:
        cut[0] = any(record.epoch == 2 for record in epoch.records)
        if epoch.ended:
            outcomes = epoch.ended
    for outcome, other in zip(outcomes, whole, strict=True):
        record = outcome.record
        assert record.state is TrialState.INTERRUPTED
        assert record.reason == f"stopped by SIGTERM after epoch 2 of {EPOCHS}"
        assert record.epochs == len(record.history) == 2
        measured = [dataclasses.replace(one, seconds=0.0) for one in other.record.history[:2]]
        assert [dataclasses.replace(one, seconds=0.0) for one in record.history] == measured
        best = min(record.history, key=lambda one: one.dev_error)
        assert (record.best_epoch, record.dev_error) == (best.epoch, best.dev_error)
        assert record.ranked == record.objective == best.dev_error
        assert record.test_error is not None
        assert record.examples["test"] == 36
        assert outcome.weights


@pytest.mark.parametrize("stacked", [False, True])
def test_an_epoch_is_left_in_the_middle(wine: DeviceData, stacked: bool) -> None:
    asked = after(2)
    outcomes, epochs = trained(wine, stacked=stacked, interrupted=asked)
    assert epochs == 0
    for outcome in outcomes:
        record = outcome.record
        assert (record.state, record.epochs) == (TrialState.INTERRUPTED, 0)
        assert record.reason == f"stopped by SIGTERM after epoch 0 of {EPOCHS}"
        assert record.objective is record.ranked is record.dev_error is record.best_epoch is None
        assert outcome.weights == {}


def test_of_a_loop_the_trials_whose_epoch_is_over_keep_it(wine: DeviceData) -> None:
    # Asked after each update but the last, and after each trial: the first one's epoch takes 4.
    (first, second), _ = trained(wine, stacked=False, interrupted=after(UPDATES + 2))
    assert (first.record.epochs, second.record.epochs) == (1, 0)
    assert first.weights
    assert not second.weights


@pytest.mark.parametrize("stacked", [False, True])
def test_what_is_over_is_complete(wine: DeviceData, stacked: bool) -> None:
    """A signal in the last epoch's measurements changes nothing any more."""
    whole, _ = trained(wine, stacked=stacked)
    done = [False]
    training = train_cohort(
        trials(2), wine, folder=Path(), stacked=stacked, interrupted=lambda: "late" * done[0]
    )
    ended = []
    for epoch in training:
        done[0] = any(record.epoch == EPOCHS for record in epoch.records)
        ended += epoch.ended
    assert [one.record.state for one in ended] == [TrialState.COMPLETE] * 2
    for one, other in zip(ended, whole, strict=True):
        assert one.record.dev_loss == other.record.dev_loss
        for name, weight in one.weights.items():
            assert torch.equal(weight, other.weights[name])
