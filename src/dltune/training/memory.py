"""Memory: keeping what tensors free, and how much is left."""

from __future__ import annotations

import ctypes
import functools
import platform

import torch

from dltune.data.machine import free_memory

# Numbers of mallopt's settings in glibc's malloc.h.
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3
LARGEST_MMAP_THRESHOLD = 32 * 2**20  # more is refused: half of a heap's size on 64-bit systems
TOP_PAD = 64 * 2**20  # the heap grows by so much at a time


@functools.cache
def keep_freed_memory() -> None:
    """Let this process keep the memory that tensors free, for the tensors that come next.

    By default glibc gives large blocks back to the system at once, and the next tensor's pages are
    mapped and zeroed anew: for stacks of a small convolutional network that is a third of the
    training time, for a 64-512-512-10 perceptron alone even more. Where malloc is another one,
    nothing happens.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_THRESHOLD, LARGEST_MMAP_THRESHOLD)
        libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
        libc.mallopt(M_TOP_PAD, TOP_PAD)


def available_bytes(device: torch.device) -> int:
    """Memory that a training on this device could still take, roughly.

    What torch holds for tensors that are no more counts: the next tensors get it.

    >>> available_bytes(torch.device("cpu")) > 0
    True
    """
    if device.type == "cuda":
        held = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + held
    if device.type == "mps":
        return torch.mps.recommended_max_memory() - torch.mps.current_allocated_memory()
    return free_memory()
