"""What became of a trial of a cohort, as a record with weights."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

import torch

from dltune.training.base_learner import Final
from dltune.training.engine import Engine, Stop
from dltune.training.history import TrialRecord, TrialState
from dltune.training.monitor import Monitor
from dltune.training.state import TrainingState


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrialOutcome:
    """What became of a trial, and the weights of its best epoch (empty if no epoch was good)."""

    record: TrialRecord
    weights: dict[str, torch.Tensor]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Paused:
    """A trial that may go on.

    state   from which it can.
    record  what became of it should it not go on: pruned, by the figures of its curve.
    """

    state: TrainingState
    record: TrialRecord


def outcome_of(
    monitor: Monitor, final: Final | Stop | None, engine: Engine, examples: Mapping[str, int]
) -> TrialOutcome:
    """What became of a trial.

    final     its last measurements; None where it has none, a Stop where they failed.
    examples  that curve and splits are measured on.
    """
    trial, best, good = monitor.trial, monitor.best, monitor.usable
    stop = monitor.stop
    if isinstance(final, Stop):
        stop, final, good = final, None, False
    train = final.train if final else None
    if final is None:  # then the train error is that of the curve, and there is no test error
        curve = examples["curve"]
        examples = {"train": curve, "curve": curve, "dev": examples["dev"]} if best else {}
    record = trial.record(
        stop.state if stop else TrialState.COMPLETE,
        stop.reason if stop else "",
        objective=monitor.objective(best) if best and good else None,
        best_epoch=best.epoch if best else None,
        train_loss=train.loss if train else best.train_loss if best else None,
        train_error=train.error if train else best.train_error if best else None,
        dev_loss=best.dev_loss if best else None,
        dev_error=best.dev_error if best else None,
        test_loss=final.test.loss if final and final.test else None,
        test_error=final.test.error if final and final.test else None,
        train_dev_error=final.train_dev.error if final and final.train_dev else None,
        epochs=len(monitor.history),
        examples=examples,
        parameters=engine.parameters(trial.number),
        seconds=math.fsum(record.seconds for record in monitor.history),
        history=tuple(monitor.history),
    )
    return TrialOutcome(record=record, weights=final.weights if final else {})
