"""`study.journal`: the study as an Optuna journal, which Optuna's own tools open.

A journal is a file of operations, one JSON object a line. Optuna's storage writes each of them with
a lock, a disk synchronisation and several copies of the trial; here the lines of a whole block are
made directly, and appended by Optuna's own file backend in one piece. For reading, a few kinds of
line are enough, and Optuna is not needed: importing it takes longer than reading a study.

Trials stand in it in the order in which they ended. One that was interrupted is in it with what it
had come to, and once more when a resume has trained it to its end.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import json
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dltune.errors import RunFolderError
from dltune.recipe.whole_file import replace_file
from dltune.runs.from_json import parse_json
from dltune.runs.storage import attributes_of, newest, record_of
from dltune.training.history import TrialRecord, TrialState

if TYPE_CHECKING:  # a tenth of a second: imported once the first trial has ended
    from optuna.storages.journal import JournalFileBackend

    from dltune.recipe.space import Space
    from dltune.runs.distributions import OptunaSpace

# Seconds after which a lock file that nobody touches counts as left behind by a killed process: an
# append holds it for milliseconds, and Optuna warns below 3.
LOCK_GRACE_SECONDS = 3


class Operation(IntEnum):
    """The operations that dltune writes, with Optuna's codes, and the one that ends a study.

    Source: `JournalOperation` of Optuna 4 and 5, optuna/storages/journal/_storage.py.
    """

    CREATE_STUDY = 0
    DELETE_STUDY = 1
    SET_STUDY_USER_ATTR = 2
    CREATE_TRIAL = 4


class OptunaState(IntEnum):
    """Optuna's states of a trial that is over, with the codes of `optuna.trial.TrialState`."""

    COMPLETE = 1
    PRUNED = 2
    FAIL = 3


# Optuna has no word for a diverged trial, nor for one that was interrupted: their state is FAIL
# there, and `state` among the user attributes keeps ours.
OPTUNA_STATES = {
    TrialState.COMPLETE: OptunaState.COMPLETE,
    TrialState.PRUNED: OptunaState.PRUNED,
    TrialState.DIVERGED: OptunaState.FAIL,
    TrialState.FAILED: OptunaState.FAIL,
    TrialState.INTERRUPTED: OptunaState.FAIL,
}

MINIMIZE = 1  # optuna.study.StudyDirection.MINIMIZE
STUDY_ID = 0  # Optuna counts the studies of a file; ours is the only one
NEEDED = {"strategy", "seed", "trials", "metric"}  # of the attributes, also by an older dltune
START_AGAIN = "Start again with --name and a new name; the CSV files can still be read."
WRITER = "dltune"  # a process of Optuna has a random name, by which it knows its own lines


class JournalFile:
    """A `Storage` in a file; one process writes at a time (the run folder's lock).

    path  of the file.
    name  of the study.
    """

    def __init__(self, path: Path, name: str) -> None:
        # Absolute: a lock left behind that is a relative link points nowhere, and Optuna waits for
        # it for ever instead of for the grace period.
        self._path = path.resolve()
        self._name = name

    def create(self, attributes: Mapping[str, Any]) -> None:
        """Start the study in a new file."""
        entries = [
            _entry(Operation.CREATE_STUDY, study_name=self._name, directions=[MINIMIZE]),
            *(_study_attribute(key, value) for key, value in attributes.items()),
        ]
        replace_file(self._path, "".join(json.dumps(entry) + "\n" for entry in entries))

    def update(self, attributes: Mapping[str, Any]) -> None:
        """Change attributes of the study; the others stay."""
        self._append([_study_attribute(key, value) for key, value in attributes.items()])

    def append(self, trials: Sequence[TrialRecord], space: Space) -> None:
        """Add trials in any order, in one append; a number that is there already counts anew."""
        from dltune.runs.distributions import OptunaSpace

        words, now = OptunaSpace(space), datetime.datetime.now(datetime.UTC)
        self._append([_trial_entry(trial, words, now) for trial in trials])

    def read(self) -> tuple[dict[str, Any], list[TrialRecord]]:
        """The study's attributes, and its trials in order of number, without histories.

        A last line that a killed process has not finished is left out.

        Raises RunFolderError if there is no file, or what is in it is not a study of dltune.
        """
        if not self._path.exists():
            raise RunFolderError(
                f"{self._path}: not found, so {self._path.parent} is not a run folder",
                hint="Name a folder that dltune search or dltune train has written.",
            )
        try:
            return _replayed(self._path.read_bytes())
        except _DamagedLine as damage:
            file = shlex.quote(str(self._path))
            raise RunFolderError(
                f"{self._path}, line {damage.line}: damaged ({damage.problem})",
                hint=f"Take the line out: sed -i.bak {damage.line}d {file}. The rest stays, and a "
                "trial that stood there is trained again by --resume.",
            ) from damage
        except (ValueError, KeyError, TypeError) as error:
            raise RunFolderError(
                f"{self._path}: damaged, or not of a dltune study "
                f"({type(error).__name__}: {error})",
                hint=START_AGAIN,
            ) from error

    def recover(self) -> None:
        """Cut off a last line that a killed process has not finished; nothing else is touched."""
        content = self._path.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            with self._path.open("r+b") as stream:
                stream.truncate(whole)

    def _append(self, entries: list[dict[str, Any]]) -> None:
        if entries:  # of none, Optuna would write an empty line
            with quiet_optuna():
                _file_backend(self._path).append_logs(entries)


def _file_backend(path: Path) -> JournalFileBackend:
    from optuna.storages.journal import (
        JournalFileBackend,
        JournalFileOpenLock,
        JournalFileSymlinkLock,
    )

    lock = JournalFileOpenLock if sys.platform == "win32" else JournalFileSymlinkLock
    return JournalFileBackend(str(path), lock_obj=lock(str(path), LOCK_GRACE_SECONDS))


@contextlib.contextmanager
def quiet_optuna() -> Iterator[None]:
    """Inside, Optuna logs errors only: no line about a lock that a killed process left behind."""
    from optuna import logging

    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)


class _DamagedLine(Exception):
    """A line, counted from 1, that says nothing, and without which the study can be read."""

    def __init__(self, line: int, problem: str) -> None:
        super().__init__(problem)
        self.line, self.problem = line, problem


@dataclasses.dataclass
class _Study:
    """What the operations come to; those of other tools, such as notes, change nothing."""

    studies: int = 0
    attributes: dict[str, Any] = dataclasses.field(default_factory=dict)
    trials: list[TrialRecord] = dataclasses.field(default_factory=list)

    def take(self, entry: Any) -> None:
        """Do what a line says; KeyError, TypeError or ValueError where it says nothing."""
        match entry["op_code"]:
            case Operation.CREATE_STUDY:
                self.studies += 1
            case Operation.DELETE_STUDY:
                self.studies -= 1
            case Operation.SET_STUDY_USER_ATTR:
                self.attributes |= entry["user_attr"]
            case Operation.CREATE_TRIAL:
                self.trials.append(record_of(entry["user_attrs"], place=len(self.trials)))


def _replayed(content: bytes) -> tuple[dict[str, Any], list[TrialRecord]]:
    study = _Study()
    for number, line in enumerate(content.split(b"\n")[:-1], start=1):
        try:
            study.take(parse_json(line))
        except (KeyError, TypeError, ValueError) as error:
            # What a study is stands at the beginning, and is not said again.
            if NEEDED - study.attributes.keys():
                raise
            raise _DamagedLine(number, f"{type(error).__name__}: {error}") from error
    if study.studies != 1:
        raise ValueError(f"{study.studies} studies instead of one")
    return study.attributes, newest(study.trials)


def _entry(operation: Operation, **content: Any) -> dict[str, Any]:
    return {"op_code": operation, "worker_id": WRITER, **content}


def _study_attribute(key: str, value: Any) -> dict[str, Any]:
    return _entry(Operation.SET_STUDY_USER_ATTR, study_id=STUDY_ID, user_attr={key: value})


def _trial_entry(
    trial: TrialRecord, words: OptunaSpace, completed: datetime.datetime
) -> dict[str, Any]:
    params, distributions = words.params_of(trial.values)
    metric = trial.config.get("objective.metric", "dev_error")
    state = OPTUNA_STATES[trial.state]
    if state is OptunaState.COMPLETE and trial.ranked is None:
        state = OptunaState.FAIL  # Optuna takes no complete trial without a finite value
    started = completed - datetime.timedelta(seconds=trial.seconds)
    return _entry(
        Operation.CREATE_TRIAL,
        study_id=STUDY_ID,
        datetime_start=started.isoformat(timespec="microseconds"),
        datetime_complete=completed.isoformat(timespec="microseconds"),
        state=state,
        value=trial.ranked if state is OptunaState.COMPLETE else None,
        values=None,
        distributions=distributions,
        params=params,
        user_attrs=attributes_of(trial),
        system_attrs={},
        intermediate_values={one.epoch: getattr(one, metric) for one in trial.history},
    )
