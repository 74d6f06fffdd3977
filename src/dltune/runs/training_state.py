"""The file form of trainings between two epochs: one safetensors file, which no reader must trust.

Tensors stand under "trial/part/name"; what is no tensor is JSON in the file's header. So a file is
there as a whole or not at all.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from dltune.errors import RunFolderError
from dltune.recipe.schema import Config
from dltune.recipe.whole_file import replace_file
from dltune.runs.about import FORMAT
from dltune.runs.checkpoint import FOLDER, RUNNING, parts_of
from dltune.training.history import EpochRecord, Trial
from dltune.training.loop import Cohort
from dltune.training.state import TrainingState

LAST, BEST = "training-last.safetensors", "training-best.safetensors"

# A training shorter than this begins anew in a moment.
LEAST_SECONDS = 5.0
# Of the time, for writing; as much as one may take without being felt.
SHARE = 0.01


def pack_states(states: Iterable[TrainingState]) -> bytes:
    """Trainings as the content of a file; their numbers must differ.

    What a user's module adds to its state and is no tensor is kept if JSON gives it back; else its
    name stands under `not_stored`, and `read_states` refuses the file.
    """
    states = list(states)
    parts = parts_of(itertools.chain.from_iterable(map(_named, states)))
    trainings = [
        {
            "number": state.trial.number,
            "seed": state.trial.seed,
            "values": dict(state.trial.values),
            "config": state.trial.config.model_dump(mode="json", by_alias=True),
            "epochs": state.epochs,
            "history": [dataclasses.asdict(record) for record in state.history],
        }
        for state in states
    ]
    about = {
        "trainings": trainings,
        "tied": parts.tied,
        "extra": parts.extra,
        "not_stored": parts.not_stored,
    }
    return save(parts.tensors, metadata={"format": str(FORMAT), "about": json.dumps(about)})


def read_states(file: Path) -> dict[int, TrainingState]:
    """The trainings in a file, by number; no code in it is run.

    Raises RunFolderError if it is damaged, or lacks a part of a model.
    """
    try:
        with safe_open(file, framework="pt") as stored:
            about = json.loads((stored.metadata() or {})["about"])
            values = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
        if about["not_stored"]:
            raise ValueError(f"{', '.join(about['not_stored'])} could not be stored")
        values |= {name: values[same] for name, same in about["tied"].items()} | about["extra"]
        of_trial: dict[str, dict[str, Any]] = {}
        for place, value in values.items():
            number, name = place.split("/", 1)
            of_trial.setdefault(number, {})[name] = value
        states = [_state(one, of_trial.get(str(one["number"]), {})) for one in about["trainings"]]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError) as problem:
        raise RunFolderError(
            f"{file}: damaged ({problem})", hint="Remove it: the training then begins anew."
        ) from None
    return {state.trial.number: state for state in states}


def _named(state: TrainingState) -> Iterable[tuple[str, Any]]:
    """Every value of a training with its name in the file."""
    parts: dict[str, Mapping[str, Any] | None] = {
        "weights": state.weights,
        "best": state.best,
        "streams": state.streams,
        **{f"optimizer/{slot}": values for slot, values in state.optimizer.items()},
    }
    for part, values in parts.items():
        for name, value in (values or {}).items():
            yield f"{state.trial.number}/{part}/{name}", value


def _state(about: Mapping[str, Any], values: Mapping[str, Any]) -> TrainingState:
    """One training.

    values  by their names in the file, without its number.
    """
    parts: dict[str, dict[str, Any]] = {}
    optimizer: dict[str, dict[str, torch.Tensor]] = {}
    for place, value in values.items():
        part, name = place.split("/", 1)
        if part == "optimizer":
            slot, name = name.split("/", 1)
            optimizer.setdefault(slot, {})[name] = value
        else:
            parts.setdefault(part, {})[name] = value
    return TrainingState(
        trial=Trial(
            number=about["number"],
            seed=about["seed"],
            values=about["values"],
            config=Config.model_validate(about["config"]),
        ),
        epochs=about["epochs"],
        weights=parts.get("weights"),
        optimizer=optimizer,
        streams=parts.get("streams", {}),
        best=parts.get("best"),
        history=tuple(EpochRecord(**record) for record in about["history"]),
    )


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
    """Keeps the trials of a cohort of a search every so often, for when the search is killed.

    They are no records: where they are missing or damaged, trials begin anew, to the same end. So
    it is the process that trains which writes and reads them, in a file for each cohort.

    run     the run folder.
    trials  of the cohort.
    """

    def __init__(self, run: Path, trials: Sequence[Trial]) -> None:
        self._trials, self._pace = trials, Pace()
        self._folder = run / FOLDER / RUNNING
        self._file = self._folder / f"{min(trial.number for trial in trials)}.safetensors"

    def states(self) -> dict[int, TrainingState]:
        """From where trials can go on, by number: those that were kept, of the same config."""
        found: dict[int, TrainingState] = {}
        mine = {trial.number: trial for trial in self._trials}
        for file in self._folder.glob("*.safetensors"):
            with contextlib.suppress(RunFolderError):
                for number, state in read_states(file).items():
                    epochs = found[number].epochs if number in found else 0
                    if _is_same(state.trial, mine.get(number)) and state.epochs > epochs:
                        found[number] = dataclasses.replace(state, trial=mine[number])
        return found

    def see(self, cohort: Cohort) -> None:
        """An epoch is over: keep those that train on, if it is time."""
        if self._pace.is_due:
            start = time.monotonic()
            with contextlib.suppress(OSError):  # a disk that is full ends no training
                self._folder.mkdir(parents=True, exist_ok=True)
                replace_file(self._file, pack_states(cohort.take(cohort.alive).values()))
            self._pace.took(time.monotonic() - start)

    def end(self) -> None:
        """The cohort is over."""
        self._file.unlink(missing_ok=True)


def _is_same(kept: Trial, trial: Trial | None) -> bool:
    return trial is not None and (kept.seed, kept.config) == (trial.seed, trial.config)


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
