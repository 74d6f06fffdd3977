"""Loss, error and dead units on a split, in eval mode, and on which examples."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator

import torch
from torch import nn

from dltune.data.device import DeviceData, Tensors
from dltune.training.losses import Loss, error_of
from dltune.training.seeds import derive_seed

# A finished trial's train loss and error are measured on at most this many examples (or as many as
# dev has): their standard error is then at most 0.5 / sqrt(20 000) = 0.35 points, far below what a
# diagnosis asks for.
MEASURED_TRAIN_EXAMPLES = 20_000

# After every epoch as many as dev has will do, as the curves of both are then as smooth; and so
# many where dev is smaller. All of them would take as long as half of the updates of a small model.
CURVE_TRAIN_EXAMPLES = 256

# Examples in work at a time: as many as in a batch, whose activations a training keeps for every
# layer and this for two, so what fits there fits here; and so many where batches are smaller, or
# calls would take longer than what they compute. With 128 a stack of 64 small convolutional
# networks took 530 MiB instead of 440. Never a matter of the stack's size, which must not touch a
# row's numbers.
LEAST_CHUNK = {"cpu": 32}
LEAST_CHUNK_ON_DEVICE = 128
LARGEST_CHUNK = 8192  # a whole split may be a batch


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measured:
    """Loss and error of one split; numbers, not tensors."""

    loss: float
    error: float


def measure(
    forward: Callable[[torch.Tensor], torch.Tensor],
    split: Tensors,
    *,
    loss: Callable[[torch.Tensor], torch.Tensor],
    error: Callable[[torch.Tensor], torch.Tensor],
    along: int,
    batch: int,
    task: str,
) -> list[Measured]:
    """Loss and error of every model of a forward pass on a whole split, without gradients.

    forward  maps features (n, *inputs) to outputs, with the n examples in dimension `along`.
    loss     of the outputs on the whole split, a scalar, or (S,) of S models; error likewise.
    batch    examples in a batch of the training.
    """
    chunk = chunk_examples(batch, split.features.device)
    with torch.no_grad():
        outputs = torch.cat([forward(part) for part in split.features.split(chunk)], dim=along)
        losses = loss(outputs)
        figures = torch.stack([losses, error(outputs).to(losses.dtype)]).reshape(2, -1)
    values, errors = figures.tolist()  # one transfer from the device for all
    if task == "classification":
        # A share of single precision is 22/359 only to seven digits; the count behind it is whole.
        errors = [round(share * len(split)) / len(split) for share in errors]
    return [Measured(loss=one, error=other) for one, other in zip(values, errors, strict=True)]


def measure_model(
    model: nn.Module, split: Tensors, *, loss: Loss, task: str, batch: int = LARGEST_CHUNK
) -> Measured:
    """Loss and error of one model on a whole split; leaves the model in eval mode.

    model  maps (n, *inputs) to (n, outputs).
    loss   mean over a batch.
    batch  examples in a batch of the training.
    """
    model.eval()
    (measured,) = measure(
        # A copy: a user's model may begin with x /= 255, which must not reach the data themselves.
        lambda examples: model(examples.clone()),
        split,
        loss=lambda outputs: loss(outputs, split.targets),
        error=lambda outputs: error_of(outputs, split.targets, task=task),
        along=0,
        batch=batch,
        task=task,
    )
    return measured


def chunk_examples(batch: int, device: torch.device) -> int:
    """How many examples are measured at a time, see `LEAST_CHUNK`.

    >>> chunk_examples(32, torch.device("cpu")), chunk_examples(1000, torch.device("cpu"))
    (32, 1000)
    """
    least = LEAST_CHUNK.get(device.type, LEAST_CHUNK_ON_DEVICE)
    return min(max(batch, least), LARGEST_CHUNK)


def train_sample(data: DeviceData, examples: int) -> Tensors:
    """The examples of the train split that train loss and error are measured on.

    examples  so many, or as many as dev has if that is more. They are drawn at random, the same
              for all trials, which are thus compared on the same examples.
    """
    split, size = data.train, _sample_size(data, examples)
    if len(split) == size:
        return split
    generator = torch.Generator().manual_seed(derive_seed("measured"))
    chosen = torch.randperm(len(split), generator=generator)[:size].to(split.features.device)
    return Tensors(
        features=split.features.index_select(0, chosen),
        targets=split.targets.index_select(0, chosen),
    )


def measured_examples(data: DeviceData) -> dict[str, int]:
    """How many examples are behind each error of a trial: see `TrialRecord.examples`."""
    splits = {"dev": data.dev, "test": data.test, "train_dev": data.train_dev}
    return {
        "train": _sample_size(data, MEASURED_TRAIN_EXAMPLES),
        "curve": _sample_size(data, CURVE_TRAIN_EXAMPLES),
        **{name: len(split) for name, split in splits.items() if split is not None},
    }


def _sample_size(data: DeviceData, examples: int) -> int:
    return min(len(data.train), max(examples, len(data.dev)))


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
