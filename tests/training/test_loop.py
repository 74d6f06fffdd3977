"""The loop over a cohort: determinism, best weights, early stopping, what goes wrong in a trial."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from dltune.data.device import DeviceData, Tensors
from dltune.errors import TrainingError
from dltune.training.history import EpochRecord, Trial, TrialState
from dltune.training.loop import train_cohort
from dltune.training.outcome import TrialOutcome
from tests.training.configs import make_config

SMALL = {"model": {"hidden": [16], "dropout": 0.2}, "train": {"epochs": 4, "batch_size": 32}}


def trial(number: int, **sections: dict[str, Any]) -> Trial:
    return Trial(number=number, config=make_config(**(SMALL | sections)), seed=100 + number)


def run(
    trials: Sequence[Trial], data: DeviceData, folder: Path = Path()
) -> tuple[list[list[EpochRecord]], list[TrialOutcome]]:
    generator, epochs = train_cohort(trials, data, folder=folder), []
    while True:
        try:
            epochs.append(list(next(generator).records))
        except StopIteration as stop:
            return epochs, stop.value


def without_seconds(outcome: TrialOutcome) -> dict[str, Any]:
    fields = dataclasses.asdict(outcome.record)
    del fields["seconds"]
    for record in fields["history"]:
        del record["seconds"]
    return fields


def test_same_numbers_twice(digits: DeviceData) -> None:
    trials = [trial(0), trial(1)]
    first, second = run(trials, digits)[1], run(trials, digits)[1]
    assert [without_seconds(o) for o in first] == [without_seconds(o) for o in second]
    for one, other in zip(first, second, strict=True):
        assert all(torch.equal(one.weights[k], other.weights[k]) for k in one.weights)


def test_neighbours_make_no_difference(wine: DeviceData) -> None:
    alone = [without_seconds(run([trial(n)], wine)[1][0]) for n in range(3)]
    together = [without_seconds(o) for o in run([trial(2), trial(0), trial(1)], wine)[1]]
    assert together == [alone[2], alone[0], alone[1]]


def test_records_come_epoch_by_epoch(wine: DeviceData) -> None:
    epochs, outcomes = run([trial(0), trial(1, train={"epochs": 2})], wine)
    assert [[(r.trial, r.epoch) for r in records] for records in epochs] == [
        [(0, 1), (1, 1)],
        [(0, 2), (1, 2)],
        [(0, 3)],
        [(0, 4)],
    ]
    assert [o.record.epochs for o in outcomes] == [4, 2]
    assert outcomes[0].record.history == tuple(
        r for records in epochs for r in records if r.trial == 0
    )


def test_best_epoch_is_the_smallest_objective_and_its_weights_come_back(wine: DeviceData) -> None:
    config = {"objective": {"metric": "dev_loss"}, "optim": {"name": "sgd", "lr": 2.0}}
    _, [outcome] = run([trial(0, train={"epochs": 12, "batch_size": 8}, **config)], wine)
    result = outcome.record
    losses = [record.dev_loss for record in result.history]
    assert result.best_epoch == 1 + losses.index(min(losses))
    assert result.objective == result.dev_loss == min(losses)
    assert result.best_epoch < result.epochs  # such a rate is too wild to end on its best epoch
    from dltune.training.learner import Learner

    learner = Learner(trial(0, **config).config, seed=0, data=wine, folder=Path())
    learner.load(outcome.weights)
    assert learner.measure(wine.dev).loss == result.dev_loss
    assert wine.test is not None
    assert learner.measure(wine.test).error == result.test_error


def test_early_stopping_waits_for_its_patience(wine: DeviceData) -> None:
    # A rate so small that nothing changes the error: the first epoch stays the best.
    _, [outcome] = run(
        [
            trial(
                0,
                optim={"name": "sgd", "lr": 1e-12},
                regularize={"early_stop": 3},
                train={"epochs": 50},
            )
        ],
        wine,
    )
    assert outcome.record.best_epoch == 1
    assert outcome.record.epochs == 4
    assert outcome.record.state is TrialState.COMPLETE


def test_divergence_is_a_result_and_leaves_the_neighbour_alone(wine: DeviceData) -> None:
    wild = trial(0, optim={"name": "sgd", "lr": 1e30}, model={"hidden": [16]})
    outcomes = run([wild, trial(1)], wine)[1]
    assert outcomes[0].record.state is TrialState.DIVERGED
    assert outcomes[0].record.reason == "non-finite loss in epoch 1"
    assert outcomes[0].record.objective is None
    assert outcomes[0].weights == {}
    assert without_seconds(outcomes[1]) == without_seconds(run([trial(1)], wine)[1][0])


def test_an_error_that_overflows_is_divergence_too(diabetes: DeviceData) -> None:
    """An absolute loss of 1e21 is a float32, but its squares are not."""
    flight = trial(
        0,
        model={"hidden": []},
        optim={"name": "sgd", "lr": 1e21},
        train={"epochs": 2, "batch_size": "full"},
        objective={"loss": "mae"},
    )
    _, [outcome] = run([flight], diabetes)
    assert outcome.record.history[0].dev_loss < 1e30
    assert outcome.record.state is TrialState.DIVERGED
    assert outcome.record.reason == "non-finite error in epoch 1"
    assert outcome.record.objective is None


def test_a_model_that_does_not_fit_is_a_failed_trial(digits: DeviceData) -> None:
    small = trial(0, model={"name": "cnn", "filters": [4, 4, 4, 4]}, train={"epochs": 1})
    _, [outcome, good] = run([small, trial(1, train={"epochs": 1})], digits)
    assert outcome.record.state is TrialState.FAILED
    assert outcome.record.reason.startswith("model: model: pooling 4 does not fit")
    assert outcome.record.parameters == 0
    assert good.record.state is TrialState.COMPLETE


USER_MODEL = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, outputs):
        super().__init__()
        self.layer = nn.Linear(13, outputs)
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        if self.training and self.calls > 3:
            raise {error}
        return self.layer(x)

def build(inputs, outputs):
    return Net(outputs)
"""


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        ("ValueError('no more\\nthan three')", "user model: ValueError: no more ({net}, line 14)"),
        ("MemoryError()", "out of memory"),
        ("torch.OutOfMemoryError('CUDA out of memory')", "out of memory"),
        (
            'RuntimeError("DefaultCPUAllocator: can\'t allocate memory")',
            "out of memory",
        ),
    ],
)
def test_what_a_user_model_raises_is_a_failed_trial(
    wine: DeviceData, tmp_path: Path, error: str, reason: str
) -> None:
    (tmp_path / "net.py").write_text(USER_MODEL.replace("{error}", error))
    _, [outcome] = run([trial(0, model={"factory": "net.py:build"})], wine, tmp_path)
    assert outcome.record.state is TrialState.FAILED
    assert outcome.record.reason == reason.replace("{net}", str(tmp_path / "net.py"))


def test_a_loss_of_the_wrong_task_stops_everything(wine: DeviceData) -> None:
    with pytest.raises(TrainingError, match="is for regression"):
        run([trial(0, objective={"loss": "mse"})], wine)


def test_regression_learns_more_than_the_mean(diabetes: DeviceData) -> None:
    config = {"model": {"hidden": [16]}, "optim": {"name": "adam", "lr": 0.01}}
    _, [outcome] = run([trial(0, train={"epochs": 30, "batch_size": 32}, **config)], diabetes)
    assert outcome.record.dev_error is not None
    assert outcome.record.dev_error < 0.8
    assert outcome.record.test_error is not None


def test_classification_learns(digits: DeviceData) -> None:
    _, [outcome] = run([trial(0, optim={"name": "adam", "lr": 0.01})], digits)
    assert outcome.record.dev_error is not None
    assert outcome.record.dev_error < 0.1
    assert outcome.record.history[-1].train_loss < outcome.record.history[0].train_loss
    assert outcome.record.parameters == 64 * 16 + 16 + 16 * 10 + 10


def test_seconds_are_of_the_epochs_without_the_building(
    wine: DeviceData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A clock that only the building of the model moves forward.
    (tmp_path / "net.py").write_text(
        "import time\n"
        "from torch import nn\n"
        "def build(inputs, outputs):\n"
        "    time.ticks.append(1.0)\n"
        "    return nn.Linear(*inputs, outputs)\n"
    )
    ticks: list[float] = []
    monkeypatch.setattr("time.ticks", ticks, raising=False)
    monkeypatch.setattr("time.perf_counter", lambda: sum(ticks))
    own = trial(0, model={"factory": "net.py:build"})
    _, (outcome,) = run([own], wine, tmp_path)
    assert sum(ticks) == 1.0
    assert outcome.record.seconds == 0.0


@pytest.mark.parametrize("stacked", [False, True], ids=["looped", "stacked"])
def test_every_error_says_on_how_many_examples_it_was_measured(stacked: bool) -> None:
    """A diagnosis must not take the size of the train split for those behind its error."""
    torch.manual_seed(0)
    large, small = (
        Tensors(features=torch.randn(size, 3), targets=torch.arange(size) % 2)
        for size in (20_300, 300)
    )
    data = DeviceData(
        device=torch.device("cpu"),
        task="classification",
        inputs=(3,),
        outputs=2,
        train=large,
        dev=small,
        test=small,
        train_dev=None,
    )
    sections = {"model": {"hidden": [2]}, "train": {"epochs": 1, "batch_size": 4096}}
    trials = [trial(number, **sections) for number in range(2)]
    epochs = list(train_cohort(trials, data, folder=Path(), stacked=stacked))
    records = [one.record for epoch in epochs for one in epoch.ended]
    assert len(records) == 2
    for record in records:
        assert record.examples == {"train": 20_000, "curve": 300, "dev": 300, "test": 300}
        count = record.train_error * record.examples["train"]
        assert count == pytest.approx(round(count), abs=1e-6)


def test_without_a_last_measurement_the_error_is_that_of_the_curve(wine: DeviceData) -> None:
    rates = {"optim": {"name": "sgd", "lr": 1e30}}
    (outcome,) = run([trial(0, **rates)], wine)[1]
    assert outcome.record.state is TrialState.DIVERGED
    assert outcome.record.examples == {}
    broken = {"model": {"name": "cnn", "filters": [4], "pool_size": 4}}
    (outcome,) = run([trial(0, **broken)], wine)[1]
    assert (outcome.record.state, outcome.record.examples) == (TrialState.FAILED, {})
