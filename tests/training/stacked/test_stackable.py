"""Which of a user's models can be stacked, and why not the others."""

from __future__ import annotations

import random
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from dltune.data.device import DeviceData, Tensors
from dltune.training.stacked.stackable import why_not_stackable
from tests.training.configs import make_config
from tests.training.stacked.own_nets import STACKABLE

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
    if kind == "dropout, and assigns a buffer":
        return own_nets.RunningMean(0.5)
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
        *STACKABLE,
        "dropout",
        "dropout, and assigns a buffer",
        "NoisyInTraining",
        "NoGradientInEval",
    ],
)
def test_can_be_stacked(kind: str, data: DeviceData, tmp_path: Path) -> None:
    assert reason_for(kind, data, tmp_path) is None


ITEM = "its forward pass calls .item() on a tensor"
SHARED = "its forward pass writes into a tensor that all trials share"
LEAVES = "its forward pass leaves something behind that changes the next one"
OUTSIDE = "it keeps a tensor outside of parameters and buffers: "


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("LSTM", "torch has no vmap rule for aten::lstm"),
        ("GRU", "torch has no vmap rule for aten::gru"),
        ("RNN", "torch has no vmap rule for aten::rnn_tanh"),
        ("weight_norm", "torch has no vmap rule for aten::_weight_norm"),
        ("NoRule", "its autograd.Function has no rule for vmap"),
        ("Item", ITEM),
        ("cumulative", ITEM),
        ("Decides", "its forward pass decides by the value of a tensor"),
        ("WritesOutputsIntoInput", SHARED),
        ("Unused", "its parameter spare gets no gradient, and is not to be updated"),
        ("KeepsTensor", f"{OUTSIDE}self.table"),
        ("KeepsOutputs", f"{OUTSIDE}self.last['outputs']"),
        ("KeepsLayers", f"{OUTSIDE}self.layers[0].weight"),
        ("UsesGenerator", LEAVES),
        ("counts_in_a_closure", LEAVES),
        ("remembers_in_a_closure", LEAVES),
        ("CountsPasses", "its forward pass changes self.passes"),
        (
            "random_scale",
            "another seed makes another model: the same weights give other numbers",
        ),
        ("DrawsNumpy", "its forward pass draws random numbers of NumPy or Python"),
        ("NoisyAlways", "its forward pass draws random numbers in eval mode too"),
        (
            "ExtraState",
            "its state_dict() has _extra_state, which is neither a parameter nor a buffer",
        ),
        ("Broken", "KeyError: 'four'"),
    ],
)
def test_cannot_be_stacked(kind: str, reason: str, data: DeviceData, tmp_path: Path) -> None:
    assert reason_for(kind, data, tmp_path) == reason


@pytest.mark.parametrize(("kind", "mode"), [("WrongRule", "eval"), ("WrongInTraining", "train")])
def test_a_wrong_rule_is_seen(kind: str, mode: str, data: DeviceData, tmp_path: Path) -> None:
    found = reason_for(kind, data, tmp_path)
    assert found is not None
    share = re.fullmatch(
        f"in {mode} mode its outputs in a stack and alone differ by (.+) of the largest", found
    )
    assert share is not None
    assert 0.01 < float(share[1]) < 10


@pytest.mark.parametrize("kind", ["hooked_gradient", "hooked_after_gradient"])
def test_a_hook_of_a_weight_is_not_called_in_a_stack(
    kind: str, data: DeviceData, tmp_path: Path
) -> None:
    found = reason_for(kind, data, tmp_path)
    assert found == "in eval mode its gradients in a stack and alone differ by 0.5 of the largest"


def test_a_model_of_random_depth(data: DeviceData, tmp_path: Path) -> None:
    found = reason_for("RandomDepth", data, tmp_path)
    assert found is not None
    assert re.fullmatch(r"another seed makes another model: self\.\S+ differs", found)


def test_a_model_that_cannot_be_built(data: DeviceData, tmp_path: Path) -> None:
    found = reason_for("Missing", data, tmp_path)
    assert found is not None
    assert found.startswith("ModelError: model.factory = 'nets.py:build' raised AttributeError: ")
    assert "\n" not in found


def test_random_numbers_are_left_alone(data: DeviceData, tmp_path: Path) -> None:
    states = random.getstate(), np.random.get_state()[2], torch.get_rng_state()
    reason_for("DrawsNumpy", data, tmp_path)
    reason_for("dropout", data, tmp_path)
    assert random.getstate() == states[0]
    assert np.random.get_state()[2] == states[1]
    assert torch.equal(torch.get_rng_state(), states[2])
