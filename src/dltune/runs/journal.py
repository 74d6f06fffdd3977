"""`study.journal`: the study as an Optuna journal, which Optuna's own tools open.

A journal is a file of operations, one JSON object a line. Optuna's storage writes each of them with
a lock, a disk synchronisation and several copies of the trial; here the lines of a whole block are
made directly, and appended by Optuna's own file backend in one piece. For reading, a few kinds of
line are enough, and Optuna is not needed: importing it takes longer than reading a study.

Only finished trials are in the journal, since it has no state for a trial that nobody finishes.
They stand in the order in which they finished; the number of a trial in the study is its user
attribute `number`, while Optuna's own number counts the lines.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dltune.errors import RunFolderError
from dltune.recipe.space import Space
from dltune.runs.csv_files import replace_file
from dltune.runs.records import StoredTrial, StudyMeta, ranking_objective
from dltune.training.history import TrialResult, TrialState

if TYPE_CHECKING:  # a tenth of a second: imported once the first trial has ended
    from optuna.storages.journal import JournalFileBackend

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


# Optuna has no word for a diverged trial: its state is FAIL there, and `state` among the user
# attributes keeps ours.
OPTUNA_STATES = {
    TrialState.COMPLETE: OptunaState.COMPLETE,
    TrialState.PRUNED: OptunaState.PRUNED,
    TrialState.DIVERGED: OptunaState.FAIL,
    TrialState.FAILED: OptunaState.FAIL,
}

MINIMIZE = 1  # optuna.study.StudyDirection.MINIMIZE
STUDY_ID = 0  # Optuna counts the studies of a file; ours is the only one
WRITER = "dltune"  # a process of Optuna has a random name, by which it knows its own lines

# Fields of a result that are user attributes under their own names.
RESULT_FIELDS = tuple(
    field.name
    for field in dataclasses.fields(TrialResult)
    if field.name not in ("state", "values", "history")
)


class Journal:
    """The writing side of a journal file; one process at a time (the run folder's lock).

    path  of the file.
    name  of the study.
    """

    def __init__(self, path: Path, name: str) -> None:
        # Absolute: a lock left behind that is a relative link points nowhere, and Optuna waits for
        # it for ever instead of for the grace period.
        self._path = path.resolve()
        self._name = name

    def write_study(self, meta: StudyMeta) -> None:
        """Start the study in a new file."""
        entries = [
            _entry(Operation.CREATE_STUDY, study_name=self._name, directions=[MINIMIZE]),
            *(_study_attribute(key, value) for key, value in dataclasses.asdict(meta).items()),
        ]
        replace_file(self._path, "".join(json.dumps(entry) + "\n" for entry in entries))

    def write_wanted(self, trials: int) -> None:
        """Change how many trials are wanted."""
        self._append([_study_attribute("trials", trials)])

    def append(self, trials: Sequence[StoredTrial], space: Space) -> None:
        """Add trials that the file does not have, in any order; one append."""
        from dltune.runs.distributions import OptunaSpace

        words, now = OptunaSpace(space), datetime.datetime.now(datetime.UTC)
        self._append([_trial_entry(trial, words, now) for trial in trials])

    def _append(self, entries: list[dict[str, Any]]) -> None:
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


def read_journal(path: Path) -> tuple[StudyMeta, list[StoredTrial]]:
    """The study of a journal file and its trials in order of number, without histories.

    A last line that a killed process has not finished is left out.

    Raises RunFolderError if there is no file, or what is in it is not a study of dltune.
    """
    if not path.exists():
        raise RunFolderError(
            f"{path}: not found, so {path.parent} is not a run folder",
            hint="Name a folder that dltune search or dltune train has written.",
        )
    try:
        return _replayed(path.read_bytes())
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
    """Inside, Optuna logs errors only: no line about a lock that a killed process left behind."""
    from optuna import logging

    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)


def _replayed(content: bytes) -> tuple[StudyMeta, list[StoredTrial]]:
    """What the operations come to; those of other tools, such as notes, change nothing."""
    studies, attributes, trials = 0, dict[str, Any](), dict[int, StoredTrial]()
    for line in content[: content.rfind(b"\n") + 1].decode().split("\n")[:-1]:
        entry = json.loads(line)
        match entry["op_code"]:
            case Operation.CREATE_STUDY:
                studies += 1
            case Operation.DELETE_STUDY:
                studies -= 1
            case Operation.SET_STUDY_USER_ATTR:
                attributes |= entry["user_attr"]
            case Operation.CREATE_TRIAL:
                trial = _stored_trial(entry["user_attrs"], place=len(trials))
                if trials.setdefault(trial.result.number, trial) is not trial:
                    raise ValueError(f"trial {trial.result.number} is there twice")
    if studies != 1:
        raise ValueError(f"{studies} studies instead of one")
    meta = StudyMeta(**{field.name: attributes[field.name] for field in META_FIELDS})
    return meta, [trials[number] for number in sorted(trials)]


META_FIELDS = dataclasses.fields(StudyMeta)


def _entry(operation: Operation, **content: Any) -> dict[str, Any]:
    return {"op_code": operation, "worker_id": WRITER, **content}


def _study_attribute(key: str, value: Any) -> dict[str, Any]:
    return _entry(Operation.SET_STUDY_USER_ATTR, study_id=STUDY_ID, user_attr={key: value})


def _trial_entry(
    trial: StoredTrial, words: OptunaSpace, completed: datetime.datetime
) -> dict[str, Any]:
    result = trial.result
    params, distributions = words.params_of(result.values)
    attributes = {name: getattr(result, name) for name in RESULT_FIELDS}
    attributes |= {"state": result.state.value, "values": dict(result.values)}
    attributes |= {"config": dict(trial.config), "examples": dict(trial.examples)}
    metric = trial.config.get("objective.metric", "dev_error")
    objective, state = ranking_objective(result), OPTUNA_STATES[result.state]
    if state is OptunaState.COMPLETE and objective is None:
        state = OptunaState.FAIL  # Optuna takes no complete trial without a finite value
    started = completed - datetime.timedelta(seconds=result.seconds)
    return _entry(
        Operation.CREATE_TRIAL,
        study_id=STUDY_ID,
        datetime_start=started.isoformat(timespec="microseconds"),
        datetime_complete=completed.isoformat(timespec="microseconds"),
        state=state,
        value=objective,
        values=None,
        distributions=distributions,
        params=params,
        user_attrs=attributes,
        system_attrs={},
        intermediate_values={one.epoch: getattr(one, metric) for one in result.history},
    )


def _stored_trial(attributes: Mapping[str, Any], *, place: int) -> StoredTrial:
    """A trial of the journal; one without a number, of an older dltune, has that of its place."""
    fields = {name: attributes[name] for name in RESULT_FIELDS if name in attributes}
    fields.setdefault("number", place)
    state, values = TrialState(attributes["state"]), attributes["values"]
    result = TrialResult(**fields, state=state, values=values)
    return StoredTrial(result=result, config=attributes["config"], examples=attributes["examples"])
