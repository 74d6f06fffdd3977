"""Memory that ran out, by whichever name torch reports it."""

from __future__ import annotations

import torch

# torch has an exception of its own for CUDA only. The CPU's allocator, Apple's GPU and cuBLAS (for
# its workspace) raise a RuntimeError that is told from others by its text.
OUT_OF_MEMORY_TEXTS = (
    "can't allocate memory",
    "MPS backend out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
)


def ran_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory ran out, on the CPU or on a device.

    >>> ran_out_of_memory(MemoryError()), ran_out_of_memory(RuntimeError("shapes differ"))
    (True, False)
    """
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(
        text in str(error) for text in OUT_OF_MEMORY_TEXTS
    )
