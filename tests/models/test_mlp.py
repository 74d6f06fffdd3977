"""The multilayer perceptron: its layers, its size, its dropout."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from dltune.models.dropout import Dropout
from dltune.models.mlp import build_mlp
from dltune.recipe.schema import MlpConfig


def kinds(model: nn.Module) -> list[str]:
    return [type(layer).__name__ for layer in model.children()]


@pytest.mark.parametrize(
    ("hidden", "parameters"),
    [
        pytest.param([], 64 * 10 + 10, id="linear"),
        pytest.param([128, 128], 64 * 128 + 128 + 128 * 128 + 128 + 128 * 10 + 10, id="two layers"),
        pytest.param([5], 64 * 5 + 5 + 5 * 10 + 10, id="narrow"),
    ],
)
def test_parameters_are_those_of_the_formula(hidden: list[int], parameters: int) -> None:
    model = build_mlp(MlpConfig(hidden=hidden), inputs=(1, 8, 8), outputs=10)
    assert sum(weight.numel() for weight in model.parameters()) == parameters
    assert model(torch.zeros(3, 1, 8, 8)).shape == (3, 10)


def test_batch_norm_stands_before_the_activation_and_takes_the_bias_place() -> None:
    model = build_mlp(MlpConfig(hidden=[4], batch_norm=True, dropout=0.5), inputs=(3,), outputs=2)
    assert kinds(model) == ["Flatten", "Linear", "BatchNorm1d", "ReLU", "Dropout", "Linear"]
    assert model[1].bias is None


def test_dropout_per_layer() -> None:
    model = build_mlp(MlpConfig(hidden=[4, 4, 4], dropout=[0.1, 0.0, 0.3]), inputs=(3,), outputs=2)
    shares = [layer.p for layer in model.children() if isinstance(layer, Dropout)]
    assert shares == [0.1, 0.0, 0.3]
