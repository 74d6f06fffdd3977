"""The training loop: one page, for one trial or for many.

Epoch by epoch: train, measure, judge every trial, keep the best weights, let go of those that are
done. What an epoch is made of stands in `base_learner.py`, who has which trial in `engine.py`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from pathlib import Path

from dltune.data.device import DeviceData
from dltune.training.engine import Engine, Stop
from dltune.training.history import EpochRecord, Trial, TrialState
from dltune.training.measure import measured_examples
from dltune.training.memory import keep_freed_memory
from dltune.training.monitor import Monitor
from dltune.training.outcome import Paused, TrialOutcome, outcome_of
from dltune.training.state import TrainingState

NOTHING_KEPT: Mapping[int, TrainingState] = {}
TO_THE_END: Mapping[int, int] = {}


@dataclasses.dataclass(frozen=True, kw_only=True)
class CohortEpoch:
    """What an epoch of a cohort brought.

    records   of the trials that trained.
    ended     the outcomes of trials that are over since the last epoch; each trial comes once.
    improved  the numbers of those whose best epoch it was.
    paused    those that have trained as far as they were to.
    """

    records: Sequence[EpochRecord]
    ended: Sequence[TrialOutcome]
    improved: Collection[int] = ()
    paused: Sequence[Paused] = ()


def train_cohort(
    trials: Sequence[Trial],
    data: DeviceData,
    *,
    folder: Path,
    stacked: bool = False,
    trial_seconds: float | None = None,
    interrupted: Callable[[], str] = str,
    states: Mapping[int, TrainingState] = NOTHING_KEPT,
    until: Mapping[int, int] = TO_THE_END,
    watch: Callable[[Cohort], None] | None = None,
) -> Generator[CohortEpoch, Mapping[int, Stop] | None, list[TrialOutcome]]:
    """Train a cohort; yields what every epoch brought, returns the outcomes in order, of those
    that are over.

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
    states         from where trials go on, by number; all others begin.
    until          after how many epochs trials pause, by number; all others train to their end.
    watch          called after every epoch that was not interrupted, while trials train on.

    A trial ends when its epochs are done, when `regularize.early_stop` epochs brought no better
    objective, when its loss or error is not finite (diverged), unless `train.on_divergence` lets
    it go on (`reactions`), or when it fails. Same trial, same
    numbers: on one device with one number of threads a training is deterministic for a seed,
    whoever trains beside it.

    Whoever loops over the epochs may end trials early by sending a Stop for each, by number: a
    stopped trial is measured with the best weights it has had.

    Raises TrainingError if the loss or a setting does not fit the task.
    """
    cohort = Cohort(
        data,
        folder=folder,
        stacked=stacked,
        trial_seconds=trial_seconds,
        interrupted=interrupted,
    )
    cohort.put([states.get(one.number, TrainingState(trial=one)) for one in trials])
    outcomes: dict[int, TrialOutcome] = {}
    ended: list[TrialOutcome] = []
    paused = cohort.pause(until)  # those that had come so far before
    while cohort.alive or ended or paused:
        epoch = cohort.run_epoch() if cohort.alive else CohortEpoch(records=[], ended=[])
        paused = [*paused, *cohort.pause(until)]
        if cohort.alive and watch is not None and not interrupted():
            watch(cohort)
        ended = [*ended, *epoch.ended]
        outcomes |= {outcome.record.number: outcome for outcome in ended}
        stops = (yield dataclasses.replace(epoch, ended=ended, paused=paused)) or {}
        ended, paused = cohort.stop(stops), []
    return [outcomes[trial.number] for trial in trials if trial.number in outcomes]


class Cohort:
    """Trials in training: they come, train epoch by epoch, and go, or are taken out as values.

    data, folder, stacked, trial_seconds, interrupted  as for `train_cohort`.
    on_end  called with the last state of each trial that has trained to its end.
    """

    def __init__(
        self,
        data: DeviceData,
        *,
        folder: Path,
        stacked: bool = False,
        trial_seconds: float | None = None,
        interrupted: Callable[[], str] = str,
        on_end: Callable[[TrainingState], None] | None = None,
    ) -> None:
        keep_freed_memory()
        self._on_end = on_end
        self._engine = Engine(data, folder=folder, stacked=stacked)
        self._examples = measured_examples(data)
        self._trial_seconds, self._interrupted = trial_seconds, interrupted
        self._monitors: dict[int, Monitor] = {}

    @property
    def alive(self) -> list[int]:
        """The numbers of the trials that train on."""
        return list(self._monitors)

    def put(self, states: Sequence[TrainingState]) -> None:
        """Let these trials train with the others, each from where it stands.

        Raises what `train_cohort` does, and in a stack whatever a model raises.
        """
        self._engine.put([_for_next(state.trial, state) for state in states])
        for state in states:
            monitor = Monitor(state.trial, seconds=self._trial_seconds, history=state.history)
            self._monitors[state.trial.number] = monitor

    def take(self, trials: Collection[int]) -> dict[int, TrainingState]:
        """These living trials as they are after the last epoch; they train on.

        Not after an epoch that was interrupted.
        """
        monitors = self._monitors
        return {
            number: dataclasses.replace(
                state, trial=monitors[number].trial, history=tuple(monitors[number].history)
            )
            for number, state in self._engine.take(trials).items()
        }

    def leave(self, trials: Collection[int]) -> None:
        """Let these trials go as if they had never been here: see `take`."""
        self._engine.drop(trials)
        for number in trials:
            del self._monitors[number]

    def pause(self, until: Mapping[int, int]) -> list[Paused]:
        """Let the living trials go that have trained for so many epochs, by number; see `take`."""
        reached = {
            number: monitor
            for number, monitor in self._monitors.items()
            if len(monitor.history) >= until.get(number, math.inf)
        }
        self._engine.build(reached)  # else nobody knows how many parameters they have
        states = self.take(reached)
        self.leave(reached)
        stop = Stop(state=TrialState.PRUNED, reason="")
        for monitor in reached.values():
            monitor.stop = stop
        records = {
            number: outcome_of(monitor, None, self._engine, self._examples).record
            for number, monitor in reached.items()
        }
        return [
            Paused(state=states[number], record=dataclasses.replace(one, objective=None))
            for number, one in records.items()
        ]

    def run_epoch(self) -> CohortEpoch:
        """One more epoch of every living trial."""
        self._replay()
        records, improved, lost, over = [], [], [], []
        outliving = [number for number, one in self._monitors.items() if one.reactions.outlives]
        before = self._engine.take(outliving)  # between two epochs, each is in a good state
        scales = {number: one.reactions.scale for number, one in self._monitors.items()}
        for number, seen in self._engine.run_epoch(self._interrupted, scales).items():
            monitor = self._monitors[number]
            if isinstance(seen, Stop):
                monitor.stop = seen
            else:
                records.append(seen)
                if monitor.see(seen):
                    improved.append(number)
                if seen.non_finite and monitor.stop is None:
                    lost.append(number)
            if monitor.done:
                over.append(monitor)
        self._engine.keep_best(improved)
        self._go_back({number: before[number] for number in lost})
        if self._on_end is not None:
            whole = [one.trial.number for one in over if one.stop is None]
            for state in self.take(whole).values():
                self._on_end(state)
        if reason := self._interrupted():
            cut = [monitor for monitor in self._monitors.values() if not monitor.done]
            over += [monitor.interrupt(reason) for monitor in cut]
        return CohortEpoch(records=records, ended=self._let_go(over), improved=improved)

    def _replay(self) -> None:
        """Give trials whose settings change now those of their next epoch."""
        turns = [number for number, one in self._monitors.items() if len(one.history) in one.turns]
        if turns:
            states = self._engine.take(turns)
            self._engine.drop(turns)
            self._engine.put(
                [_for_next(self._monitors[number].trial, one) for number, one in states.items()]
            )

    def _go_back(self, states: Mapping[int, TrainingState]) -> None:
        """Let trials stand again where they stood before an epoch, which they have had all the
        same: their schedules move on.
        """
        if states:
            self._engine.drop(states)
            self._engine.put(
                [dataclasses.replace(one, epochs=one.epochs + 1) for one in states.values()]
            )

    def stop(self, stops: Mapping[int, Stop]) -> list[TrialOutcome]:
        """End these trials, by number; each is measured with the best weights it has had."""
        stopped = [self._monitors[number] for number in stops if number in self._monitors]
        for monitor in stopped:
            monitor.stop = stops[monitor.trial.number]
        return self._let_go(stopped)

    def _let_go(self, monitors: Sequence[Monitor]) -> list[TrialOutcome]:
        """The outcomes of trials that are over, which leave the engine."""
        measured = [monitor.trial.number for monitor in monitors if monitor.usable]
        numbers = [monitor.trial.number for monitor in monitors]
        finals = self._engine.drop(numbers, measured=measured)
        for number in numbers:
            del self._monitors[number]
        return [
            outcome_of(monitor, finals.get(number), self._engine, self._examples)
            for number, monitor in zip(numbers, monitors, strict=True)
        ]


def _for_next(trial: Trial, state: TrainingState) -> TrainingState:
    """A state as the engine trains it on: with the settings of its next epoch."""
    config = trial.config.at(state.epochs)
    return dataclasses.replace(state, trial=dataclasses.replace(trial, config=config))
