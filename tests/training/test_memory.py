"""What is left of a memory, and the many names of one that ran out."""

from __future__ import annotations

import pytest
import torch

from dltune.errors import ran_out_of_memory
from dltune.training.memory import available_bytes


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


@pytest.mark.parametrize(
    ("kind", "told", "left"),
    [
        # 5 of the driver's, and 7 - 4 that torch holds for no tensor.
        (
            "cuda",
            {"mem_get_info": (5, 16), "memory_reserved": 7, "memory_allocated": 4},
            8,
        ),
        # Of 16, tensors have 4; the driver has lent 7.
        (
            "mps",
            {
                "recommended_max_memory": 16,
                "driver_allocated_memory": 7,
                "current_allocated_memory": 4,
            },
            12,
        ),
    ],
)
def test_what_torch_holds_for_no_tensor_is_free(
    kind: str, told: dict[str, object], left: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in told.items():
        monkeypatch.setattr(getattr(torch, kind), name, lambda *_, value=value: value)
    assert available_bytes(torch.device(kind)) == left


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_what_was_freed_on_cuda_is_free() -> None:
    device = torch.device("cuda")
    torch.cuda.empty_cache()
    before = available_bytes(device)
    passing = torch.ones(2**28, device=device)  # a GiB
    assert available_bytes(device) <= before - 2**30
    del passing
    assert torch.cuda.memory_reserved(device) >= 2**30
    assert available_bytes(device) >= before - 2**26  # other programs may take some meanwhile
