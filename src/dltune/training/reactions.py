"""What a training's own history does to its learning rate, and whether it outlives a divergence."""

from __future__ import annotations

import math
from collections.abc import Iterable

from dltune.recipe.schema import Config, NewbobConfig, PlateauConfig
from dltune.training.history import EpochRecord

# After three tenths the rate is a thousandth. That is as far as a first guess of a rate is ever off
# (the ranges in which it is searched span three decades or so): what diverges there too does so
# for another reason, such as its data or its loss, and each further try would cost an epoch.
MOST_REACTIONS = 3


class Reactions:
    """Follows a training epoch by epoch; the same epochs give the same reactions.

    It remembers nothing that its epochs do not say, so that a training which pauses, and goes on
    elsewhere from its history, goes on at the same rate.

    divergences  epochs so far with a figure that is not finite.

    With e the objective of an epoch, infinite where the epoch diverged:

    plateau  times `factor`, down to `floor`, when more than `patience` epochs in a row had no
             e < (1 - threshold) times the best e before; the `cooldown` epochs after a fall do not
             count. As torch's ReduceLROnPlateau, mode "min", threshold_mode "rel", eps 0.
    newbob   times `factor` at each epoch with e above that of the last epoch that did not diverge;
             one that diverged counts for nothing.
    lr/10    a tenth for every divergence, beside what the schedule does.
    """

    def __init__(self, config: Config) -> None:
        self.divergences = 0
        self._schedule, self._metric = config.schedule, config.objective.metric
        self._outlives = config.train.on_divergence == "lr/10"
        self._share = 1.0  # that the schedule has left of the rate
        self._mark = math.inf  # plateau: the best objective; newbob: the last one
        self._waited = self._cooling = 0  # epochs, of plateau

    @property
    def scale(self) -> float:
        """By which the next epoch's rate is multiplied, beside what the updates' number says."""
        return self._share / 10.0**self.divergences if self._outlives else self._share

    @property
    def outlives(self) -> bool:
        """Whether a training whose latest epoch diverged goes on from its last good state."""
        return self._outlives and self.divergences <= MOST_REACTIONS

    def see(self, record: EpochRecord) -> None:
        """Take in one epoch."""
        is_good = not record.non_finite
        self.divergences += not is_good
        objective = float(getattr(record, self._metric)) if is_good else math.inf
        match self._schedule:
            case PlateauConfig():
                self._see_plateau(self._schedule, objective)
            case NewbobConfig() if is_good:
                self._share *= self._schedule.factor if objective > self._mark else 1.0
                self._mark = objective

    def _see_plateau(self, schedule: PlateauConfig, objective: float) -> None:
        if objective < self._mark * (1.0 - schedule.threshold):
            self._mark, self._waited = objective, 0
        else:
            self._waited += 1
        if self._cooling:
            self._cooling -= 1
            self._waited = 0
        if self._waited > schedule.patience:
            self._share = max(self._share * schedule.factor, schedule.floor)
            self._cooling, self._waited = schedule.cooldown, 0


def lr_scale(config: Config, history: Iterable[EpochRecord]) -> float:
    """`Reactions.scale` after these epochs, in [0, 1]; 0 only where it has become too small.

    >>> from dltune.recipe.schema import DataConfig
    >>> config = Config(data=DataConfig(source="a.csv"), schedule=NewbobConfig())
    >>> shared = dict.fromkeys(("lr", "train_loss", "train_error", "dev_loss", "grad_norm"), 0.1)
    >>> shared |= {"trial": 0, "update_ratio": 1e-3, "dead_units": None, "seconds": 0.1}
    >>> errors = enumerate([0.5, 0.4, 0.45, 0.3, 0.35], start=1)
    >>> lr_scale(config, [EpochRecord(epoch=n, dev_error=e, **shared) for n, e in errors])
    0.25
    """
    reactions = Reactions(config)
    for record in history:
        reactions.see(record)
    return reactions.scale
