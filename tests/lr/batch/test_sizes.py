"""What is read off a table of batches."""

from __future__ import annotations

from typing import Any

import pytest

from dltune.lr.batch.sizes import BatchRow, BatchSizes, ClimbEnd

TRAIN = 1000


def row(batch: int, examples_per_second: float) -> BatchRow:
    return BatchRow(
        batch=batch,
        examples=batch,
        updates_per_epoch=-(-TRAIN // batch),
        microseconds=1e6 * batch / examples_per_second,
        memory_bytes=1000 * batch,
    )


def sizes(rates: dict[int, float], **changes: Any) -> BatchSizes:
    plain: dict[str, Any] = {
        "end": ClimbEnd.TRAIN_SPLIT,
        "limit_bytes": 10**9,
        "limit_given": False,
        "counted": True,
        "device": "cpu",
        "train_examples": TRAIN,
        "own": 32,
        "accumulate": 1,
    }
    rows = tuple(row(batch, rate) for batch, rate in rates.items())
    return BatchSizes(rows=rows, **plain | changes)


@pytest.mark.parametrize(
    ("rates", "recommended"),
    [
        pytest.param({8: 10.0, 16: 20.0, 32: 40.0}, 32, id="still growing"),
        pytest.param({8: 10.0, 16: 90.0, 32: 100.0}, 16, id="ninety percent is enough"),
        pytest.param({8: 10.0, 16: 89.0, 32: 100.0}, 32, id="less is not"),
        pytest.param({8: 10.0, 16: 100.0, 32: 50.0, 64: 95.0}, 16, id="a dip after the best"),
        pytest.param({8: 10.0}, 8, id="one"),
    ],
)
def test_the_smallest_that_is_nearly_the_fastest(rates: dict[int, float], recommended: int) -> None:
    found = sizes(rates)
    assert found.recommended == row(recommended, rates[recommended])
    assert found.fastest == row(max(rates, key=lambda batch: rates[batch]), max(rates.values()))
    assert found.largest == row(max(rates), rates[max(rates)])


def test_nothing_comes_of_no_rows() -> None:
    found = sizes({}, end=ClimbEnd.LIMIT, refused=8)
    assert (found.recommended, found.fastest, found.largest, found.own_row) == (None,) * 4


def test_throughput_counts_the_examples_of_an_update() -> None:
    accumulated = BatchRow(
        batch=8, examples=32, updates_per_epoch=4, microseconds=2000.0, memory_bytes=1
    )
    assert accumulated.examples_per_second == 16_000.0


def test_the_recipes_own_batch() -> None:
    assert sizes({16: 1.0, 32: 2.0}).own_row == row(32, 2.0)
    assert sizes({16: 1.0}, end=ClimbEnd.MAX_BATCH).own_row is None
    assert not sizes({16: 1.0}, end=ClimbEnd.MAX_BATCH).own_is_too_large
    assert sizes({16: 1.0}, end=ClimbEnd.LIMIT, refused=32).own_is_too_large
    assert sizes({16: 1.0}, end=ClimbEnd.LIMIT, refused=24).own_is_too_large
    assert not sizes({32: 1.0}, end=ClimbEnd.LIMIT, refused=40).own_is_too_large


def test_examples_in_an_update_of_the_recipe() -> None:
    assert sizes({}, own=32, accumulate=4).own_examples == 128
    assert sizes({}, own=512, accumulate=4).own_examples == TRAIN
