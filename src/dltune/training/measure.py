"""Loss, error and dead units of a model on a split, in eval mode."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator

import torch
from torch import nn

from dltune.data.device import Tensors
from dltune.training.losses import Loss, error_of

# Outputs are kept whole, activations are not: this bounds their memory and fills a GPU.
CHUNK_EXAMPLES = 8192


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measured:
    """Loss and error of one split; numbers, not tensors."""

    loss: float
    error: float


def measure(model: nn.Module, split: Tensors, *, loss: Loss, task: str) -> Measured:
    """Loss and error of a model on a whole split, without gradients; leaves the model in eval mode.

    model  maps (n, *inputs) to (n, outputs).
    loss   mean over a batch.
    """
    model.eval()
    with torch.no_grad():
        # A copy: a user's model may begin with x /= 255, which must not reach the data themselves.
        chunks = split.features.split(CHUNK_EXAMPLES)
        outputs = torch.cat([model(chunk.clone()) for chunk in chunks])
        mean_loss = loss(outputs, split.targets)
        error = error_of(outputs, split.targets, task=task)
        figures = torch.stack([mean_loss, error.to(mean_loss.dtype)])
    loss_value, error_value = figures.tolist()  # one transfer from the device for both
    if task == "classification":
        # A share of single precision is 22/359 only to seven digits; the count behind it is whole.
        error_value = round(error_value * len(split)) / len(split)
    return Measured(loss=loss_value, error=error_value)


class DeadUnits:
    """Counts the rectifier units that were zero for every example seen while it watched.

    A unit is a column of a dense layer's output or a channel of a convolution's; an output (n,) is
    one unit. Only `nn.ReLU` is watched: the other activations have no region that stays at zero.
    """

    def __init__(self, model: nn.Module) -> None:
        self._rectifiers = [module for module in model.modules() if isinstance(module, nn.ReLU)]
        self._alive: dict[tuple[int, int], torch.Tensor] = {}

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Inside, every forward pass of the model is taken into account."""
        self._alive = {}
        hooks = [module.register_forward_hook(self._see) for module in self._rectifiers]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def _see(self, module: nn.Module, _: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        positions = [dim for dim in range(output.ndim) if dim != 1]
        alive = output.amax(dim=positions).reshape(-1) > 0  # (n, units, *positions) → (units,)
        key = (id(module), alive.numel())  # a module may be used at several widths
        self._alive[key] = self._alive[key] | alive if key in self._alive else alive

    def share(self) -> float | None:
        """Share of the units, in [0, 1]; None if the model has no rectifier.

        >>> model = nn.ReLU(); dead = DeadUnits(model)
        >>> with dead.watching(): _ = model(torch.tensor([[-1.0, 2.0], [-3.0, -1.0]]))
        >>> dead.share()
        0.5
        """
        if not self._alive:
            return None
        return 1.0 - torch.cat(list(self._alive.values())).float().mean().item()
