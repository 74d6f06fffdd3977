"""Bad starts: trials that go up, stand still, or are no better than a guess end early.

Rules for the beginning of a curve; those for a whole one stand in `diagnosis/curve.py`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from dltune.data.dataset import Dataset
from dltune.diagnosis.intervals import wilson
from dltune.errors import UsageError
from dltune.recipe.schema import Config
from dltune.search.pruning.base import Bracket, Standing, look

# A tenth of a training, and at least so many epochs: with fewer a curve has no shape.
SHARE, LEAST_EPOCHS = 0.1, 3
# Median train loss over its minimum from which a curve has diverged.
DIVERGED = 1.5
# Share of the train loss, or ||change|| / ||weights|| of an update, below which nothing moves.
FROZEN_LOSS, FROZEN_UPDATE = 1e-4, 1e-6
# Share of what a constant prediction has (its loss, or 1 - R^2 = 1) above which nothing is learned.
LEARNED = 0.95


class BadStart:
    """One look, after a tenth of the epochs, at each trial by itself.

    first_rung  epochs before the look, at least 1; None for a tenth of a training's, at least 3.

    It ends a trial whose train loss
    - has diverged: at the look above 1.5 times its minimum, and above that of the first epoch;
    - is frozen: changed by less than 1e-4 of itself since the first epoch, or the last update moved
      the weights by less than 1e-6 of themselves;
    or whose dev error
    - is at chance: in every epoch that of the best constant prediction, within its 95 % interval
      (or 1 - R^2 above 0.95), and, with cross-entropy, its loss above 0.95 times that of the
      classes' shares.
    Nobody is judged before a warmup is over. Figures that are not finite end a trial anyway.
    """

    def __init__(self, *, first_rung: int | None = None) -> None:
        if first_rung is not None and first_rung < 1:
            raise UsageError(
                f"--first-rung {first_rung}: must be at least 1 epoch",
                hint="Leave it out: it is then a tenth of the epochs.",
            )
        self._first = first_rung
        self._chance = Chance(error=math.inf, loss=math.inf)

    @property
    def options(self) -> Mapping[str, int | float]:
        return {} if self._first is None else {"first_rung": self._first}

    def learn(self, dataset: Dataset) -> None:
        """Take in what a constant prediction comes to on these data."""
        self._chance = Chance.of(dataset)

    def brackets(self, trials: Sequence[int], epochs: int) -> list[Bracket]:
        share = max(LEAST_EPOCHS, math.ceil(SHARE * epochs))
        first = share if self._first is None else self._first
        rungs = (first,) if first < epochs else ()
        return [Bracket(trials=tuple(trials), rungs=rungs)]

    def judge(self, standings: Sequence[Standing], bracket: Bracket, rung: int) -> dict[int, str]:
        found = {one.number: self._problem(one) for one in standings if one.alive}
        where = look(bracket, rung)
        return {number: f"{where}: {problem}" for number, problem in found.items() if problem}

    def _problem(self, trial: Standing) -> str:
        """What is wrong with its beginning; empty for nothing."""
        epochs, config = trial.history, trial.config
        if config.schedule.warmup * config.train.epochs >= len(epochs):
            return ""
        first, last = epochs[0], epochs[-1]
        least = min(one.train_loss for one in epochs)
        if last.train_loss > max(DIVERGED * least, first.train_loss):
            return f"train loss {last.train_loss:.3g} has diverged, from {least:.3g}"
        if last.update_ratio < FROZEN_UPDATE:
            return f"frozen: an update moves the weights by {last.update_ratio:.1g} of themselves"
        moved = max(abs(one.train_loss - first.train_loss) for one in epochs)
        if len(epochs) > 1 and moved < FROZEN_LOSS * abs(first.train_loss):
            return f"frozen: train loss {last.train_loss:.4g} has not moved"
        best = min(one.dev_error for one in epochs)
        loss = min(one.dev_loss for one in epochs)
        guessed = best >= self._chance.error
        if guessed and (not _is_cross_entropy(config) or loss >= self._chance.loss):
            return f"at chance: dev error {best:.4g}, as of a constant prediction"
        return ""


class Chance:
    """What a constant prediction comes to on the dev split.

    error  dev error from which on a model may be no better than it.
    loss   dev cross-entropy likewise; 0 for a regression, where the error tells enough.
    """

    def __init__(self, *, error: float, loss: float) -> None:
        self.error, self.loss = error, loss

    @classmethod
    def of(cls, dataset: Dataset) -> Chance:
        """By the shares of the classes in train, or their mean.

        >>> from pathlib import Path
        >>> from dltune.data.load import load_data
        >>> from dltune.recipe.schema import DataConfig
        >>> chance = Chance.of(load_data(DataConfig(source="sklearn:wine"), folder=Path()))
        >>> round(chance.error, 2), round(chance.loss, 2)
        (0.45, 1.04)
        """
        if dataset.task != "classification":
            return cls(error=LEARNED, loss=0.0)
        counts = np.bincount(dataset.train.targets, minlength=dataset.outputs)
        shares = counts / counts.sum()
        dev = dataset.dev.targets
        error = float(np.mean(dev != counts.argmax()))
        with np.errstate(divide="ignore"):  # a class that train has not got costs infinitely much
            loss = float(-np.log(shares[dev]).mean())
        return cls(error=wilson(error, len(dev))[0], loss=LEARNED * loss)


def _is_cross_entropy(config: Config) -> bool:
    return config.objective.loss in (None, "cross-entropy")
