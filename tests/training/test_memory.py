"""The many names of memory that ran out."""

from __future__ import annotations

import pytest
import torch

from dltune.errors import ran_out_of_memory


def test_the_cpus_own_error_is_known() -> None:
    with pytest.raises(RuntimeError) as refused:
        torch.empty(10**15)  # bytes beyond any address space that is lent
    assert ran_out_of_memory(refused.value)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("MPS backend out of memory (MPS allocated: 9.0 GB, max allowed: 9.07 GB)."),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ],
)
def test_devices_say_it_in_their_own_words(error: Exception) -> None:
    assert ran_out_of_memory(error)


@pytest.mark.parametrize("error", [RuntimeError("shapes differ"), ValueError("out of memory")])
def test_other_errors_are_not_about_memory(error: Exception) -> None:
    assert not ran_out_of_memory(error)
