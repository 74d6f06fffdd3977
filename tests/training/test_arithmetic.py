"""Threads: one for a small update, all for a large one, and the caller's number afterwards."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from dltune.training.arithmetic import SHARED_FLOPS, threads_for, update_flops


@pytest.fixture
def three_threads() -> Iterator[None]:
    outer = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(outer)


@pytest.mark.usefixtures("three_threads")
@pytest.mark.parametrize(("flops", "threads"), [(SHARED_FLOPS - 1, 1), (SHARED_FLOPS, 3)])
def test_threads_by_the_size_of_an_update(flops: int, threads: int) -> None:
    with threads_for(flops):
        assert torch.get_num_threads() == threads
    assert torch.get_num_threads() == 3


@pytest.mark.usefixtures("three_threads")
def test_the_number_comes_back_after_an_error() -> None:
    with pytest.raises(KeyError), threads_for(1):
        raise KeyError
    assert torch.get_num_threads() == 3


def test_flops_of_a_dense_layer() -> None:
    # 10 -> 5 without bias: a product is 2 * 10 * 5 flops an example, and backward takes two of them
    assert update_flops(50, batch=4) == 3 * (2 * 10 * 5) * 4
