"""A stack against the same trials one after another: same losses, same ranking, any neighbours."""

from __future__ import annotations

import dataclasses
import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from scipy.stats import spearmanr

from dltune.data.device import DeviceData, Tensors
from dltune.models.activations import ACTIVATIONS
from dltune.training.engine import Stop
from dltune.training.history import Trial, TrialState
from dltune.training.loop import CohortEpoch, train_cohort
from dltune.training.outcome import TrialOutcome
from tests.training.configs import make_config

OPTIMIZERS: dict[str, dict[str, Any]] = {
    "sgd": {"lr": 0.05},
    "momentum": {"lr": 0.02, "momentum": 0.8, "dampening": 0.1},
    "nesterov": {"lr": 0.02},
    "adagrad": {"lr": 0.02, "lr_decay": 0.01},
    "rmsprop": {"lr": 0.002, "momentum": 0.5, "centered": True},
    "adadelta": {"lr": 0.5},
    "adam": {"lr": 0.002, "amsgrad": True},
    "adamax": {"lr": 0.003, "betas": [0.8, 0.99]},
    "nadam": {"lr": 0.002, "weight_decay": 0.01, "decoupled_weight_decay": True},
    "adamw": {"lr": 0.002, "weight_decay": 0.1},
}
SCHEDULES: tuple[dict[str, Any], ...] = (
    {"name": "constant", "warmup": 0.2},
    {"name": "step", "every": 2, "factor": 0.5, "warmup": 0.15},
    {"name": "exponential", "decay": 0.3, "warmup": 0.15},
    {"name": "cosine", "floor": 0.1, "warmup": 0.15},
    {"name": "one-cycle"},
    {"name": "plateau", "patience": 0, "factor": 0.7, "warmup": 0.15},
)
MODELS: dict[str, dict[str, Any]] = {
    "mlp": {"name": "mlp", "hidden": [16, 8], "activation": "tanh"},
    "mlp with batch norm": {"name": "mlp", "hidden": [12], "batch_norm": True},
    "cnn": {"name": "cnn", "filters": [3, 4], "hidden": [8]},
    "cnn with batch norm": {
        "name": "cnn",
        "filters": [3],
        "hidden": [6],
        "batch_norm": True,
        "activation": "swish",
        "pool": "avg",
    },
}
FIGURES = ("lr", "train_loss", "train_error", "dev_loss", "dev_error", "grad_norm", "update_ratio")


@pytest.fixture(scope="session")
def few_digits(digits: DeviceData) -> DeviceData:
    """75 images to train on: in batches of 32 an epoch has three updates, the last one small."""

    def first(split: Tensors) -> Tensors:
        return Tensors(features=split.features[:75], targets=split.targets[:75])

    return dataclasses.replace(digits, train=first(digits.train), dev=first(digits.dev))


def trials_of(configs: Sequence[dict[str, Any]]) -> list[Trial]:
    return [
        Trial(number=number, config=make_config(**config), seed=50 + number)
        for number, config in enumerate(configs)
    ]


def outcomes_of(
    trials: Sequence[Trial], data: DeviceData, *, stacked: bool, folder: Path = Path()
) -> list[TrialOutcome]:
    return epochs_of(trials, data, stacked=stacked, folder=folder)[1]


def epochs_of(
    trials: Sequence[Trial], data: DeviceData, *, stacked: bool, folder: Path = Path()
) -> tuple[list[CohortEpoch], list[TrialOutcome]]:
    training, epochs = train_cohort(trials, data, folder=folder, stacked=stacked), []
    while True:
        try:
            epochs.append(next(training))
        except StopIteration as end:
            return epochs, end.value


def assert_alike(
    looped: Sequence[TrialOutcome], stacked: Sequence[TrialOutcome], *, relative: float
) -> None:
    for one, other in zip(looped, stacked, strict=True):
        assert one.record.number == other.record.number
        assert one.record.state == other.record.state
        assert one.record.best_epoch == other.record.best_epoch
        for mine, theirs in zip(one.record.history, other.record.history, strict=True):
            for figure in FIGURES:
                expected = pytest.approx(getattr(mine, figure), rel=relative)
                assert getattr(theirs, figure) == expected, (one.record.number, figure)
            assert theirs.dead_units == pytest.approx(mine.dead_units, abs=1e-9)
        assert other.record.test_loss == pytest.approx(one.record.test_loss, rel=relative)
        assert one.weights.keys() == other.weights.keys()
        for name, weight in one.weights.items():
            # Adagrad divides a gradient that is zero but for rounding by its own size.
            torch.testing.assert_close(
                other.weights[name], weight, rtol=10 * relative, atol=10 * relative, msg=name
            )


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(model, id=name, marks=[] if name == "mlp" else [pytest.mark.slow])
        for name, model in MODELS.items()
    ],
)
def test_every_optimizer_and_schedule_as_alone(
    model: dict[str, Any], few_digits: DeviceData
) -> None:
    """30 updates in float64, 60 trials of 10 kinds of optimizer in one stack."""
    train = {"epochs": 10, "batch_size": 32, "precision": "float64"}
    trials = trials_of(
        [
            {
                "model": model,
                "optim": {"name": name, **settings},
                "schedule": schedule,
                "train": train,
            }
            for name, settings in OPTIMIZERS.items()
            for schedule in SCHEDULES
        ]
    )
    looped = outcomes_of(trials, few_digits, stacked=False)
    assert_alike(looped, outcomes_of(trials, few_digits, stacked=True), relative=1e-7)
    assert len({outcome.record.dev_loss for outcome in looped}) == len(trials)


@pytest.mark.parametrize("stacked", [False, True], ids=["looped", "stacked"])
@pytest.mark.parametrize(("batch", "per_epoch"), [("full", 1), (32, 3), (15, 5)])
def test_rates_are_those_of_the_formulas(
    batch: int | str, per_epoch: int, stacked: bool, few_digits: DeviceData
) -> None:
    """With a warmup of 2.5 epochs of 10; a record has the rate of its epoch's last update."""
    schedules = {
        "constant": lambda epoch, t: 1.0,
        "step": lambda epoch, t: 0.5 ** (epoch // 3),
        "exponential": lambda epoch, t: math.exp(-0.3 * max(0, epoch - 2)),
        "cosine": lambda epoch, t: (1 + math.cos(math.pi * t)) / 2,
    }
    settings = {"step": {"every": 3, "factor": 0.5}, "exponential": {"decay": 0.3}}
    train = {"epochs": 10, "batch_size": batch, "precision": "float64"}
    trials = trials_of(
        [
            {
                "model": {"hidden": [4]},
                "optim": {"lr": 0.01},
                "schedule": {"name": name, "warmup": 0.25, **settings.get(name, {})},
                "train": train,
            }
            for name in schedules
        ]
    )
    updates, warmup = 10 * per_epoch, round(2.5 * per_epoch)
    for outcome, formula in zip(
        outcomes_of(trials, few_digits, stacked=stacked), schedules.values(), strict=True
    ):
        for epoch, record in enumerate(outcome.record.history):
            done = (epoch + 1) * per_epoch  # the last update's number is one less
            rise = min(1.0, done / warmup)
            t = max(0, done - 1 - warmup) / (updates - warmup)
            assert record.lr == pytest.approx(0.01 * rise * formula(epoch, t))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_as_alone(activation: str, few_digits: DeviceData) -> None:
    train = {"epochs": 2, "batch_size": 32, "precision": "float64"}
    models = [
        {"name": "mlp", "hidden": [9, 7], "activation": activation},
        {"name": "cnn", "filters": [3], "hidden": [5], "activation": activation},
    ]
    for model in models:
        trials = trials_of([{"model": model, "train": train}] * 3)
        looped = outcomes_of(trials, few_digits, stacked=False)
        assert_alike(looped, outcomes_of(trials, few_digits, stacked=True), relative=1e-9)


REGULARIZATION: tuple[dict[str, Any], ...] = (
    {},
    {"regularize": {"l1": 1e-3}},
    {"regularize": {"l2": 1e-2}},
    {"regularize": {"label_smoothing": 0.2}},
    {"regularize": {"clip_norm": 0.5}},
    {"regularize": {"clip_value": 0.01}},
    {"regularize": {"max_norm": 0.5}},
    {"regularize": {"early_stop": 1}},
    {"model": {"dropout": 0.3}},
    {"model": {"dropout": [0.0, 0.6]}},
)


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("name", ["mlp", "cnn"])
def test_every_regularization_as_alone(name: str, accumulate: int, few_digits: DeviceData) -> None:
    """Each row its own: dropout too, whose masks come from the trial's seed."""
    shape = {"hidden": [9, 7]} if name == "mlp" else {"filters": [3], "hidden": [7]}
    train = {"epochs": 5, "batch_size": 16, "precision": "float64", "accumulate": accumulate}
    trials = trials_of(
        [
            {**case, "model": {"name": name, **shape, **case.get("model", {})}, "train": train}
            for case in REGULARIZATION
        ]
    )
    looped = outcomes_of(trials, few_digits, stacked=False)
    assert_alike(looped, outcomes_of(trials, few_digits, stacked=True), relative=1e-8)
    assert len({outcome.record.history[1].train_loss for outcome in looped}) == len(trials)


@pytest.mark.parametrize("loss", ["mse", "mae", "huber"])
def test_regression_as_alone(loss: str, diabetes: DeviceData) -> None:
    trials = trials_of(
        [
            {
                "model": {"hidden": [8]},
                "objective": {"loss": loss, "huber_delta": delta},
                "train": {"epochs": 3, "precision": "float64", "batch_size": batch},
            }
            for delta, batch in ((0.2, "full"), (1.0, "full"), (5.0, "full"))
        ]
    )
    looped = outcomes_of(trials, diabetes, stacked=False)
    assert_alike(looped, outcomes_of(trials, diabetes, stacked=True), relative=1e-9)


@pytest.mark.parametrize("batch_norm", [False, True])
def test_same_ranking_in_single_precision(batch_norm: bool, digits: DeviceData) -> None:
    """A real task: 16 rates over three decades, two epochs of digits."""
    trials = trials_of(
        [
            {
                "model": {"hidden": [32], "batch_norm": batch_norm},
                "optim": {"name": "adam", "lr": 10 ** (-4.5 + 3 * step / 15)},
                "train": {"epochs": 2},
            }
            for step in range(16)
        ]
    )
    looped, stacked = (
        [one.record.dev_loss for one in outcomes_of(trials, digits, stacked=stacked)]
        for stacked in (False, True)
    )
    assert sorted(range(16), key=looped.__getitem__) == sorted(range(16), key=stacked.__getitem__)
    assert spearmanr(looped, stacked).statistic == 1.0


def test_neighbours_make_no_difference(digits: DeviceData) -> None:
    """Dropout included: a trial alone, in a pair, and in a stack of five."""
    trials = trials_of(
        [
            {
                "model": {"hidden": [24, 16], "dropout": share},
                "optim": {"name": name, "lr": 0.01},
                "train": {"epochs": 2, "precision": "float64"},
            }
            for share, name in zip(
                [0.0, 0.2, 0.5, 0.1, 0.3], ["adam", "sgd", "adam", "adamw", "rmsprop"], strict=True
            )
        ]
    )
    together = outcomes_of(trials, digits, stacked=True)
    for some in ([0], [2, 3], [4, 1]):
        others = outcomes_of([trials[row] for row in some], digits, stacked=True)
        assert_alike(others, [together[row] for row in some], relative=1e-11)


def test_a_trial_that_blows_up_leaves_and_harms_nobody(digits: DeviceData) -> None:
    calm = {"model": {"hidden": [16]}, "train": {"epochs": 3}}
    wild = {**calm, "optim": {"name": "sgd", "lr": 1e30}}
    trials = trials_of([calm, wild, calm, wild, calm])
    epochs, outcomes = epochs_of(trials, digits, stacked=True)
    assert [len(epoch.records) for epoch in epochs] == [5, 3, 3]
    assert [[one.record.number for one in epoch.ended] for epoch in epochs] == [
        [1, 3],
        [],
        [0, 2, 4],
    ]
    for outcome in (outcomes[1], outcomes[3]):
        assert outcome.record.state is TrialState.DIVERGED
        assert outcome.record.reason == "non-finite loss in epoch 1"
        assert outcome.weights == {}
    alone = outcomes_of([trials[0], trials[2], trials[4]], digits, stacked=True)
    assert_alike(alone, [outcomes[0], outcomes[2], outcomes[4]], relative=1e-5)


def test_trials_of_different_length_leave_in_turn(digits: DeviceData) -> None:
    configs = [{"model": {"hidden": [8]}, "train": {"epochs": epochs}} for epochs in (3, 1, 2)]
    epochs, outcomes = epochs_of(trials_of(configs), digits, stacked=True)
    assert [[record.trial for record in epoch.records] for epoch in epochs] == [
        [0, 1, 2],
        [0, 2],
        [0],
    ]
    assert [outcome.record.epochs for outcome in outcomes] == [3, 1, 2]


def test_a_stop_from_outside_ends_with_the_best_weights(digits: DeviceData) -> None:
    configs = [{"model": {"hidden": [8]}, "train": {"epochs": 4}}] * 3
    training = train_cohort(trials_of(configs), digits, folder=Path(), stacked=True)
    next(training)
    pruned = Stop(state=TrialState.PRUNED, reason="not among the best")
    second = training.send({1: pruned})
    assert [record.trial for record in second.records] == [0, 2]
    (ended,) = second.ended
    assert ended.record.state is TrialState.PRUNED
    assert ended.record.epochs == ended.record.best_epoch == 1
    assert ended.record.test_error is not None
    assert ended.weights
    last = training.send({0: pruned, 2: pruned})
    assert [record.trial for record in last.records] == []
    assert [one.record.number for one in last.ended] == [0, 2]
    with pytest.raises(StopIteration) as end:
        next(training)
    assert [one.record.state for one in end.value.value] == [TrialState.PRUNED] * 3


def test_seconds_are_shares_of_the_stack(digits: DeviceData) -> None:
    configs = [{"model": {"hidden": [8]}, "train": {"epochs": 1}}] * 4
    (epoch,), _ = epochs_of(trials_of(configs), digits, stacked=True)
    assert len({record.seconds for record in epoch.records}) == 1
    assert all(0 < record.seconds < math.inf for record in epoch.records)


def test_too_long_a_trial_fails_and_the_others_go_on(digits: DeviceData) -> None:
    configs = [{"model": {"hidden": [8]}, "train": {"epochs": epochs}} for epochs in (1, 3)]
    training = train_cohort(
        trials_of(configs), digits, folder=Path(), stacked=True, trial_seconds=1e-9
    )
    ended = [one.record for epoch in training for one in epoch.ended]
    assert [one.state for one in ended] == [TrialState.COMPLETE, TrialState.FAILED]
    assert ended[1].reason == "timeout: more than 1e-09 s"


def test_bfloat16_is_coarser_and_learns(digits: DeviceData) -> None:
    configs = [
        {"model": {"hidden": [32]}, "train": {"epochs": 3, "precision": precision}}
        for precision in ("float32", "bfloat16")
    ]
    trials = trials_of(configs)
    exact, coarse = (outcomes_of([trial], digits, stacked=True)[0] for trial in trials)
    alone = outcomes_of([trials[1]], digits, stacked=False)[0]
    assert coarse.record.dev_loss != exact.record.dev_loss
    assert coarse.record.dev_error is not None
    assert coarse.record.dev_error < 0.2
    assert alone.record.dev_loss == pytest.approx(coarse.record.dev_loss, rel=0.05)
    assert next(iter(coarse.weights.values())).dtype == torch.float32


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
@pytest.mark.filterwarnings("default")  # the compiler's own
@pytest.mark.parametrize("stacked", [False, True])
def test_compiled_as_written(stacked: bool, few_digits: DeviceData) -> None:
    """Dropout included, whose numbers the compiler must not trace; one of three ends early."""
    model = {"hidden": [8], "dropout": 0.3}
    plain, compiled = (
        outcomes_of(
            trials_of(
                [
                    {"model": model, "train": {"epochs": epochs, "compile": compiles}}
                    for epochs in (2, 1, 2)
                ]
            ),
            few_digits,
            stacked=stacked,
        )
        for compiles in (False, True)
    )
    assert_alike(plain, compiled, relative=1e-4)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@pytest.mark.parametrize("model", MODELS.values(), ids=list(MODELS))
def test_on_cuda_as_on_the_cpu(model: dict[str, Any], few_digits: DeviceData) -> None:
    from tests.training.on_device import moved

    train = {"epochs": 5, "batch_size": 32, "precision": "float64"}
    trials = trials_of(
        [
            {"model": model, "optim": {"name": name, **settings}, "train": train}
            for name, settings in OPTIMIZERS.items()
        ]
    )
    there = outcomes_of(trials, moved(few_digits, torch.device("cuda")), stacked=True)
    assert_alike(outcomes_of(trials, few_digits, stacked=True), there, relative=1e-6)
