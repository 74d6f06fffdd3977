"""How an update is computed: on how many threads, in which precision, by which kernels."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

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


@contextlib.contextmanager
def reproducible(device: torch.device) -> Iterator[None]:
    """Inside, kernels give the same numbers every time, and float32 is float32; CUDA needs it said.

    cuDNN then takes no convolution that adds in any order, and tries none out: that choice would
    hang on timing. Neither it nor cuBLAS rounds factors to TF32, which has ten of float32's 23
    bits. cuBLAS itself adds in one order, since torch lends every stream a workspace of its own.
    These settings are the process's, and are as before outside. What none of them decides stands
    in docs/performance.md.

    Source: torch's notes on reproducibility, and on TensorFloat-32 in its CUDA semantics.
    """
    if device.type != "cuda":
        yield
        return
    with contextlib.ExitStack() as inside:
        inside.enter_context(_set(torch.backends.cudnn, deterministic=True, benchmark=False))
        if _uses_named_precisions():
            cudnn: Any = torch.backends.cudnn  # no stub knows its parts
            for part in (torch.backends.cuda.matmul, cudnn.conv, cudnn.rnn):
                inside.enter_context(_set(part, fp32_precision="ieee"))
        else:
            if torch.get_float32_matmul_precision() == "medium":  # the switch brings back "high"
                inside.callback(torch.set_float32_matmul_precision, "medium")
            for part in (torch.backends.cuda.matmul, torch.backends.cudnn):
                inside.enter_context(_set(part, allow_tf32=False))
        yield


def _uses_named_precisions() -> bool:
    """Whether the process has TF32 set as torch has it since 2.9, not by the older switches.

    torch refuses to read the older ones after that, so each form must be left as it is.
    """
    wholes = torch.backends, torch.backends.cudnn
    try:
        _ = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
        torch.get_float32_matmul_precision()
    except RuntimeError:
        return True
    return any(getattr(whole, "fp32_precision", "none") != "none" for whole in wholes)


@contextlib.contextmanager
def _set(owner: Any, **settings: object) -> Iterator[None]:
    """Inside, attributes have these values; one that has it anyway is left alone."""
    outer = {name: getattr(owner, name) for name in settings}
    changed = {name: value for name, value in settings.items() if outer[name] != value}
    for name, value in changed.items():
        setattr(owner, name, value)
    try:
        yield
    finally:
        for name in changed:
            setattr(owner, name, outer[name])
