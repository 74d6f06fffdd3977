"""When a training between two epochs is written, where, and what of it stays."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from dltune.errors import RunFolderError
from dltune.recipe.schema import Config
from dltune.recipe.whole_file import replace_file
from dltune.runs.checkpoint import FOLDER, RUNNING
from dltune.runs.running import Place
from dltune.runs.training_state import pack_states, read_states
from dltune.training.history import Trial
from dltune.training.loop import Cohort
from dltune.training.state import TrainingState

LAST, BEST = "training-last.safetensors", "training-best.safetensors"

# A training shorter than this begins anew in a moment.
LEAST_SECONDS = 5.0
# Of the time, for writing; as much as one may take without being felt.
SHARE = 0.01
# The disk must have room for so many files like it: results come first, and a trial that is not
# kept only begins anew.
ROOM = 4

NOWHERE: Mapping[int, int] = {}
NO_PLACES: Mapping[int, Place] = {}


class Pace:
    """When the next writing is due: every so often, and at most a share of the time.

    clock  seconds that only ever rise.

    >>> now = iter([0.0, 4.0, 6.0])
    >>> pace = Pace(clock=lambda: next(now))
    >>> pace.is_due, pace.is_due
    (False, True)
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._next = clock() + LEAST_SECONDS

    @property
    def is_due(self) -> bool:
        """Whether it is time."""
        return self._clock() >= self._next

    def took(self, seconds: float) -> None:
        """A writing is over, which took so long."""
        self._next = self._clock() + max(LEAST_SECONDS, seconds / SHARE)


class CohortKeeper:
    """Keeps the trials of a cohort of a search: those that pause, and all of them every so often,
    for when the search is killed.

    They are no records: where they are missing or damaged, trials begin anew, to the same end. So
    it is the process that trains which writes and reads them, in a file for each cohort.

    run     the run folder.
    trials  of the cohort.
    until   the epochs after which they pause, by number; a trial pauses once after so many.
    kept    where they may go on from, by number; it may be the place of another trial whose
            training has been the same up to there.
    """

    def __init__(
        self,
        run: Path,
        trials: Sequence[Trial],
        *,
        until: Mapping[int, int] = NOWHERE,
        kept: Mapping[int, Place] = NO_PLACES,
    ) -> None:
        self._mine = {trial.number: trial for trial in trials}
        self._kept, self._pace = kept, Pace()
        self._folder = run / FOLDER / RUNNING
        first = min(trial.number for trial in trials)
        # Files of earlier pauses stay until nobody needs them, under names of their own.
        pause = f"-{until[first]}" if first in until else ""
        self._name = f"{first}{pause}.safetensors"
        self._paused: list[TrainingState] = []

    def states(self) -> dict[int, TrainingState]:
        """From where trials can go on, by number: those that were kept, of the same config."""
        found: dict[int, TrainingState] = {}
        for name, trials in self._places().items():
            file = self._folder / name
            if not file.exists():
                continue
            with contextlib.suppress(RunFolderError):
                states = read_states(file, trials=trials.values())
                for number, there in trials.items():
                    state, trial = states.get(there), self._mine[number]
                    known = found[number].epochs if number in found else 0
                    if state is not None and state.epochs > known and _is_same(state, trial):
                        found[number] = _as_own(state, trial)
        return found

    def _places(self) -> dict[str, dict[int, int]]:
        """By file the trials that may be in it, each with its number there."""
        places: dict[str, dict[int, int]] = {self._name: {number: number for number in self._mine}}
        for number, place in self._kept.items():
            if number in self._mine:
                places.setdefault(place.file, {}).setdefault(number, place.number)
        return places

    def see(self, cohort: Cohort) -> None:
        """An epoch is over: keep those that train on, if it is time."""
        if self._pace.is_due:
            start = time.monotonic()
            self._write(cohort.take(cohort.alive).values())
            self._pace.took(time.monotonic() - start)

    def pause(self, states: Sequence[TrainingState]) -> str:
        """Keep trials that pause here; the name of the file, empty if there is no room for it."""
        self._paused += states
        return self._name if self._write([]) else ""

    def _write(self, running: Iterable[TrainingState]) -> bool:
        """Whether these, and those that have paused, are kept."""
        content = pack_states([*self._paused, *running])
        with contextlib.suppress(OSError):  # a disk that is full ends no training
            self._folder.mkdir(parents=True, exist_ok=True)
            if shutil.disk_usage(self._folder).free > len(content) * ROOM:
                replace_file(self._folder / self._name, content)
                return True
        return False

    def end(self) -> None:
        """The cohort is over; what pauses stays."""
        if not self._paused:
            (self._folder / self._name).unlink(missing_ok=True)


def _is_same(state: TrainingState, trial: Trial) -> bool:
    """Whether a training has been that of a trial so far, whatever changes from now on."""
    kept, config = state.trial.config, trial.config
    return state.trial.seed == trial.seed and all(
        kept.at(epoch).model_copy(update={"replay": {}})
        == config.at(epoch).model_copy(update={"replay": {}})
        for epoch in {0, *_turns(kept), *_turns(config)}
        if epoch < state.epochs
    )


def _turns(config: Config) -> set[int]:
    return {epoch for points in config.replay.values() for epoch, _ in points}


def _as_own(state: TrainingState, trial: Trial) -> TrainingState:
    history = tuple(dataclasses.replace(one, trial=trial.number) for one in state.history)
    return dataclasses.replace(state, trial=trial, history=history)


class StateKeeper:
    """Keeps one training in its run folder: its last state every so often, and that of its best.

    run  the run folder.
    """

    def __init__(self, run: Path) -> None:
        self._folder, self._pace = run / FOLDER, Pace()
        self._best: TrainingState | None = None
        self._last: TrainingState | None = None
        self._best_is_new = False

    def see(self, state: Callable[[], TrainingState], *, improved: bool) -> bool:
        """An epoch is over and the training goes on; whether anything was written.

        state     makes it a value, which takes about as long as an update.
        improved  whether the epoch was its best.
        """
        due = self._pace.is_due
        if improved or due:
            self._last = state()
        if improved:
            self._best, self._best_is_new = self._last, True
        if due:
            start = time.monotonic()
            with contextlib.suppress(OSError):  # a disk that is full ends no training
                self.write()
            self._pace.took(time.monotonic() - start)
        return due

    def end(self, state: TrainingState) -> None:
        """The training is over in this state."""
        self._last = state
        good = [one for one in state.history if not one.non_finite]
        best = min(good, key=lambda one: getattr(one, state.trial.config.objective.metric))
        if best.epoch == state.epochs:
            self._best, self._best_is_new = state, True

    def write(self) -> None:
        """Put what was seen last, and the best if it is new, into the run folder."""
        if self._best is not None and self._best_is_new:
            replace_file(self._folder / BEST, pack_states([self._best]))
            self._best_is_new = False
        if self._last is not None:
            replace_file(self._folder / LAST, pack_states([self._last]))
