"""What users' own modules do that built-in ones do not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from dltune.data.device import DeviceData
from dltune.training.history import Trial, TrialState
from dltune.training.loop import train_cohort
from dltune.training.outcome import TrialOutcome
from tests.training.configs import make_config

HEAD = """
import random
import numpy as np
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.layer = nn.Linear(*inputs, outputs)
        self.gate = nn.Sequential(nn.Linear(*inputs, 1), nn.Flatten(0), nn.ReLU())
        self.passes = 0

def build(inputs, outputs):
    return Net(inputs, outputs)
"""


def run(data: DeviceData, folder: Path, body: str, **sections: dict[str, Any]) -> TrialOutcome:
    """One trial of two epochs with a module of these methods."""
    (folder / "net.py").write_text(f"{HEAD}\nclass Net(Net):\n{body}")
    sections = {"train": {"epochs": 2, "batch_size": 32}} | sections
    config = make_config(model={"factory": "net.py:build"}, **sections)
    training = train_cohort([Trial(number=0, config=config, seed=1)], data, folder=folder)
    while True:
        try:
            next(training)
        except StopIteration as stop:
            (outcome,) = stop.value
            return outcome


def test_a_model_that_changes_its_input_leaves_the_data_alone(
    wine: DeviceData, tmp_path: Path
) -> None:
    splits = (wine.train, wine.dev, wine.test)
    before = [split.features.clone() for split in splits if split is not None]
    outcome = run(wine, tmp_path, "    def forward(self, x):\n        x /= 2\n        "
                  "return self.layer(x)\n")  # fmt: skip
    assert outcome.record.state is TrialState.COMPLETE
    after = [split.features for split in splits if split is not None]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


@pytest.mark.parametrize(
    "noise", ["torch.randn_like(x)", "float(np.random.randn())", "random.random()"]
)
def test_noise_in_train_and_eval_mode_comes_from_the_trials_seed(
    wine: DeviceData, tmp_path: Path, noise: str
) -> None:
    body = f"    def forward(self, x):\n        return self.layer(x + {noise})\n"
    losses = []
    for _ in range(2):
        outcome = run(wine, tmp_path, body)
        losses.append([record.dev_loss for record in outcome.record.history])
        torch.rand(1)  # the caller's generators go on
    assert losses[0] == losses[1]


def test_a_rectifier_of_one_unit_an_example_is_counted(wine: DeviceData, tmp_path: Path) -> None:
    body = "    def forward(self, x):\n        return self.layer(x) * (1 + self.gate(x))[:, None]\n"
    outcome = run(wine, tmp_path, body)
    assert outcome.record.state is TrialState.COMPLETE
    assert outcome.record.history[0].dead_units == 0.0


def test_state_that_is_no_tensor_is_kept(wine: DeviceData, tmp_path: Path) -> None:
    body = (
        "    def forward(self, x):\n        self.passes += 1\n        return self.layer(x)\n"
        "    def get_extra_state(self):\n        return {'passes': self.passes}\n"
        "    def set_extra_state(self, state):\n        self.passes = state['passes']\n"
    )
    outcome = run(wine, tmp_path, body, objective={"metric": "dev_loss"})
    assert outcome.record.state is TrialState.COMPLETE
    # One pass checks the model. An epoch has 4 batches of up to 32 examples, and is measured in
    # such: 106 of train are 4, 36 of dev are 2.
    expected = 1 + (4 + 4 + 2) * outcome.record.best_epoch
    assert outcome.weights["_extra_state"] == {"passes": expected}


def test_a_model_that_fails_in_the_last_measurement_is_a_failed_trial(
    wine: DeviceData, tmp_path: Path
) -> None:
    assert wine.test is not None
    first = wine.test.features[0, 0].item()
    body = (
        "    def forward(self, x):\n"
        f"        if not self.training and x[0, 0].item() == {first!r}:\n"
        "            raise ValueError('not this one')\n"
        "        return self.layer(x)\n"
    )
    assert first not in (wine.dev.features[0, 0].item(), wine.train.features[0, 0].item())
    outcome = run(wine, tmp_path, body)
    assert outcome.record.state is TrialState.FAILED
    lines = (tmp_path / "net.py").read_text().splitlines()
    line = 1 + next(n for n, text in enumerate(lines) if "not this one" in text)
    where = f"{tmp_path / 'net.py'}, line {line}"
    assert outcome.record.reason == f"user model: ValueError: not this one ({where})"
    assert outcome.record.objective is None
    assert outcome.weights == {}
