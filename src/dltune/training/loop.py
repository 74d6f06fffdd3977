"""The training loop: one page, for one trial or for many.

Order of events: build the engine, then epoch by epoch: train, measure, judge every trial, keep the
best weights, let go of those that are done. What an epoch is made of stands in `learner.py`; what
an engine must do in `engine.py`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path

import torch

from dltune.data.device import DeviceData
from dltune.training.engine import Engine, Final, Stop
from dltune.training.history import EpochRecord, Trial, TrialResult, TrialState
from dltune.training.looped import LoopedEngine

# A stopped trial in one of these states has an objective: it ended in good health.
USABLE = (TrialState.COMPLETE, TrialState.PRUNED)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrialOutcome:
    """A result, and the weights of its best epoch (empty if no epoch was good)."""

    result: TrialResult
    weights: dict[str, torch.Tensor]


def train_cohort(
    trials: Sequence[Trial], data: DeviceData, *, folder: Path
) -> Generator[list[EpochRecord], Mapping[int, Stop] | None, list[TrialOutcome]]:
    """Train a cohort; yields the living trials' records by epoch, returns the outcomes in order.

    trials  configs with seeds; numbers must differ.
    data    the data set on the device.
    folder  where relative references of the recipe are looked up.

    A trial ends when its epochs are done, when `regularize.early_stop` epochs brought no better
    objective, when its loss or error is not finite (diverged), or when it fails. Same trial, same
    numbers: on one device with one number of threads a training is deterministic for a seed,
    whoever trains beside it.

    Whoever loops over the epochs may end trials early by sending a Stop for each, by number: a
    stopped trial is measured with the best weights it has had.

    Raises TrainingError if the loss or a setting does not fit the task.
    """
    engine: Engine = LoopedEngine(trials, data, folder=folder)
    watches = {trial.number: Watch(trial) for trial in trials}
    alive = set(watches)
    while alive:
        records = []
        for number, seen in engine.run_epoch().items():
            watch = watches[number]
            if isinstance(seen, Stop):
                watch.stop = seen
            else:
                records.append(seen)
                if watch.see(seen):
                    engine.keep_best(number)
            if watch.done:
                engine.drop(number)
                alive.remove(number)
        for number, stop in ((yield records) or {}).items():
            if number in alive:
                watches[number].stop = stop
                engine.drop(number)
                alive.remove(number)
    return [_outcome(watches[trial.number], engine) for trial in trials]


class Watch:
    """Follows one trial: its history, its best epoch, and whether it is done.

    The objective is `dev_error` or `dev_loss`; only a strictly smaller one counts as better. On
    equal error the earlier epoch stays: less training for the same result.
    """

    def __init__(self, trial: Trial) -> None:
        self.trial = trial
        self.history: list[EpochRecord] = []
        self.best: EpochRecord | None = None
        self.stop: Stop | None = None

    def see(self, record: EpochRecord) -> bool:
        """Take in one epoch; True if it is the best so far."""
        self.history.append(record)
        # An error overflows where a loss does not: it squares what an absolute loss leaves alone.
        for name, figures in {
            "loss": (record.train_loss, record.dev_loss),
            "error": (record.train_error, record.dev_error),
        }.items():
            if not all(map(math.isfinite, figures)):
                reason = f"non-finite {name} in epoch {record.epoch}"
                self.stop = Stop(state=TrialState.DIVERGED, reason=reason)
                return False
        if self.best is None or self.objective(record) < self.objective(self.best):
            self.best = record
            return True
        return False

    @property
    def done(self) -> bool:
        """Whether the trial trains no further."""
        if self.stop is not None:
            return True
        epoch, patience = len(self.history), self.trial.config.regularize.early_stop
        waited = epoch - (self.best.epoch if self.best else 0)
        return epoch >= self.trial.config.train.epochs or (
            patience is not None and waited >= patience
        )

    def objective(self, record: EpochRecord) -> float:
        """The metric that the recipe asks to minimise."""
        return float(getattr(record, self.trial.config.objective.metric))


def _outcome(watch: Watch, engine: Engine) -> TrialOutcome:
    trial, best, stop = watch.trial, watch.best, watch.stop
    final = Final(test=None, train_dev=None, weights={})
    # A trial that blew up is no candidate, however good it was before.
    good = best is not None and (stop is None or stop.state in USABLE)
    if good:
        match engine.finish(trial.number):
            case Stop() as failure:
                stop, good = failure, False
            case measured:
                final = measured
    result = TrialResult(
        number=trial.number,
        seed=trial.seed,
        state=stop.state if stop else TrialState.COMPLETE,
        reason=stop.reason if stop else "",
        objective=watch.objective(best) if best and good else None,
        best_epoch=best.epoch if best else None,
        train_loss=best.train_loss if best else None,
        train_error=best.train_error if best else None,
        dev_loss=best.dev_loss if best else None,
        dev_error=best.dev_error if best else None,
        test_loss=final.test.loss if final.test else None,
        test_error=final.test.error if final.test else None,
        train_dev_error=final.train_dev.error if final.train_dev else None,
        epochs=len(watch.history),
        parameters=engine.parameters(trial.number),
        seconds=math.fsum(record.seconds for record in watch.history),
        values=trial.values,
        history=tuple(watch.history),
    )
    return TrialOutcome(result=result, weights=final.weights)
