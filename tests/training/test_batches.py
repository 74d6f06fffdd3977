"""Batches: every example once an epoch, a new order each time, the same order for a seed."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dltune.recipe.schema import TrainConfig
from dltune.training.batches import BatchOrder
from dltune.training.updates import batches_per_epoch, updates_per_epoch

CPU = torch.device("cpu")


@given(
    examples=st.integers(1, 60),
    batch_size=st.one_of(st.integers(1, 70), st.just("full")),
    accumulate=st.integers(1, 4),
)
def test_an_epoch_is_a_partition(examples: int, batch_size: int | str, accumulate: int) -> None:
    train = TrainConfig(batch_size=batch_size, accumulate=accumulate)
    order = BatchOrder(train, examples, seed=0, device=CPU)
    updates = list(order.epoch())
    batches = [batch for update in updates for batch in update]
    seen = torch.cat(batches).tolist()
    assert len(seen) == len(set(seen))
    # at most one example is left out: a trailing batch of one
    lone = batch_size != "full" and 1 < batch_size < examples and examples % batch_size == 1
    assert len(seen) == examples - lone
    assert len(batches) == batches_per_epoch(train, examples)
    assert len(updates) == updates_per_epoch(train, examples)
    assert all(len(update) <= accumulate for update in updates)


def test_orders_differ_by_epoch_and_by_seed_and_repeat_for_a_seed() -> None:
    def epochs(seed: int) -> list[list[int]]:
        order = BatchOrder(TrainConfig(batch_size="full"), 30, seed=seed, device=CPU)
        return [next(iter(order.epoch()))[0].tolist() for _ in range(2)]

    first, second = epochs(1)
    assert first != second
    assert epochs(1) == [first, second]
    assert epochs(2) != [first, second]


@pytest.mark.parametrize(
    ("examples", "size", "accumulate", "updates"),
    [(100, 10, 1, 10), (101, 10, 1, 10), (102, 10, 1, 11), (100, 10, 3, 4), (5, 64, 1, 1)],
)
def test_updates_per_epoch(examples: int, size: int, accumulate: int, updates: int) -> None:
    train = TrainConfig(batch_size=size, accumulate=accumulate)
    assert updates_per_epoch(train, examples) == updates
