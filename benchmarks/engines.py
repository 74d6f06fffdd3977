"""What one trial's update costs in an engine of dltune."""

from __future__ import annotations

import contextlib
import dataclasses
import statistics
import time
from collections.abc import Iterator

from dltune.data.device import wait_for
from dltune.training.arithmetic import threads_for
from dltune.training.learner import Learner
from dltune.training.stacked.learner import StackedLearner


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cost:
    """Seconds of one trial's update: alone, and with the epoch's measuring shared out over it."""

    update: float
    measured: float


def cost_of(learner: Learner | StackedLearner, *, seconds: float) -> Cost:
    """The median over epochs, the first left out, for so many seconds and at least one epoch."""
    device, trials = learner.data.device, 1
    if isinstance(learner, StackedLearner):
        trials = len(learner.trials)
    clock: list[tuple[float, float]] = []
    with _running(learner):
        updates = _epoch(learner)[2]  # the first epoch allocates
        begun = time.perf_counter()
        while not clock or time.perf_counter() - begun < seconds:
            wait_for(device)
            start = time.perf_counter()
            trained, measured, _ = _epoch(learner)
            clock.append((trained - start, measured - start))
    update, measured = (statistics.median(times) for times in zip(*clock, strict=True))
    each = updates * trials
    return Cost(update=update / each, measured=measured / each)


def _epoch(learner: Learner | StackedLearner) -> tuple[float, float, int]:
    """When one epoch's updates and its measuring were done, and how many updates it has."""
    device = learner.data.device
    updates = sum(1 for _ in learner.epoch_updates())
    wait_for(device)
    trained = time.perf_counter()
    learner.measure_train()
    learner.measure(learner.data.dev)
    wait_for(device)
    return trained, time.perf_counter(), updates


@contextlib.contextmanager
def _running(learner: Learner | StackedLearner) -> Iterator[None]:
    """Threads, kernels and random numbers as in a training."""
    if isinstance(learner, StackedLearner):
        with learner.running():
            yield
    else:
        with threads_for(learner.update_flops()), learner.own_randomness():
            yield
