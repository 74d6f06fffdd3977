"""Activations by their recipe name."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn


class Swish(nn.Module):
    """x * sigmoid(beta x), with a learnable beta that starts at 1 (where it equals SiLU).

    >>> Swish()(torch.tensor([0.0, 1.0])).tolist() == nn.SiLU()(torch.tensor([0.0, 1.0])).tolist()
    True

    Source: Ramachandran, Zoph & Le 2017 (1710.05941), section 4.
    """

    def __init__(self) -> None:
        super().__init__()
        self.beta = nn.Parameter(torch.ones(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Element by element; the shape stays."""
        return x * torch.sigmoid(self.beta * x)


ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "leaky-relu": nn.LeakyReLU,
    "prelu": nn.PReLU,
    "elu": nn.ELU,
    "silu": nn.SiLU,
    "swish": Swish,
    "mish": nn.Mish,
    "gelu": nn.GELU,
}


def build_activation(name: str) -> nn.Module:
    """A fresh activation module.

    name  one of `ACTIVATIONS`; the recipe has checked it.

    >>> build_activation("relu")
    ReLU()
    """
    return ACTIVATIONS[name]()
