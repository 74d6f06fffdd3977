"""What a folder of runs holds: one short value a run, damaged ones among them."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dltune.errors import RunFolderError
from dltune.runs.about import About, Session
from dltune.runs.lock import is_being_written
from dltune.runs.run import JOURNAL, Run, load_run, run_folders
from dltune.training.history import TrialRecord

RUNNING, KILLED, UNFINISHED, DAMAGED = "running", "killed", "unfinished", "damaged"
COMPLETE = "complete"
YEARS = (1970, 9000)  # at its ends the calendar of Python overflows


@dataclasses.dataclass(frozen=True, kw_only=True)
class Overview:
    """A run as one line of a list.

    state    "running" while another process writes in the folder; "killed" if its last session has
             no end and nobody writes; else how that session ended (`runs.about.Session`). A run of
             an older dltune, which noted no sessions, is "complete" or "unfinished". "damaged" if
             it cannot be read: there is a `problem` then, and nothing else.
    about    None for a damaged run.
    done     how many trials have ended.
    best     of them, without its history.
    result   what a command that trains no trials has come to.
    began    when the last session did; None where it is not known.
    seconds  wall time of all sessions, that of the running one until now. A killed session counts
             nothing, since nobody noted its end; None where no session counts.
    problem  why it cannot be read; empty if it can.
    """

    path: Path
    state: str
    about: About | None = None
    done: int = 0
    best: TrialRecord | None = None
    result: dict[str, Any] | None = None
    began: datetime.datetime | None = None
    seconds: float | None = None
    problem: str = ""

    @property
    def note(self) -> str:
        """What the user last wrote with --note."""
        sessions = () if self.about is None else self.about.sessions
        return next((one.note for one in reversed(sessions) if one.note), "")


def overview(run: Run, *, is_running: bool, now: datetime.datetime) -> Overview:
    """The line of a run that has been read.

    is_running  whether somebody wrote in it, asked before it was read.
    now         with a time zone.

    Raises RunFolderError if its result or the times of its sessions cannot be read.
    """
    sessions = run.about.sessions
    try:
        began = _time(sessions[-1].started) if sessions else None
        seconds = _seconds(sessions, now if is_running else None)
    except ValueError as problem:
        raise RunFolderError(
            f"{run.path / JOURNAL}: damaged (ValueError: {problem})",
            hint=f"Its trials can be read: dltune report {shlex.quote(str(run.path))}",
        ) from None
    return Overview(
        path=run.path,
        state=_state(run, is_running),
        about=run.about,
        done=len(run.done),
        best=run.best,
        result=run.result(),
        began=began,
        seconds=seconds,
    )


def overviews(runs_dir: Path, *, now: datetime.datetime) -> list[Overview]:
    """The runs of a folder, the newest session first; empty if there are none."""
    found = [_looked_at(path, now) for path in run_folders(runs_dir)]
    # Of what noted no time, the journal was last written after the session began.
    return sorted(found, key=lambda one: one.began or _changed(one.path), reverse=True)


def _looked_at(path: Path, now: datetime.datetime) -> Overview:
    try:
        is_running = is_being_written(path)
        return overview(load_run(path, histories="none"), is_running=is_running, now=now)
    except RunFolderError as damage:
        problem = damage.found.replace(str(path.resolve()), str(path))
    except OSError as refusal:
        problem = f"{refusal.filename or path}: the system says: {refusal.strerror}"
    return Overview(path=path, state=DAMAGED, problem=problem)


def _state(run: Run, is_running: bool) -> str:
    if is_running:
        return RUNNING
    if not run.about.sessions:
        return COMPLETE if run.is_complete else UNFINISHED
    last = run.about.sessions[-1]
    return KILLED if last.ended is None else str(last.ending)


def _seconds(sessions: Sequence[Session], running_until: datetime.datetime | None) -> float | None:
    spans = [_time(one.ended) - _time(one.started) for one in sessions if one.ended is not None]
    if running_until is not None and sessions and sessions[-1].ended is None:
        spans.append(running_until - _time(sessions[-1].started))
    return sum(spans, datetime.timedelta()).total_seconds() if spans else None


def _time(noted: str) -> datetime.datetime:
    time = datetime.datetime.fromisoformat(noted)
    if time.tzinfo is None:
        raise ValueError(f"{noted} has no time zone")  # it could not be ordered among the others
    if not YEARS[0] <= time.year <= YEARS[1]:
        raise ValueError(f"{noted} is no time of a session")
    return time


def _changed(path: Path) -> datetime.datetime:
    seconds = 0.0
    with contextlib.suppress(OSError):
        seconds = (path / JOURNAL).stat().st_mtime
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC)
