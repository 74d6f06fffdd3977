"""`find_batch_size`: from a config to the batch sizes that fit, data and climb included."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch

from dltune.data.device import DeviceData, wait_for
from dltune.errors import TrainingError, ran_out_of_memory
from dltune.lr.batch.memory import (
    PeakMemory,
    default_limit,
    fixed_bytes,
    free_cache,
    predict_bytes,
    saved_bytes,
)
from dltune.lr.batch.sizes import BatchRow, BatchSizes, ClimbEnd
from dltune.lr.find import Loaded, load
from dltune.lr.sweep import named_failures, untouched_random_states
from dltune.recipe.schema import Config
from dltune.training.learner import Learner
from dltune.training.memory import keep_freed_memory
from dltune.training.updates import batch_examples

SMALLEST_BATCH = 8


def find_batch_size(
    config: Config,
    *,
    folder: Path,
    smallest: int = SMALLEST_BATCH,
    largest: int | None = None,
    memory_bytes: int | None = None,
    loaded: Loaded | None = None,
    watch: Callable[[int], None] | None = None,
) -> BatchSizes:
    """Time and weigh an update of a config's model at batches that double until no more fit.

    config        every value fixed; `train.accumulate` holds, its batch size is one of those tried.
    folder        what relative paths in it start from.
    smallest      batch to begin with, 1 or more.
    largest       to end with; by default, and at most, the whole train split.
    memory_bytes  that an update may take; by default a quarter of what is free on the CPU, where it
                  is a count, and elsewhere as much as there is.
    loaded        the config's data, where they are there already.
    watch         called with the batch that is tried next.

    Real updates, at a learning rate of 0, so that no rate can blow up what is timed. A batch whose
    predicted bytes exceed the limit is not tried; between the last that fits and the first that
    does not, up to two more are. Changes nothing: random states are afterwards as before.

    Raises TrainingError if the sizes do not fit the train split; DataError, ModelError and
    TrainingError as a training does.

    >>> from dltune.recipe.files import parse_recipe
    >>> text = '''
    ... data.source = "sklearn:iris"
    ... train.device = "cpu"
    ... '''
    >>> found = find_batch_size(parse_recipe(text, folder=".").config(), folder=Path("."))
    >>> [row.batch for row in found.rows], found.end.value
    ([8, 16, 32, 64, 90], 'train-split')
    """
    keep_freed_memory()
    with untouched_random_states(), named_failures(config.model, where="at a batch that was tried"):
        there = loaded or load(config, folder=folder)
        data = there.data
        own = batch_examples(config.train, len(data.train))
        sizes = candidate_sizes(smallest, largest, examples=len(data.train), own=own)
        limit = default_limit(data.device) if memory_bytes is None else memory_bytes
        climb = Climb(config, data=data, folder=folder, limit_bytes=limit, watch=watch)
        climb.run(sizes)
    whole = sizes[-1] == len(data.train)
    return BatchSizes(
        rows=tuple(climb.rows),
        end=climb.end or (ClimbEnd.TRAIN_SPLIT if whole else ClimbEnd.MAX_BATCH),
        refused=climb.refused,
        refused_bytes=climb.refused_bytes,
        limit_bytes=limit,
        limit_given=memory_bytes is not None,
        counted=data.device.type == "cpu",
        device=data.device.type,
        train_examples=len(data.train),
        own=own,
        accumulate=config.train.accumulate,
        notes=there.notes,
    )


def candidate_sizes(smallest: int, largest: int | None, *, examples: int, own: int) -> list[int]:
    """The batches to try: doubling, the largest and the recipe's own included.

    smallest, largest  first and last; None, or more than there are, is the train split.
    examples           in the train split.
    own                the recipe's batch size; left out where it lies outside.

    Raises TrainingError unless 1 <= smallest <= largest and smallest <= examples.

    >>> candidate_sizes(8, None, examples=100, own=50)
    [8, 16, 32, 50, 64, 100]
    """
    if smallest > examples:
        raise TrainingError(
            f"--min-batch {smallest}: the train split has {examples:,} examples, "
            "and a batch has no more",
            hint=f"Try --min-batch {min(SMALLEST_BATCH, examples)}.",
        )
    last = examples if largest is None else min(largest, examples)
    if not 1 <= smallest <= last:
        raise TrainingError(
            f"--min-batch {smallest} --max-batch {last}: 1 <= smallest <= largest must hold",
            hint=f"Try --min-batch {max(1, last // SMALLEST_BATCH)}.",
        )
    doubling = itertools.takewhile(
        lambda size: size < last, (smallest * 2**power for power in itertools.count())
    )
    return sorted({*doubling, last, *([own] if smallest <= own <= last else [])})


PILOT_BATCH = 2  # measured first, to predict the smallest from; batch norm cannot have fewer
MULTIPLE = 8  # of sizes between powers of two: what vector units and tensor cores take at once
FINEST = 0.25  # the largest that fits is known to this share of it

# The fastest of so many updates counts, since noise only ever adds, and at least of a quarter of a
# second of them, as a small update is shorter than an interruption.
FEWEST_TIMED, MOST_TIMED, TIMED_SECONDS = 3, 100, 0.25


class Climb:
    """Tries batches one by one, and stops at the first that does not fit.

    config       whose batch size is replaced.
    data         on its device.
    folder       where relative references of the recipe are looked up.
    limit_bytes  of an update; None for no limit but the device's.
    watch        called with the batch that is tried next.
    """

    def __init__(
        self,
        config: Config,
        *,
        data: DeviceData,
        folder: Path,
        limit_bytes: int | None,
        watch: Callable[[int], None] | None = None,
    ) -> None:
        self._config = config
        self._data = data
        self._folder = folder
        self._limit = limit_bytes
        self._watch = watch
        self._fixed = 0
        self._points: list[tuple[int, int]] = []  # the pilot's among them
        self.rows: list[BatchRow] = []
        self.end: ClimbEnd | None = None
        self.refused: int | None = None
        self.refused_bytes: int | None = None

    def run(self, sizes: Sequence[int]) -> None:
        """Try the sizes, which rise, and where one does not fit some between it and the last."""
        if not self._fits(min(PILOT_BATCH, sizes[0]), is_pilot=True):
            self.refused = sizes[0]
            return
        for size in sizes:
            if not self._fits(size):
                break
        while self.rows and self.refused is not None:
            middle = size_between(self.rows[-1].batch, self.refused)
            if middle is None:
                break
            self._fits(middle)

    def _fits(self, batch: int, *, is_pilot: bool = False) -> bool:
        """Measure a batch if it is predicted to fit; a refusal is noted."""
        if self._points:
            predicted = predict_bytes(self._points, batch, fixed=self._fixed)
            if self._limit is not None and predicted > self._limit:
                return self._refuse(batch, ClimbEnd.LIMIT, predicted)
        if self._watch is not None and not is_pilot:
            self._watch(batch)
        row: BatchRow | None = None
        try:
            row = self._measured(batch, is_pilot=is_pilot)
        except Exception as error:
            if not ran_out_of_memory(error):
                raise
        # Here the exception, whose traceback holds the tensors, is no more.
        if row is None:
            free_cache(self._data.device)
            return self._refuse(batch, ClimbEnd.OUT_OF_MEMORY, None)
        if self._limit is not None and row.memory_bytes > self._limit and not is_pilot:
            return self._refuse(batch, ClimbEnd.LIMIT, row.memory_bytes)
        if not self._points or batch > self._points[-1][0]:
            self._points.append((batch, row.memory_bytes))
        if not is_pilot:
            self.rows.append(row)
        return True

    def _refuse(self, batch: int, end: ClimbEnd, taken: int | None) -> bool:
        self.refused, self.refused_bytes, self.end = batch, taken, end
        return False

    def _measured(self, batch: int, *, is_pilot: bool) -> BatchRow:
        peak = PeakMemory(self._data.device)
        train = self._config.train.model_copy(update={"batch_size": batch})
        config = self._config.model_copy(update={"train": train})
        learner = Learner(config, seed=train.seed, data=self._data, folder=self._folder)
        self._fixed = fixed_bytes(learner.model, config.optim)
        updates = whole_updates(learner)
        counted = 0
        with learner.running(), learner.training():
            if self._data.device.type == "cpu":
                counted = self._fixed + saved_bytes(learner, next(updates)[0])
            seconds = fastest_update(learner, updates, most=1 if is_pilot else MOST_TIMED)
        measured = peak.rise()
        return BatchRow(
            batch=batch,
            examples=sum(map(len, next(updates))),
            updates_per_epoch=learner.updates_per_epoch,
            microseconds=1e6 * seconds,
            memory_bytes=counted if measured is None else measured,
        )


def size_between(fits: int, refused: int) -> int | None:
    """The multiple of 8 in the middle of two sizes; None if they are close enough.

    >>> size_between(256, 512), size_between(384, 512), size_between(448, 512)
    (384, 448, None)
    """
    if refused - fits <= max(MULTIPLE, FINEST * fits):
        return None
    return (fits + refused) // 2 // MULTIPLE * MULTIPLE


def whole_updates(learner: Learner) -> Iterator[list[torch.Tensor]]:
    """Batches of updates without end, those that come out smaller at an epoch's end left out."""
    whole = 0
    while True:
        for batches in learner.update_batches():
            examples = sum(map(len, batches))
            whole = max(whole, examples)  # the first update of an epoch has most
            if examples == whole:
                yield batches


def fastest_update(
    learner: Learner, updates: Iterator[list[torch.Tensor]], *, most: int = MOST_TIMED
) -> float:
    """Seconds of the fastest of a few updates; the first, which allocates, does not count."""
    device, fastest, spent = learner.data.device, math.inf, 0.0
    for number in range(most + 1):
        batches = next(updates)
        wait_for(device)
        start = time.perf_counter()
        learner.gradients(batches)
        learner.apply(0.0)
        wait_for(device)
        seconds = time.perf_counter() - start
        if number == 0:
            continue
        fastest, spent = min(fastest, seconds), spent + seconds
        if number >= FEWEST_TIMED and spent >= TIMED_SECONDS:
            break
    return fastest
