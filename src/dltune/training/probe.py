"""How large a stack should be: a short measurement of a few sizes, not stacking among them."""

from __future__ import annotations

import dataclasses
import itertools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch

from dltune.data.device import DeviceData, Tensors, wait_for
from dltune.errors import ran_out_of_memory
from dltune.recipe.schema import FactoryConfig
from dltune.recipe.users_code import let_signals_through
from dltune.training.arithmetic import SHARED_FLOPS, update_flops
from dltune.training.history import Trial
from dltune.training.learner import Learner
from dltune.training.measure import chunk_examples
from dltune.training.memory import available_bytes, keep_freed_memory
from dltune.training.stacked.learner import StackedLearner
from dltune.training.stacked.stackable import why_not_stackable
from dltune.training.updates import updates_per_epoch

# Sizes double from here. Smaller stacks are no faster for any of the models of docs/benchmarks.md:
# with 4 rows a step of the smallest network costs twice as much a row as with 32.
SMALLEST_STACK = 16
# Where no larger stack was faster: on the CPU the gain of 64 rows over 32 is within 3 %, on a GPU
# launches dominate for far longer.
LARGEST_STACK = {"cpu": 64}
LARGEST_STACK_ON_DEVICE = 1024

# A larger stack must be better by this to be looked beyond; timing noise is about as large.
WORTHWHILE = 0.97
TIMED_UPDATES = 3  # the fastest counts: noise only ever adds

# Probing stops when it has taken this share of what the training will take by its own estimate.
PROBE_SHARE = 0.08

# Weights, gradients, two moments, their temporaries and the best weights so far.
COPIES_OF_WEIGHTS = 8
MEMORY_SHARE = 0.5  # of what is free, for one process's stack


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProbeResult:
    """What was measured.

    best          the stack size that trains fastest; 1 is not to stack.
    microseconds  a trial and update by stack size; 1 is a trial alone, in the looped engine.
    reason        why the trials cannot be stacked, or "".
    all_threads   microseconds a trial and update of the best size with all threads, where an update
                  is large enough to share; None where it is not.
    """

    best: int
    microseconds: dict[int, float]
    reason: str = ""
    all_threads: float | None = None


def probe(
    trials: Sequence[Trial],
    data: DeviceData,
    *,
    folder: Path,
    waiting: int,
    processes: int = 1,
    on_gpu: int = 1,
    threads: int = 1,
    seconds_at_most: float = math.inf,
) -> ProbeResult:
    """Measure trials of equal shapes in stacks of a few sizes; none of it is kept.

    trials     to measure with, of equal shapes; no stack is larger than their number.
    waiting    trials of these shapes that are to be trained: what the probe may cost.
    processes  that train at the same time.
    on_gpu     those of them that have the same GPU, and share its memory; all share the CPU's.
    threads    that one process alone could use.
    seconds_at_most  after which no further size is tried.

    Whatever a stack raises means that it is too large.
    """
    keep_freed_memory()
    first = trials[0]
    config = first.config
    updates = updates_per_epoch(config.train, len(data.train)) * config.train.epochs
    started = time.perf_counter()
    seconds = {1: _looped_seconds(first, data, folder)}
    reason = ""
    if isinstance(config.model, FactoryConfig) and len(trials) > 1:
        reason = why_not_stackable(config, data, folder=folder, seed=first.seed) or ""
    largest = (
        1
        if reason
        else _largest_stack(
            trials, data, folder, on_gpu if data.device.type == "cuda" else processes
        )
    )
    size = min(SMALLEST_STACK, largest)
    while 1 < size <= largest:
        try:
            seconds[size] = _stacked_seconds(trials[:size], data, folder)
        except BaseException as error:  # the user's code may raise anything
            let_signals_through(error)
            if not (ran_out_of_memory(error) or isinstance(config.model, FactoryConfig)):
                raise
            break
        smaller = min(value for other, value in seconds.items() if other < size)
        spent = time.perf_counter() - started
        ahead = min(seconds.values()) * waiting * updates / processes
        if (seconds[size] > WORTHWHILE * smaller and size > SMALLEST_STACK) or (
            spent > min(PROBE_SHARE * ahead, seconds_at_most)
        ):
            break
        size = min(2 * size, largest) if size < largest else largest + 1
    best = min(seconds, key=lambda one: seconds[one])
    shared = _with_all_threads(trials[:best], data, folder, threads)
    return ProbeResult(
        best=best,
        microseconds={one: 1e6 * value for one, value in seconds.items()},
        reason=reason,
        all_threads=None if shared is None else 1e6 * shared,
    )


def _largest_stack(trials: Sequence[Trial], data: DeviceData, folder: Path, sharing: int) -> int:
    largest = LARGEST_STACK.get(data.device.type, LARGEST_STACK_ON_DEVICE)
    learner = Learner(trials[0].config, seed=trials[0].seed, data=data, folder=folder)
    row = COPIES_OF_WEIGHTS * sum(weight.nbytes for weight in learner.parameters)
    room = MEMORY_SHARE * available_bytes(data.device) / sharing
    return max(1, min(largest, len(trials), int(room // row)))


def _looped_seconds(trial: Trial, data: DeviceData, folder: Path) -> float:
    learner = Learner(trial.config, seed=trial.seed, data=data, folder=folder)
    with learner.running():
        return _fastest(learner.epoch_updates, data.device)


def _stacked_seconds(trials: Sequence[Trial], data: DeviceData, folder: Path) -> float:
    learner = StackedLearner(trials, data, folder=folder)
    dev = learner.data.dev
    first = slice(chunk_examples(learner.batch, data.device))
    with learner.running():
        seconds = _fastest(learner.epoch_updates, data.device) / len(trials)
        # Not timed: whether it fits, too.
        learner.figures(Tensors(features=dev.features[first], targets=dev.targets[first]))
    return seconds


def _with_all_threads(
    trials: Sequence[Trial], data: DeviceData, folder: Path, threads: int
) -> float | None:
    """Seconds of the chosen form with so many threads; None where there is nothing to share."""
    outer = torch.get_num_threads()
    if data.device.type != "cpu" or threads <= outer:
        return None
    learner = Learner(trials[0].config, seed=trials[0].seed, data=data, folder=folder)
    if update_flops(learner.parameter_count, learner.batch) * len(trials) < SHARED_FLOPS:
        return None
    torch.set_num_threads(threads)
    try:
        if len(trials) == 1:
            return _looped_seconds(trials[0], data, folder)
        return _stacked_seconds(trials, data, folder)
    finally:
        torch.set_num_threads(outer)


def _fastest(updates: Callable[[], Iterator[object]], device: torch.device) -> float:
    """Seconds of the fastest of a few updates; the first, which allocates, does not count."""
    fastest, endless = math.inf, itertools.chain.from_iterable(iter(updates, None))
    next(endless)
    for _ in range(TIMED_UPDATES):
        wait_for(device)
        start = time.perf_counter()
        next(endless)
        wait_for(device)
        fastest = min(fastest, time.perf_counter() - start)
    return fastest
