"""Users' models in a stack against the same trials one after another."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from dltune.data.device import DeviceData, Tensors
from tests.training.stacked.own_nets import INPUTS, STACKABLE
from tests.training.stacked.test_engine import assert_alike, outcomes_of, trials_of

BUILDER = """
from tests.training.stacked.own_nets import STACKABLE

def build(inputs, outputs, kind):
    return STACKABLE[kind]()
"""
OPTIMIZERS: tuple[dict[str, Any], ...] = (
    {"name": "momentum", "lr": 0.02},
    {"name": "adamw", "lr": 0.01, "weight_decay": 0.1},
    {"name": "sgd", "lr": 0.1},
)


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
    train = {"epochs": 3, "batch_size": 32, "precision": "float64"}
    trials = trials_of([{"model": model, "optim": one, "train": train} for one in OPTIMIZERS])
    looped, stacked = (
        outcomes_of(trials, narrow_wine, stacked=stacked, folder=tmp_path)
        for stacked in (False, True)
    )
    assert_alike(looped, stacked, relative=1e-9)
    assert len({outcome.record.dev_loss for outcome in looped}) == len(trials)
