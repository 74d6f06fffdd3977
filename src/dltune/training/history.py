"""What goes into a training and what comes out: plain frozen values, no tensors."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # whoever only reads what was trained needs no schema, which imports pydantic
    from dltune.recipe.schema import Config


class TrialState(StrEnum):
    """How a trial ended.

    >>> TrialState("diverged") is TrialState.DIVERGED
    True
    """

    COMPLETE = "complete"
    PRUNED = "pruned"
    DIVERGED = "diverged"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


RANKED = (TrialState.COMPLETE, TrialState.INTERRUPTED)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trial:
    """One config, to be trained with one seed.

    number  position in the study, from 0.
    config  every value fixed.
    seed    0 <= seed < 2^63; decides initial weights, data order and dropout, and nothing else
            does.
    values  the values of the searched ranges by name; empty without a space.
    """

    number: int
    config: Config
    seed: int
    values: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def record(self, state: TrialState, reason: str = "", **measured: Any) -> TrialRecord:
        """What became of it.

        measured  further fields of the record, by name.
        """
        from dltune.recipe.schema import flatten

        return TrialRecord(
            number=self.number,
            seed=self.seed,
            state=state,
            reason=reason,
            values=self.values,
            config=flatten(self.config),
            **measured,
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class EpochRecord:
    """What one trial measured in one epoch: one row of `history.csv`.

    trial, epoch                 number of the trial; epoch from 1.
    lr                           learning rate of the epoch's last update.
    train_loss, train_error      after the epoch, in eval mode (no dropout, running statistics),
                                 without penalties; on as many examples as dev has, at least 256.
    dev_loss, dev_error          the same on the dev split. Error: share misclassified, or 1 - R^2.
    grad_norm                    2-norm of the gradient of the epoch's last update, before clipping.
    update_ratio                 ||change of the weights|| / ||weights|| of that update.
    dead_units                   share of the rectifier units that are zero on every train example
                                 looked at; None where the model has no rectifier.
    seconds                      wall time of the epoch, measurements included.
    """

    trial: int
    epoch: int
    lr: float
    train_loss: float
    train_error: float
    dev_loss: float
    dev_error: float
    grad_norm: float
    update_ratio: float
    dead_units: float | None
    seconds: float

    @property
    def non_finite(self) -> str:
        """What makes it an epoch that diverged: "loss", "error", or "" for one that did not.

        An error overflows where a loss does not: it squares what an absolute loss leaves alone.
        """
        if not (math.isfinite(self.train_loss) and math.isfinite(self.dev_loss)):
            return "loss"
        is_finite = math.isfinite(self.train_error) and math.isfinite(self.dev_error)
        return "" if is_finite else "error"


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrialRecord:
    """What became of a trial: the same value in a worker, in a run folder and in a diagnosis.

    reason      empty for a trial that ran to its end; else typed: "non-finite loss", "out of
                memory", "user model: ..." and the like.
    objective   the metric that is minimised, at the best epoch; None for a trial that diverged or
                failed, and for an interrupted one that has no good epoch or has lost its weights.
    best_epoch  the epoch with the smallest objective, from 1; the errors, losses and weights are
                of that epoch.
    epochs      epochs that were run.
    examples    the number of examples behind each error: "train", "dev", "test", "train_dev", as
                far as there are such; "curve" for the train errors of `history`. A large train
                split is measured in part (`training.learner`).
    parameters  number of trainable values in the model.
    values      the values of the searched ranges by name.
    config      every hyperparameter by dotted path; None stands for "unset".
    session     which session of its run trained it, from 0; says nothing about what it came to.
    history     its epochs; empty where they have not been read, or are on the disk already.
    """

    number: int
    seed: int
    state: TrialState
    reason: str = ""
    objective: float | None = None
    best_epoch: int | None = None
    train_loss: float | None = None
    train_error: float | None = None
    dev_loss: float | None = None
    dev_error: float | None = None
    test_loss: float | None = None
    test_error: float | None = None
    train_dev_error: float | None = None
    epochs: int = 0
    examples: Mapping[str, int] = dataclasses.field(default_factory=dict)
    parameters: int = 0
    seconds: float = 0.0
    values: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    config: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    session: int = dataclasses.field(default=0, compare=False)
    history: tuple[EpochRecord, ...] = ()

    @property
    def ranked(self) -> float | None:
        """The objective of a complete trial, or of what an interrupted one had come to.

        None for any other, which ranks behind all of them.

        >>> TrialRecord(number=0, seed=1, state=TrialState.COMPLETE, objective=0.25).ranked
        0.25
        >>> TrialRecord(number=0, seed=1, state=TrialState.DIVERGED, objective=0.25).ranked
        """
        if self.state not in RANKED or self.objective is None:
            return None
        return self.objective if math.isfinite(self.objective) else None

    def without_history(self) -> TrialRecord:
        """The same without its epochs, which take most of its memory."""
        return dataclasses.replace(self, history=()) if self.history else self


def without_gap(trials: Mapping[int, TrialRecord]) -> list[TrialRecord]:
    """The records of trials 0, 1, 2, ... up to the first number that is not there.

    >>> done = {n: TrialRecord(number=n, seed=0, state=TrialState.COMPLETE) for n in (3, 0, 1)}
    >>> [trial.number for trial in without_gap(done)]
    [0, 1]
    """
    numbers = itertools.takewhile(trials.__contains__, itertools.count())
    return [trials[number] for number in numbers]


def best_trials(trials: Iterable[TrialRecord], count: int | None = None) -> list[TrialRecord]:
    """Those that are `ranked`, best first; of equal ones the earlier first.

    count  at most so many; None for all.

    >>> done = [TrialRecord(number=n, seed=0, state=TrialState.COMPLETE, objective=value)
    ...         for n, value in enumerate([0.3, 0.1, 0.2])]
    >>> [trial.number for trial in best_trials(done, 2)]
    [1, 2]
    """
    ranked = [(one.ranked, one.number, one) for one in trials if one.ranked is not None]
    ranked.sort(key=lambda entry: entry[:2])
    return [trial for _, _, trial in ranked[:count]]


def better(first: TrialRecord | None, second: TrialRecord) -> TrialRecord | None:
    """The better of the best so far and a new one; None while none is `ranked`."""
    return next(iter(best_trials([second] if first is None else [first, second])), None)
