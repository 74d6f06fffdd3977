"""Which of a user's models can be stacked, and why not the others."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch

from dltune.data.device import DeviceData, Tensors
from dltune.training.stacked.stackable import why_not_stackable
from tests.training.configs import make_config

BUILDERS = """
from torch import nn
from tests.training.stacked import own_nets

def build(inputs, outputs, kind):
    if kind in own_nets.STACKABLE:
        return own_nets.STACKABLE[kind]()
    if kind in ("LSTM", "GRU", "RNN"):
        return own_nets.Recurrent(getattr(nn, kind))
    if kind == "dropout":
        return own_nets.Encoder(0.5)
    if kind == "cumulative":
        return nn.Sequential(nn.Linear(8, 3), nn.BatchNorm1d(3, momentum=None))
    return getattr(own_nets, kind)()
"""


@pytest.fixture(scope="module")
def data() -> DeviceData:
    split = Tensors(features=3 * torch.rand(20, 8), targets=torch.arange(20) % 3)
    return DeviceData(
        device=torch.device("cpu"),
        task="classification",
        inputs=(8,),
        outputs=3,
        train=split,
        dev=split,
        test=None,
        train_dev=None,
    )


def reason_for(kind: str, data: DeviceData, folder: Path) -> str | None:
    (folder / "nets.py").write_text(BUILDERS)
    config = make_config(model={"factory": "nets.py:build", "kind": kind})
    return why_not_stackable(config, data, folder=folder, seed=3)


@pytest.mark.parametrize(
    "kind",
    [
        "dense",
        "images with batch norm",
        "residual",
        "tied",
        "words",
        "transformer",
        "frozen",
        "writes into its input",
        "dropout",
    ],
)
def test_can_be_stacked(kind: str, data: DeviceData, tmp_path: Path) -> None:
    assert reason_for(kind, data, tmp_path) is None


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("LSTM", "torch has no vmap rule for aten::lstm"),
        ("GRU", "torch has no vmap rule for aten::gru"),
        ("RNN", "torch has no vmap rule for aten::rnn_tanh"),
        ("Item", "its forward pass calls .item() on a tensor"),
        ("cumulative", "its forward pass calls .item() on a tensor"),
        ("Decides", "its forward pass decides by the value of a tensor"),
        ("Unused", "its parameter spare gets no gradient, and is not to be updated"),
        ("KeepsTensor", "it keeps a tensor outside of parameters and buffers: table"),
        ("DrawsNumpy", "its forward pass draws random numbers of NumPy or Python"),
        ("ExtraState", "it has a state of its own (get_extra_state)"),
        ("Broken", "KeyError: 'four'"),
        ("Missing", "model.factory = 'nets.py:build' raised AttributeError"),
    ],
)
def test_cannot_be_stacked(kind: str, reason: str, data: DeviceData, tmp_path: Path) -> None:
    found = reason_for(kind, data, tmp_path)
    assert found is not None
    assert reason in found
    assert "\n" not in found


def test_random_numbers_are_left_alone(data: DeviceData, tmp_path: Path) -> None:
    states = random.getstate(), np.random.get_state()[2], torch.get_rng_state()
    reason_for("DrawsNumpy", data, tmp_path)
    reason_for("dropout", data, tmp_path)
    assert random.getstate() == states[0]
    assert np.random.get_state()[2] == states[1]
    assert torch.equal(torch.get_rng_state(), states[2])
