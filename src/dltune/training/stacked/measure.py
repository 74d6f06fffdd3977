"""Loss, error and dead units of all rows on a split, in eval mode."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch

from dltune.data.device import Tensors
from dltune.training.measure import Measured
from dltune.training.stacked.losses import stacked_error
from dltune.training.stacked.network import Network

# Examples in work at a time: on the CPU about as many as in a batch, so that a stack's activations
# stay in the caches, elsewhere as many as keep a GPU busy. Never a matter of the stack's size,
# which must not touch a row's numbers.
CHUNK_EXAMPLES = {"cpu": 128}
CHUNK_EXAMPLES_ON_DEVICE = 2048

StackedLoss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


@dataclasses.dataclass(frozen=True, kw_only=True)
class StackMeasured:
    """Figures of every row.

    figures     loss and error of each row.
    dead_units  share of the rectifier units that are zero on every example; None without any.
    """

    figures: list[Measured]
    dead_units: list[float | None]


def measure_stack(
    network: Network,
    parameters: dict[str, torch.Tensor],
    buffers: dict[str, torch.Tensor],
    split: Tensors,
    *,
    loss: StackedLoss,
    task: str,
    watches: bool = False,
) -> StackMeasured:
    """Figures of all rows on a whole split, without gradients.

    loss     of outputs (S, K, n) and targets of the split: the mean over the examples, (S,).
    watches  True counts dead units too.
    """
    device = split.features.device
    examples = CHUNK_EXAMPLES.get(device.type, CHUNK_EXAMPLES_ON_DEVICE)
    alive: list[torch.Tensor] | None = None
    outputs = []
    with torch.no_grad():
        for chunk in split.features.split(examples):
            watch: list[torch.Tensor] | None = [] if watches else None
            outputs.append(network.forward(parameters, buffers, chunk, dropout=None, watch=watch))
            if watch:
                alive = (
                    watch if alive is None else [a | b for a, b in zip(alive, watch, strict=True)]
                )
        together = torch.cat(outputs, dim=2)  # (S, K, n)
        targets = split.targets if task == "classification" else split.targets.t()
        mean_losses = loss(together, targets)
        errors = stacked_error(together, targets, task=task)
        figures = torch.stack([mean_losses, errors.to(mean_losses.dtype)])
        dead = None if alive is None else 1.0 - torch.cat(alive, dim=1).float().mean(dim=1)
    losses, shares = figures.tolist()
    if task == "classification":  # see training.measure: a share of whole counts
        shares = [round(share * len(split)) / len(split) for share in shares]
    return StackMeasured(
        figures=[Measured(loss=a, error=b) for a, b in zip(losses, shares, strict=True)],
        dead_units=[None] * len(losses) if dead is None else dead.tolist(),
    )
