"""The memory of one update: counted where running out would kill the process, else measured."""

from __future__ import annotations

import gc
from collections.abc import Sequence

import torch
from torch import nn

from dltune.recipe.schema import OptimConfig
from dltune.training.learner import Learner
from dltune.training.memory import available_bytes
from dltune.training.optimizers import build_optimizer

# Of what is free, for an update. On the CPU its bytes are counted, and the process takes more: the
# outputs and gradients of the layer it is in, and what lies between blocks. Measured, 1.5 to 3.4
# times the count (docs/batch-find.md). What Apple's driver has lent is measured.
MEMORY_SHARE = {"cpu": 0.25, "mps": 1.0}

Point = tuple[int, int]  # examples in a batch, bytes


def saved_bytes(learner: Learner, batch: torch.Tensor) -> int:
    """What autograd keeps of one forward pass for the backward pass; makes gradients, no update.

    batch  indices (batch,) into the train split.

    The sum over the different storages that are saved, each once however many operations share it.
    Weights and buffers are there anyway and do not count; the batch's features, copied out of the
    train split, do where a layer keeps its input. For a perceptron of relu layers in float32:

    bytes = 4 b (inputs + hidden_1 + ... + hidden_n + classes) + 8 b (targets) + 4

    Source: torch's autograd mechanics, "Hooks for saved tensors".
    """
    weights = {
        tensor.untyped_storage().data_ptr()
        for tensor in [*learner.model.parameters(), *learner.model.buffers()]
    }
    sizes: dict[int, int] = {}  # by address: all of them live until the backward pass is done

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.layout is torch.strided:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in weights:
                sizes[storage.data_ptr()] = storage.nbytes()
        return tensor.detach()  # the tensor itself would be a cycle that is never freed

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        learner.gradients([batch])
    return sum(sizes.values())


def fixed_bytes(model: nn.Module, optim: OptimConfig) -> int:
    """Weights, their gradients, the optimizer's state and buffers: the same for every batch.

    >>> from dltune.recipe.schema import AdamConfig
    >>> fixed_bytes(nn.Linear(9, 1), AdamConfig())  # 10 weights, gradients and two moments
    160
    """
    copies = 2 + state_values(optim)
    trained = sum(weight.nbytes for weight in model.parameters() if weight.requires_grad)
    frozen = sum(weight.nbytes for weight in model.parameters() if not weight.requires_grad)
    return copies * trained + frozen + sum(buffer.nbytes for buffer in model.buffers())


def state_values(optim: OptimConfig) -> int:
    """How many values an optimizer keeps for each weight, seen from one update of two weights.

    >>> from dltune.recipe.schema import AdamConfig, MomentumConfig, SgdConfig
    >>> [state_values(optim) for optim in (SgdConfig(), MomentumConfig(), AdamConfig())]
    [0, 1, 2]
    """
    weights = nn.Parameter(torch.ones(2))
    optimizer = build_optimizer(optim, [weights], device=weights.device)
    weights.grad = torch.ones(2)
    optimizer.step()
    state = optimizer.state[weights].values()
    return sum(torch.is_tensor(value) and value.shape == weights.shape for value in state)


def predict_bytes(points: Sequence[Point], batch: int, *, fixed: int) -> int:
    """The bytes of a batch by a straight line through the two largest batches known.

    points  (examples, bytes) in rising order of examples; at least one.
    batch   examples.
    fixed   what stands in for a batch of none while there is only one point.

    bytes(b) = B_1 + (b - b_1) (B_1 - B_0) / (b_1 - b_0)

    What an update holds is in proportion to the batch, but for the weights and what is made of them
    alone (a copy in bfloat16).

    >>> predict_bytes([(2, 300), (8, 900)], 16, fixed=100)
    1700
    >>> predict_bytes([(2, 300)], 8, fixed=100)
    900
    """
    (low, low_bytes), (high, high_bytes) = [(0, fixed), *points][-2:]
    return round(high_bytes + (batch - high) * (high_bytes - low_bytes) / (high - low))


def default_limit(device: torch.device) -> int | None:
    """Bytes that a batch may take where the user names no limit; None where the device itself says.

    CUDA raises an exception when memory runs out, from which one can go on. On the CPU the system
    kills the process instead, and a Mac, whose GPU shares its memory, begins to swap.
    """
    share = MEMORY_SHARE.get(device.type)
    return None if share is None else int(share * available_bytes(device))


class PeakMemory:
    """The peak of a device's memory above what was taken before; None on the CPU, which has none.

    device  where the tensors are.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        free_cache(device)
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        self._before = self._taken()

    def rise(self) -> int | None:
        """Bytes above those at the start, at the highest since then."""
        if self._device.type == "cpu":
            return None
        return max(0, self._taken() - self._before)

    def _taken(self) -> int:
        if self._device.type == "cuda":
            return torch.cuda.max_memory_allocated(self._device)
        # What Apple's driver has lent is kept by torch's cache, so it is as high as it ever was.
        return torch.mps.driver_allocated_memory() if self._device.type == "mps" else 0


def free_cache(device: torch.device) -> None:
    """Give back what torch holds for tensors that are no more."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()
