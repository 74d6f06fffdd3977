"""How an update is computed: on how many threads, and in which precision (`train.precision`)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import AbstractContextManager

import torch

# Below this an update takes one to two milliseconds on one core, and waking a second one costs what
# it saves: measured with perceptrons of 64-128-128-10 (10 million flops) and 64-512-512-10 (115
# million) at batch 64.
SHARED_FLOPS = 50_000_000
FLOPS_PER_PARAMETER = 6  # multiply and add, once forward and twice backward


def update_flops(parameters: int, batch: int) -> int:
    """Floating-point operations of one update of a dense model; a lower bound for convolutions.

    >>> update_flops(26_122, 64)
    10030848
    """
    return FLOPS_PER_PARAMETER * parameters * batch


@contextlib.contextmanager
def threads_for(flops: int) -> Iterator[None]:
    """Inside, torch uses one thread for a small update, else as many as it is set to.

    The choice depends on the model and the batch alone, not on timing: sums over several threads
    round differently, and a trial must give the same numbers twice.

    >>> with threads_for(10): torch.get_num_threads()
    1
    """
    with threads(None if flops >= SHARED_FLOPS else 1):
        yield


@contextlib.contextmanager
def threads(wanted: int | None) -> Iterator[None]:
    """Inside, torch uses so many threads; None for as many as it is set to."""
    outer = torch.get_num_threads()
    if wanted is None or wanted == outer:
        yield
        return
    torch.set_num_threads(wanted)
    try:
        yield
    finally:
        torch.set_num_threads(outer)


def arithmetic(device: torch.device, precision: str) -> AbstractContextManager[object]:
    """Inside, a forward pass computes in this precision.

    precision  "bfloat16" is autocast: matrix products and convolutions in bfloat16, weights, sums
               and updates in float32. float32 and float64 are the type of the weights and the data
               and need nothing.

    >>> with arithmetic(torch.device("cpu"), "bfloat16"):
    ...     (torch.ones(1, 1) @ torch.ones(1, 1)).dtype
    torch.bfloat16
    """
    if precision == "bfloat16":
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return contextlib.nullcontext()
