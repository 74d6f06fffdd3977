"""The weights of a stack: one matrix, a row a trial, and views of it for every layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import nn
from torch.nn.utils import parameters_to_vector


class StackedParameters:
    """The trainable parameters of S models of equal shapes, and their other tensors.

    modules  one a trial, freshly initialised, on the device to train on.

    weights   (S, P), a row a trial; `leaves` are views (S, *shape) of it by parameter name.
    gradient  (S, P), filled by `gather`; `gradients` are its views.
    buffers   (S, *shape) by name: running statistics, and parameters that are not trained.

    One matrix for all tensors makes an optimizer a few operations whatever the number of layers;
    the layers work on views, so nothing is copied to and fro but the gradients.

    >>> stack = StackedParameters([nn.Linear(2, 1), nn.Linear(2, 1)])
    >>> tuple(stack.weights.shape), tuple(stack.leaves["weight"].shape)
    ((2, 3), (2, 1, 2))
    """

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        trained = [_trained(module) for module in modules]
        self._shapes = {name: tensor.shape for name, tensor in trained[0].items()}
        self.buffers = stacked([_untrained(module) for module in modules])
        self._take(torch.stack([parameters_to_vector(one.values()) for one in trained]).detach())

    def gather(self, gradients: Sequence[torch.Tensor]) -> None:
        """Copy gradients, in the order of the leaves, into the gradient matrix."""
        for view, gradient in zip(self.gradients.values(), gradients, strict=True):
            view.copy_(gradient)

    def add(self, gradients: Sequence[torch.Tensor]) -> None:
        """Add gradients to the gradient matrix, for batches that are accumulated."""
        for view, gradient in zip(self.gradients.values(), gradients, strict=True):
            view.add_(gradient)

    def keep(self, rows: torch.Tensor) -> None:
        """Shrink to these rows (k,), in this order; what was a view before no longer is one."""
        self.buffers = {name: buffer[rows] for name, buffer in self.buffers.items()}
        self._take(self.weights[rows])

    def views(self, matrix: torch.Tensor) -> dict[str, torch.Tensor]:
        """A matrix (rows, P) as tensors (rows, *shape) by parameter name, sharing its memory."""
        parts = matrix.split([shape.numel() for shape in self._shapes.values()], dim=1)
        return {
            name: part.unflatten(1, shape) if shape else part.squeeze(1)
            for (name, shape), part in zip(self._shapes.items(), parts, strict=True)
        }

    def _take(self, weights: torch.Tensor) -> None:
        self.weights = weights
        self.gradient = torch.empty_like(weights)
        self.gradients = self.views(self.gradient)
        self.leaves = {
            name: view.detach().requires_grad_() for name, view in self.views(weights).items()
        }


def stacked(tensors: Sequence[Mapping[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """Tensors of equal names and shapes as one (S, *shape) a name.

    >>> stacked([{"a": torch.tensor([1.0])}, {"a": torch.tensor([2.0])}])["a"].tolist()
    [[1.0], [2.0]]
    """
    return {name: torch.stack([one[name].detach() for one in tensors]) for name in tensors[0]}


def _trained(module: nn.Module) -> dict[str, nn.Parameter]:
    return {name: w for name, w in module.named_parameters() if w.requires_grad}


def _untrained(module: nn.Module) -> dict[str, torch.Tensor]:
    frozen = {name: w for name, w in module.named_parameters() if not w.requires_grad}
    return {**frozen, **dict(module.named_buffers())}
