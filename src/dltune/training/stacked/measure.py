"""Loss and error of all rows on a split, in eval mode."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from dltune.data.device import Tensors
from dltune.training.measure import Measured, measure
from dltune.training.stacked.losses import StackedLoss, stacked_error
from dltune.training.stacked.network import Network

Tensored = tuple[Mapping[str, torch.Tensor], Mapping[str, torch.Tensor]]
"""Parameters and buffers, by name (S, *shape)."""
Alive = list[torch.Tensor]
"""By rectifier layer, which units are above zero for some example: bool (S, units)."""


def measure_rows(
    network: Network,
    weights: Tensored,
    split: Tensors,
    *,
    loss: StackedLoss,
    batch: int,
    task: str,
    alive: Alive | None = None,
) -> list[Measured]:
    """The figures of every row: see `training.measure.measure`.

    alive  is filled, where the model has rectifiers.
    """
    parameters, buffers = weights
    targets = split.targets if task == "classification" else split.targets.t()

    def forward(examples: torch.Tensor) -> torch.Tensor:
        watch: Alive | None = None if alive is None else []
        outputs = network.forward(parameters, buffers, examples, dropout=None, watch=watch)
        if alive is not None and watch:
            alive[:] = [a | b for a, b in zip(alive, watch, strict=True)] if alive else watch
        return outputs

    return measure(
        forward,
        split,
        loss=lambda outputs: loss.plain(outputs, targets),
        error=lambda outputs: stacked_error(outputs, targets, task=task),
        along=2,
        batch=batch,
        task=task,
    )
