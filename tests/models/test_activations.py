"""Activations against their formulas."""

from __future__ import annotations

import typing

import pytest
import torch
from torch.nn import functional as F

from dltune.models.activations import ACTIVATIONS, Swish, build_activation
from dltune.recipe.schema import Activation

POINTS = torch.linspace(-4, 4, 33, dtype=torch.float64)

FORMULAS = {
    "sigmoid": lambda x: 1 / (1 + torch.exp(-x)),
    "tanh": torch.tanh,
    "relu": lambda x: x.clamp(min=0),
    "leaky-relu": lambda x: torch.where(x > 0, x, 0.01 * x),
    "prelu": lambda x: torch.where(x > 0, x, 0.25 * x),  # torch starts the slope at 0.25
    "elu": lambda x: torch.where(x > 0, x, torch.exp(x) - 1),
    "silu": lambda x: x / (1 + torch.exp(-x)),
    "swish": lambda x: x / (1 + torch.exp(-x)),  # beta starts at 1
    "mish": lambda x: x * torch.tanh(F.softplus(x)),
    "gelu": lambda x: 0.5 * x * (1 + torch.erf(x / 2**0.5)),
}


@pytest.mark.parametrize("name", sorted(FORMULAS))
def test_activation_follows_its_formula(name: str) -> None:
    module = build_activation(name).double()
    torch.testing.assert_close(module(POINTS), FORMULAS[name](POINTS))


def test_recipe_and_models_know_the_same_names() -> None:
    assert set(typing.get_args(Activation)) == set(ACTIVATIONS) == set(FORMULAS)


def test_swish_learns_its_beta() -> None:
    swish = Swish()
    swish(torch.tensor([1.0])).sum().backward()
    # d/d beta of x sigmoid(beta x) at x = beta = 1 is s (1 - s), s = sigmoid(1)
    s = torch.sigmoid(torch.tensor(1.0))
    torch.testing.assert_close(swish.beta.grad, s * (1 - s))
