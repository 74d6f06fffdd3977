"""What a climb through batch sizes measured, and the size that it recommends; no tensors."""

from __future__ import annotations

import dataclasses
from enum import StrEnum

# Recommended is the smallest batch that is nearly as fast as the fastest: beyond it, less than a
# tenth is to be gained, about what two timings of the same thing differ by on a busy machine.
NEARLY = 0.9


class ClimbEnd(StrEnum):
    """Why no larger batch was tried.

    train-split    the batch is the whole train split.
    max-batch      the largest that was asked for.
    limit          the next would take more memory than the limit, as predicted or measured.
    out-of-memory  the next ran out of memory.
    """

    TRAIN_SPLIT = "train-split"
    MAX_BATCH = "max-batch"
    LIMIT = "limit"
    OUT_OF_MEMORY = "out-of-memory"


@dataclasses.dataclass(frozen=True, kw_only=True)
class BatchRow:
    """One batch size as it was measured.

    batch              examples in a batch.
    examples           in an optimizer update: `train.accumulate` batches, at most all there are.
    updates_per_epoch  with this batch.
    microseconds       an update, the fastest seen.
    memory_bytes       of an update: see `BatchSizes.counted`.
    """

    batch: int
    examples: int
    updates_per_epoch: int
    microseconds: float
    memory_bytes: int

    @property
    def examples_per_second(self) -> float:
        """Throughput of the updates, without shuffling and measuring."""
        return 1e6 * self.examples / self.microseconds


@dataclasses.dataclass(frozen=True, kw_only=True)
class BatchSizes:
    """What the climb found.

    rows            those that fit, in rising order; empty if not even the smallest does.
    end             why it ended.
    refused         the smallest batch that does not fit; None if all do.
    refused_bytes   what it would take, predicted or measured; None if it ran out of memory.
    limit_bytes     of an update; None where the device itself is asked.
    limit_given     whether the caller named the limit.
    counted         True: memory is the counted bytes of weights, gradients, optimizer state and of
                    what autograd saves. False: it is the peak of the device's memory.
    device          "cpu", "cuda" or "mps".
    train_examples  in the train split.
    own             batch size of the config, at most the train split.
    accumulate      batches an update.
    notes           what was inferred about the data, as sentences.
    """

    rows: tuple[BatchRow, ...]
    end: ClimbEnd
    refused: int | None = None
    refused_bytes: int | None = None
    limit_bytes: int | None
    limit_given: bool
    counted: bool
    device: str
    train_examples: int
    own: int
    accumulate: int
    notes: tuple[str, ...] = ()

    @property
    def largest(self) -> BatchRow | None:
        """The largest batch that fits."""
        return self.rows[-1] if self.rows else None

    @property
    def fastest(self) -> BatchRow | None:
        """The batch with the most examples a second."""
        return max(self.rows, key=lambda row: row.examples_per_second, default=None)

    @property
    def recommended(self) -> BatchRow | None:
        """The smallest batch with at least 90 % of the most examples a second."""
        if self.fastest is None:
            return None
        enough = NEARLY * self.fastest.examples_per_second
        return next(row for row in self.rows if row.examples_per_second >= enough)

    @property
    def own_row(self) -> BatchRow | None:
        """The row of the config's own batch size, if it was tried and fits."""
        return next((row for row in self.rows if row.batch == self.own), None)

    @property
    def own_is_too_large(self) -> bool:
        """Whether the config's own batch size does not fit."""
        return self.refused is not None and self.own >= self.refused

    @property
    def own_examples(self) -> int:
        """Examples in an update of the config as it is."""
        return min(self.own * self.accumulate, self.train_examples)
