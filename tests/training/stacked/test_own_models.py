"""Users' models in a stack against the same trials one after another."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from dltune.data.device import DeviceData, Tensors
from dltune.training.history import Trial
from dltune.training.stacked.kinds import kinds
from tests.training.stacked.own_arguments import DO_NOT_ACT
from tests.training.stacked.own_nets import INPUTS, STACKABLE
from tests.training.stacked.test_engine import assert_alike, outcomes_of, trials_of

BUILDER = """
from tests.training.stacked.own_arguments import FACTORIES
from tests.training.stacked.own_nets import STACKABLE

def build(inputs, outputs, kind):
    return STACKABLE[kind]()

def build_by_argument(inputs, outputs, case, argument):
    return FACTORIES[case](argument)
"""
OPTIMIZERS: tuple[dict[str, Any], ...] = (
    {"name": "momentum", "lr": 0.02},
    {"name": "adamw", "lr": 0.01, "weight_decay": 0.1},
    {"name": "sgd", "lr": 0.1},
)
TRAIN = {"epochs": 3, "batch_size": 32, "precision": "float64"}


@pytest.fixture(scope="module")
def narrow_wine(wine: DeviceData) -> DeviceData:
    """Wines by as many of their measurements as the modules take."""

    def narrow(split: Tensors | None) -> Tensors | None:
        if split is None:
            return None
        return Tensors(features=split.features[:, :INPUTS].contiguous(), targets=split.targets)

    splits = {name: narrow(getattr(wine, name)) for name in ("train", "dev", "test", "train_dev")}
    return dataclasses.replace(wine, inputs=(INPUTS,), **splits)


@pytest.mark.parametrize("kind", STACKABLE)
def test_trained_as_alone(kind: str, narrow_wine: DeviceData, tmp_path: Path) -> None:
    """Figures, dead units and the best weights, over 12 updates in float64."""
    (tmp_path / "nets.py").write_text(BUILDER)
    model = {"factory": "nets.py:build", "kind": kind}
    trials = trials_of([{"model": model, "optim": one, "train": TRAIN} for one in OPTIMIZERS])
    assert_trained_as_alone(trials, narrow_wine, tmp_path)


@pytest.mark.parametrize(
    ("case", "one", "other"),
    # Random numbers of layers are drawn for a whole stack.
    [(case, one, other) for case, _, one, other in DO_NOT_ACT if "beside" not in case],
)
def test_different_arguments_trained_as_alone(
    case: str, one: object, other: object, narrow_wine: DeviceData, tmp_path: Path
) -> None:
    (tmp_path / "nets.py").write_text(BUILDER)
    model = {"factory": "nets.py:build_by_argument", "case": case}
    arguments = (one, other, one, other)
    trials = trials_of(
        [
            {"model": {**model, "argument": argument}, "optim": optim, "train": TRAIN}
            for argument, optim in zip(arguments, (*OPTIMIZERS, OPTIMIZERS[0]), strict=True)
        ]
    )
    configs = [trial.config for trial in trials]
    assert len(set(kinds(configs, narrow_wine, folder=tmp_path, seed=0))) == 1
    assert_trained_as_alone(trials, narrow_wine, tmp_path)


def assert_trained_as_alone(trials: list[Trial], data: DeviceData, folder: Path) -> None:
    looped, stacked = (
        outcomes_of(trials, data, stacked=stacked, folder=folder) for stacked in (False, True)
    )
    assert_alike(looped, stacked, relative=1e-9)
    assert len({outcome.record.dev_loss for outcome in looped}) == len(trials)
