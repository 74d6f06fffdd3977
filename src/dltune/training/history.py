"""What goes into a training and what comes out: plain frozen values, no tensors."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

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


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrialResult:
    """What a trial came to: one row of `trials.csv`, and its history.

    reason      empty for a trial that ran to its end; else typed: "non-finite loss", "out of
                memory", "user model: ..." and the like.
    objective   the metric that is minimised, at the best epoch; None for a trial that diverged or
                failed.
    best_epoch  the epoch with the smallest objective, from 1; the errors, losses and weights are
                of that epoch. Train loss and error are measured on up to 20,000 examples, where a
                record of the epoch has a part of them.
    epochs      epochs that were run.
    parameters  number of trainable values in the model.
    values      the values of the searched ranges by name.
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
    parameters: int = 0
    seconds: float = 0.0
    values: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    history: tuple[EpochRecord, ...] = ()
