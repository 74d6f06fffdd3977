"""A small transformer as a user would write it, for `model.factory = "nets.py:transformer"`."""

from __future__ import annotations

import math

import torch
from torch import nn


class Transformer(nn.Module):
    """Pre-norm encoder over the parts of an example, their mean, and a linear head.

    Images (n, 1, height, width) are a sequence of rows, series (n, columns) one of `parts` pieces.
    """

    def __init__(
        self, inputs: tuple[int, ...], outputs: int, *, width: int, layers: int, parts: int
    ) -> None:
        super().__init__()
        self.parts = inputs[1] if len(inputs) == 3 else parts
        size = math.prod(inputs) // self.parts
        self.embed = nn.Linear(size, width)
        self.place = nn.Parameter(0.02 * torch.randn(self.parts, width))
        layer = nn.TransformerEncoderLayer(
            width, 2, 2 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Outputs (n, outputs) of inputs (n, *inputs)."""
        tokens = x.reshape(len(x), self.parts, -1)  # (n, parts, size)
        encoded = self.encoder(self.embed(tokens) + self.place)
        return self.head(self.norm(encoded).mean(dim=1))


def transformer(
    inputs: tuple[int, ...], outputs: int, width: int = 16, layers: int = 1, parts: int = 8
) -> nn.Module:
    """A fresh network for examples of shape `inputs`."""
    return Transformer(inputs, outputs, width=width, layers=layers, parts=parts)
