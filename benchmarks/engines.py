"""What one trial's update costs in an engine of dltune."""

from __future__ import annotations

import dataclasses
import statistics
import time

from dltune.data.device import wait_for
from dltune.training.base_learner import BaseLearner


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cost:
    """Seconds of one trial's update: alone, and with the epoch's measuring shared out over it."""

    update: float
    measured: float


def cost_of(learner: BaseLearner, *, seconds: float) -> Cost:
    """The median over epochs, the first left out, for so many seconds and at least one epoch."""
    device, trials = learner.data.device, len(learner.trials)
    clock: list[tuple[float, float]] = []
    with learner.running():
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


def _epoch(learner: BaseLearner) -> tuple[float, float, int]:
    """When one epoch's updates and its measuring were done, and how many updates it has."""
    device = learner.data.device
    updates = sum(1 for _ in learner.epoch_updates())
    wait_for(device)
    trained = time.perf_counter()
    learner.measure_train()
    learner.figures(learner.data.dev)
    wait_for(device)
    return trained, time.perf_counter(), updates
