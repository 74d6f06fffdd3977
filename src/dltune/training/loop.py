"""The training loop: one page, for one trial or for many.

Order of events: build the engine, then epoch by epoch: train, measure, judge every trial, keep the
best weights, let go of those that are done. What an epoch is made of stands in `learner.py`; what
an engine must do in `engine.py`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path

import torch

from dltune.data.device import DeviceData
from dltune.training.engine import Engine, Final, Stop
from dltune.training.history import EpochRecord, Trial, TrialRecord, TrialState
from dltune.training.learner import measured_examples
from dltune.training.looped import LoopedEngine
from dltune.training.memory import keep_freed_memory

# A stopped trial in one of these states has an objective: it ended in good health.
USABLE = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.INTERRUPTED)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrialOutcome:
    """What became of a trial, and the weights of its best epoch (empty if no epoch was good)."""

    record: TrialRecord
    weights: dict[str, torch.Tensor]


@dataclasses.dataclass(frozen=True, kw_only=True)
class CohortEpoch:
    """What an epoch of a cohort brought.

    records  of the trials that trained, those that are over after it included.
    ended    the outcomes of the trials that are over since the last epoch; each trial comes once.
    """

    records: Sequence[EpochRecord]
    ended: Sequence[TrialOutcome]


def train_cohort(
    trials: Sequence[Trial],
    data: DeviceData,
    *,
    folder: Path,
    stacked: bool = False,
    trial_seconds: float | None = None,
    interrupted: Callable[[], str] = str,
) -> Generator[CohortEpoch, Mapping[int, Stop] | None, list[TrialOutcome]]:
    """Train a cohort; yields what every epoch brought, returns the outcomes in order.

    trials         configs with seeds; numbers must differ.
    data           the data set on the device.
    folder         where relative references of the recipe are looked up.
    stacked        True trains all of them at once, in one forward and backward pass: they must be
                   of equal shapes (`search/cohorts.py`). What goes wrong in a stack, such as memory
                   that runs out, is raised, since it cannot be laid to one trial.
    trial_seconds  a trial that has trained longer fails; in a stack each trial counts an equal
                   share of the time. None: no limit.
    interrupted    asked after every update; a text, such as "stopped by Ctrl-C", ends the trials
                   there, with the best epochs that they have had.

    A trial ends when its epochs are done, when `regularize.early_stop` epochs brought no better
    objective, when its loss or error is not finite (diverged), or when it fails. Same trial, same
    numbers: on one device with one number of threads a training is deterministic for a seed,
    whoever trains beside it.

    Whoever loops over the epochs may end trials early by sending a Stop for each, by number: a
    stopped trial is measured with the best weights it has had.

    Raises TrainingError if the loss or a setting does not fit the task.
    """
    keep_freed_memory()
    engine = _stacked_engine(trials, data, folder) if stacked else None
    engine = engine or LoopedEngine(trials, data, folder=folder)
    examples = measured_examples(data)
    monitors = {trial.number: Monitor(trial, seconds=trial_seconds) for trial in trials}
    outcomes: dict[int, TrialOutcome] = {}
    alive = set(monitors)
    ended: list[TrialOutcome] = []
    while alive or ended:
        records, improved, over = [], [], []
        for number, seen in (engine.run_epoch(interrupted) if alive else {}).items():
            monitor = monitors[number]
            if isinstance(seen, Stop):
                monitor.stop = seen
            else:
                records.append(seen)
                if monitor.see(seen):
                    improved.append(number)
            if monitor.done:
                over.append(monitor)
        engine.keep_best(improved)
        if reason := interrupted():
            cut = [monitors[number] for number in alive if not monitors[number].done]
            over += [monitor.interrupt(reason) for monitor in cut]
        ended += _let_go(over, engine, alive, examples)
        outcomes |= {outcome.record.number: outcome for outcome in ended}
        stops = (yield CohortEpoch(records=records, ended=ended)) or {}
        stopped = [monitors[number] for number in stops if number in alive]
        for monitor in stopped:
            monitor.stop = stops[monitor.trial.number]
        ended = _let_go(stopped, engine, alive, examples)
    return [outcomes[trial.number] for trial in trials]


class Monitor:
    """Follows one trial: its history, its best epoch, and whether it is done.

    The objective is `dev_error` or `dev_loss`; only a strictly smaller one counts as better. On
    equal error the earlier epoch stays: less training for the same result.

    seconds  a trial that is not done after so many fails; None for no limit.
    """

    def __init__(self, trial: Trial, *, seconds: float | None = None) -> None:
        self.trial = trial
        self._seconds = math.inf if seconds is None else seconds
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
        improved = self.best is None or self.objective(record) < self.objective(self.best)
        if improved:
            self.best = record
        if not self.done and math.fsum(one.seconds for one in self.history) > self._seconds:
            reason = f"timeout: more than {self._seconds:g} s"
            self.stop = Stop(state=TrialState.FAILED, reason=reason)
        return improved

    def interrupt(self, reason: str) -> Monitor:
        """Let it end after the epochs that it has had; itself, for a list."""
        epochs = f"{len(self.history)} of {self.trial.config.train.epochs}"
        reason = f"{reason} after epoch {epochs}"
        self.stop = Stop(state=TrialState.INTERRUPTED, reason=reason)
        return self

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

    @property
    def usable(self) -> bool:
        """Whether its best epoch counts: what blew up is no candidate, however good before."""
        return self.best is not None and (self.stop is None or self.stop.state in USABLE)

    def objective(self, record: EpochRecord) -> float:
        """The metric that the recipe asks to minimise."""
        return float(getattr(record, self.trial.config.objective.metric))


def _stacked_engine(trials: Sequence[Trial], data: DeviceData, folder: Path) -> Engine:
    from dltune.training.stacked.engine import StackedEngine

    return StackedEngine(trials, data, folder=folder)


def _let_go(
    monitors: Sequence[Monitor], engine: Engine, alive: set[int], examples: Mapping[str, int]
) -> list[TrialOutcome]:
    """The outcomes of trials that are over, which leave the engine."""
    numbers = [monitor.trial.number for monitor in monitors]
    engine.drop(numbers)
    alive.difference_update(numbers)
    finals = engine.finish([monitor.trial.number for monitor in monitors if monitor.usable])
    return [
        _outcome(monitor, finals.get(monitor.trial.number), engine, examples)
        for monitor in monitors
    ]


def _outcome(
    monitor: Monitor, final: Final | Stop | None, engine: Engine, examples: Mapping[str, int]
) -> TrialOutcome:
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
