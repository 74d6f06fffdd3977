"""How many updates an epoch has, and of which examples; without torch."""

from __future__ import annotations

import math

from dltune.recipe.schema import TrainConfig


def batch_examples(train: TrainConfig, examples: int) -> int:
    """Examples in a batch: `train.batch_size`, and never more than there are.

    >>> batch_examples(TrainConfig(batch_size="full"), 100)
    100
    """
    return examples if train.batch_size == "full" else min(train.batch_size, examples)


def batches_per_epoch(train: TrainConfig, examples: int) -> int:
    """Batches in an epoch; a trailing batch of one single example is left out.

    Batch norm cannot learn from one example. Since the order is new in every epoch, no example is
    left out for good.

    >>> batches_per_epoch(TrainConfig(batch_size=32), 65)
    2
    >>> batches_per_epoch(TrainConfig(batch_size=1), 3)
    3
    """
    size = batch_examples(train, examples)
    whole, rest = divmod(examples, size)
    return whole + (rest > 1)


def updates_per_epoch(train: TrainConfig, examples: int) -> int:
    """Optimizer updates in an epoch: one for every `accumulate` batches, and one for the rest.

    >>> updates_per_epoch(TrainConfig(batch_size=10, accumulate=4), 100)
    3
    """
    return math.ceil(batches_per_epoch(train, examples) / train.accumulate)


def update_slices(train: TrainConfig, examples: int) -> list[list[slice]]:
    """Where the batches of an epoch's updates stand in its order of examples.

    >>> update_slices(TrainConfig(batch_size=2, accumulate=2), 6)
    [[slice(0, 2, None), slice(2, 4, None)], [slice(4, 6, None)]]
    """
    size, batches = batch_examples(train, examples), batches_per_epoch(train, examples)
    parts = [slice(k * size, min((k + 1) * size, examples)) for k in range(batches)]
    return [
        parts[start : start + train.accumulate] for start in range(0, batches, train.accumulate)
    ]
