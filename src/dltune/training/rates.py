"""Learning rate and momentum of every row at every update of an epoch."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np

from dltune.recipe.schema import ConstantConfig, ScheduleConfig
from dltune.training.history import Trial
from dltune.training.schedules import Array, lr_factors, momenta


class EpochRates(NamedTuple):
    """What an epoch is trained with.

    lr        (updates, S).
    momentum  (updates, S), NaN where the optimizer's own holds; None where no schedule moves it.
    """

    lr: Array
    momentum: Array | None


class Rates:
    """The schedules of trials side by side: each row has its own peak rate, shape and length.

    trials             in the order of the rows.
    updates_per_epoch  the same for all of them.
    """

    def __init__(self, trials: Sequence[Trial], *, updates_per_epoch: int) -> None:
        self._updates_per_epoch = updates_per_epoch
        self._schedules: list[tuple[ScheduleConfig, int]] = []  # with the updates of a training
        known: dict[tuple[str, int], int] = {}
        self._which = []  # by row, an index into the schedules: most stacks have one for all rows
        for trial in trials:
            schedule = trial.config.schedule
            updates = updates_per_epoch * trial.config.train.epochs
            key = (schedule.model_dump_json(), updates)
            if key not in known:
                known[key] = len(self._schedules)
                self._schedules.append((schedule, updates))
            self._which.append(known[key])
        self._peaks = np.array([trial.config.optim.lr for trial in trials])

    def keep(self, rows: Sequence[int]) -> None:
        """Shrink to these rows."""
        self._which = [self._which[row] for row in rows]
        self._peaks = self._peaks[list(rows)]

    def rest(self, rows: Collection[int]) -> None:
        """Let the rate of these rows be 0, however many epochs they have behind them."""
        self._schedules.append((ConstantConfig(), 1))
        for row in rows:
            self._which[row] = len(self._schedules) - 1
            self._peaks[row] = 0.0

    def epoch(self, epochs: Sequence[int], scales: Sequence[float]) -> EpochRates:
        """The rates of the next epoch.

        epochs  that each row has trained.
        scales  by which each row's learning rate is multiplied beside its schedule.
        """
        places = list(zip(self._which, epochs, strict=True))
        count = self._updates_per_epoch
        shapes, moved = {}, {}
        for which, done in set(places):
            schedule, updates = self._schedules[which]
            first = done * count
            shapes[which, done] = lr_factors(
                schedule, first, count, updates=updates, updates_per_epoch=count
            )
            moved[which, done] = momenta(schedule, first, count, updates=updates)
        factors = np.stack([shapes[place] for place in places], axis=1)
        own = np.full(count, math.nan)
        momentum = None
        if any(one is not None for one in moved.values()):
            filled = {place: own if one is None else one for place, one in moved.items()}
            momentum = np.stack([filled[place] for place in places], axis=1)
        return EpochRates(factors * (self._peaks * scales), momentum)
