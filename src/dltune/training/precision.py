"""The arithmetic of a forward pass: `train.precision`."""

from __future__ import annotations

import contextlib
from contextlib import AbstractContextManager

import torch


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
