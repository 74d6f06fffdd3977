"""The first weights of a stack against those of models that are built one by one."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
import torch

from dltune.data.device import DeviceData
from dltune.models.activations import ACTIVATIONS
from dltune.models.build import build_model
from dltune.training.history import Trial
from dltune.training.stacked.initial import draw_anew, initial_masks, initial_models
from dltune.training.stacked.learner import StackedLearner
from tests.training.configs import make_config

KINDS: tuple[dict[str, Any], ...] = (
    {"name": "mlp", "hidden": []},
    {"name": "mlp", "hidden": [9, 7]},
    {"name": "cnn", "filters": [3, 4], "hidden": [5]},
)
NET = """
from torch import nn

def build(inputs, outputs):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, outputs), nn.BatchNorm1d(outputs))
"""


def trials_of(model: dict[str, Any], **train: Any) -> list[Trial]:
    config = make_config(model=model, train=train)
    return [Trial(number=number, config=config, seed=number) for number in range(3)]


def test_drawn_as_built(digits: DeviceData) -> None:
    """Every layer that a built-in model may have, to the last bit."""
    for kind, activation, batch_norm in itertools.product(KINDS, ACTIVATIONS, (False, True)):
        config = make_config(model={**kind, "activation": activation, "batch_norm": batch_norm})

        def build(config: Any = config.model) -> torch.nn.Module:
            return build_model(config, inputs=digits.inputs, outputs=10, folder=Path())

        torch.manual_seed(1)
        drawn = build()
        torch.manual_seed(2)
        draw_anew(drawn)
        drew = torch.get_rng_state()
        torch.manual_seed(2)
        built = build()
        assert torch.equal(torch.get_rng_state(), drew)
        for name, value in built.state_dict().items():
            assert torch.equal(drawn.state_dict()[name], value), (kind, activation, name)


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("model", [*KINDS, {"factory": "net.py:build"}])
def test_a_stack_starts_as_each_trial_alone(
    model: dict[str, Any], precision: str, digits: DeviceData, tmp_path: Path
) -> None:
    """Buffers too; numbers of double precision are those that were drawn in single."""
    (tmp_path / "net.py").write_text(NET)
    trials = trials_of(model, precision=precision)
    stack = StackedLearner(trials, digits, folder=tmp_path)
    for row, trial in enumerate(trials):
        (alone,) = initial_models([trial], digits, folder=tmp_path)
        for name, value in alone.state_dict().items():
            found = {**stack.parameters.leaves, **stack.parameters.buffers}[name][row]
            assert torch.equal(found, value.to(found.dtype))
            expected = getattr(torch, precision) if value.is_floating_point() else torch.int64
            assert found.dtype == expected


def test_masks_have_each_trials_share(digits: DeviceData) -> None:
    shares = (0.0, [0.5, 0.25])
    trials = [trials_of({"hidden": [4, 4], "dropout": share})[0] for share in shares]
    model = next(initial_models(trials, digits, folder=Path()))
    masks = initial_masks(trials, model, torch.zeros(2))
    masks.start_epoch([1000])
    for layer, largest in enumerate((2.0, 4 / 3)):
        mask = masks.mask(layer, 4, 1000)
        assert mask is not None
        assert mask[0].unique().tolist() == [1.0]
        assert mask[1].unique().tolist() == [0.0, pytest.approx(largest)]
