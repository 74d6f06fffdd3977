"""`study.journal`: the study as an Optuna journal, which Optuna's own tools open.

Writing a trial through an Optuna study costs one lock and one disk synchronisation each. A block of
trials is therefore first put into a study in memory, whose log entries are then appended to the
file in one piece; both are Optuna's public parts. Only finished trials are in the journal: it has
no state for a trial that nobody finishes.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import (
    BaseJournalBackend,
    JournalFileBackend,
    JournalFileOpenLock,
    JournalFileSymlinkLock,
)
from optuna.trial import FrozenTrial

from dltune.errors import RunFolderError
from dltune.recipe.space import Space
from dltune.search.distributions import params_of
from dltune.search.records import StoredTrial, StudyMeta, ranking_objective
from dltune.training.history import TrialResult, TrialState

# Seconds after which a lock file that nobody touches counts as left behind by a killed process: an
# append holds it for milliseconds, and Optuna warns below 3.
LOCK_GRACE_SECONDS = 3

# Optuna has no word for a diverged trial: its state is FAIL there, and `state` among the user
# attributes keeps ours.
OPTUNA_STATES = {
    TrialState.COMPLETE: optuna.trial.TrialState.COMPLETE,
    TrialState.PRUNED: optuna.trial.TrialState.PRUNED,
    TrialState.DIVERGED: optuna.trial.TrialState.FAIL,
    TrialState.FAILED: optuna.trial.TrialState.FAIL,
}

# Fields of a result that are user attributes under their own names.
RESULT_FIELDS = tuple(
    field.name
    for field in dataclasses.fields(TrialResult)
    if field.name not in ("number", "state", "history")
)


class _Memory(BaseJournalBackend):
    """A journal in memory: it collects the entries that the file is to get."""

    def __init__(self) -> None:
        self.entries: list[dict[str, Any]] = []

    def read_logs(self, log_number_from: int) -> Iterable[dict[str, Any]]:
        return self.entries[log_number_from:]

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        self.entries.extend(json.loads(json.dumps(logs)))


class Journal:
    """The writing side of a journal file; one process at a time (the run folder's lock).

    path  of the file.
    name  of the study.
    """

    def __init__(self, path: Path, name: str) -> None:
        # Absolute: a lock left behind that is a relative link points nowhere, and Optuna waits for
        # it for ever instead of for the grace period.
        file = str(path.resolve())
        lock = JournalFileOpenLock if sys.platform == "win32" else JournalFileSymlinkLock
        self._file = JournalFileBackend(file, lock_obj=lock(file, LOCK_GRACE_SECONDS))
        self._name = name

    def write_study(self, meta: StudyMeta) -> None:
        """Start the study: one append for all of it."""
        memory, study = self._study_in_memory()
        for key, value in dataclasses.asdict(meta).items():
            study.set_user_attr(key, value)
        self._append(memory.entries)

    def write_wanted(self, trials: int) -> None:
        """Change how many trials are wanted."""
        memory, study = self._study_in_memory()
        created = len(memory.entries)
        study.set_user_attr("trials", trials)
        self._append(memory.entries[created:])

    def append(self, trials: Sequence[StoredTrial], space: Space) -> None:
        """Add trials in order of number, which must go on where the file ends; one append."""
        memory, study = self._study_in_memory()
        created = len(memory.entries)
        for trial in trials:
            study.add_trial(_frozen_trial(trial, space))
        self._append(memory.entries[created:])

    def _study_in_memory(self) -> tuple[_Memory, optuna.Study]:
        memory = _Memory()
        with quiet_optuna():
            study = optuna.create_study(
                storage=JournalStorage(memory),
                study_name=self._name,
                direction="minimize",
                sampler=optuna.samplers.RandomSampler(seed=0),  # never asked
                pruner=optuna.pruners.NopPruner(),
            )
        return memory, study

    def _append(self, entries: list[dict[str, Any]]) -> None:
        with quiet_optuna():
            self._file.append_logs(entries)


def read_journal(path: Path) -> tuple[StudyMeta, list[StoredTrial]]:
    """The study of a journal file and its trials in order of number, without histories.

    Raises RunFolderError if there is no file, or what is in it is not a study of dltune.
    """
    if not path.exists():
        raise RunFolderError(
            f"{path}: not found, so {path.parent} is not a run folder",
            hint="Name a folder that dltune search or dltune train has written.",
        )
    try:
        with quiet_optuna():
            storage = JournalStorage(JournalFileBackend(str(path)))
            (frozen,) = storage.get_all_studies()
            study = optuna.load_study(
                study_name=frozen.study_name,
                storage=storage,
                sampler=optuna.samplers.RandomSampler(seed=0),  # never asked
                pruner=optuna.pruners.NopPruner(),
            )
            meta = StudyMeta(**{name: study.user_attrs[name] for name in META_FIELDS})
            return meta, [_stored_trial(trial) for trial in study.get_trials(deepcopy=False)]
    except (ValueError, KeyError, TypeError) as error:
        raise RunFolderError(
            f"{path}: damaged, or not of a dltune study ({type(error).__name__}: {error})",
            hint="Start again with --name and a new name; the CSV files can still be read.",
        ) from error


def cut_torn_entry(path: Path) -> None:
    """Cut off a last line that a killed process has not finished; nothing else is touched."""
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        with path.open("r+b") as stream:
            stream.truncate(whole)


@contextlib.contextmanager
def quiet_optuna() -> Iterator[None]:
    """Inside, Optuna logs errors only: no line about every study that is created."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(verbosity)


META_FIELDS = tuple(field.name for field in dataclasses.fields(StudyMeta))


def _frozen_trial(trial: StoredTrial, space: Space) -> FrozenTrial:
    result = trial.result
    params, distributions = params_of(space, result.values)
    attributes = {name: getattr(result, name) for name in RESULT_FIELDS}
    attributes |= {"state": result.state.value, "values": dict(result.values)}
    attributes |= {"config": dict(trial.config), "examples": dict(trial.examples)}
    metric = trial.config.get("objective.metric", "dev_error")
    objective, state = ranking_objective(result), OPTUNA_STATES[result.state]
    if state is optuna.trial.TrialState.COMPLETE and objective is None:
        state = (
            optuna.trial.TrialState.FAIL
        )  # Optuna takes no complete trial without a finite value
    frozen = optuna.create_trial(
        state=state,
        value=objective,
        params=params,
        distributions=distributions,
        user_attrs=attributes,
        intermediate_values={one.epoch: getattr(one, metric) for one in result.history},
    )
    assert frozen.datetime_complete is not None
    frozen.datetime_start = frozen.datetime_complete - datetime.timedelta(seconds=result.seconds)
    return frozen


def _stored_trial(frozen: FrozenTrial) -> StoredTrial:
    attributes = frozen.user_attrs
    fields = {name: attributes[name] for name in RESULT_FIELDS if name in attributes}
    result = TrialResult(number=frozen.number, state=TrialState(attributes["state"]), **fields)
    return StoredTrial(result=result, config=attributes["config"], examples=attributes["examples"])
