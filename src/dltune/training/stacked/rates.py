"""Learning rate and momentum of every row at every update."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from dltune.recipe.schema import ScheduleConfig
from dltune.training.history import Trial
from dltune.training.schedules import lr_factor, momentum_at


class Rates:
    """The schedules of a stack: each row has its own peak rate, shape and length.

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
        self._peaks = [trial.config.optim.lr for trial in trials]

    def keep(self, rows: Sequence[int]) -> None:
        """Shrink to these rows."""
        self._which = [self._which[row] for row in rows]
        self._peaks = [self._peaks[row] for row in rows]

    def epoch(self, done: int) -> list[list[float]]:
        """The learning rates of an epoch's updates, each by row.

        done  updates before this epoch.
        """
        return [
            [peak * factors[which] for peak, which in zip(self._peaks, self._which, strict=True)]
            for factors in (
                self._factors(update) for update in range(done, done + self._updates_per_epoch)
            )
        ]

    def momenta(self, done: int) -> list[list[float]] | None:
        """The momenta of an epoch's updates by row, NaN where the optimizer's own holds.

        None where no schedule moves it.
        """
        epoch = [
            [
                momentum_at(schedule, update, updates=updates)
                for schedule, updates in self._schedules
            ]
            for update in range(done, done + self._updates_per_epoch)
        ]
        if all(momentum is None for momenta in epoch for momentum in momenta):
            return None
        numbers = [[math.nan if one is None else one for one in momenta] for momenta in epoch]
        return [[momenta[which] for which in self._which] for momenta in numbers]

    def _factors(self, update: int) -> list[float]:
        return [
            lr_factor(schedule, update, updates=updates, updates_per_epoch=self._updates_per_epoch)
            for schedule, updates in self._schedules
        ]


def rows_of(numbers: Sequence[Sequence[float]], like: torch.Tensor) -> torch.Tensor:
    """Numbers by update and row as one tensor (updates, S): one transfer to the device an epoch."""
    return torch.tensor(numbers, dtype=like.dtype).to(like.device, non_blocking=True)
