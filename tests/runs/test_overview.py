"""What the list says of a run: its state, its time, and that a damaged one hides no other."""

from __future__ import annotations

import datetime
import json
import os
import sys
import time
from pathlib import Path

import pytest

from dltune.runs.about import Session
from dltune.runs.journal import JournalFile
from dltune.runs.lock import FolderLock, is_being_written
from dltune.runs.overview import Overview, overviews
from dltune.runs.run import run_folders
from tests.runs.folders import STARTED, damage, make_old_run, make_run, session

NOW = datetime.datetime(2026, 2, 1, tzinfo=datetime.UTC)
ONE_LOCK = pytest.mark.skipif(sys.platform == "win32", reason="folders have no lock there")


def only(path: Path) -> Overview:
    (one,) = overviews(path.parent, now=NOW)
    return one


@pytest.mark.parametrize(
    ("last", "state", "seconds"),
    [
        (session(), "complete", 75),
        (session(ending="interrupted"), "interrupted", 75),
        (session(ended=None), "killed", None),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_state_and_seconds_of_one_session(
    last: Session, state: str, seconds: float | None, tmp_path: Path
) -> None:
    one = only(make_run(tmp_path / "run", sessions=[last]))
    assert (one.state, one.seconds, one.problem) == (state, seconds, "")


def test_the_sessions_that_have_an_end_count(tmp_path: Path) -> None:
    later = "2026-02-01T00:00:00+00:00"
    sessions = [session(), session(ended=None), session(later, "2026-02-01T00:00:05+00:00")]
    one = only(make_run(tmp_path / "run", sessions=sessions))
    assert one.seconds == 80
    assert one.began == datetime.datetime.fromisoformat(later)


@ONE_LOCK
def test_a_run_in_which_somebody_writes(tmp_path: Path) -> None:
    path = make_run(tmp_path / "run", sessions=[session("2026-01-31T23:59:00+00:00", None)])
    lock = FolderLock(path)
    one = only(path)
    assert (one.state, one.seconds) == ("running", 60)
    assert is_being_written(path)
    lock.release()
    assert only(path).state == "killed"
    FolderLock(path).release()  # to ask has taken nothing


@ONE_LOCK
def test_who_asks_is_no_writer_to_another_who_asks(tmp_path: Path) -> None:
    import fcntl

    descriptor = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    assert not is_being_written(tmp_path)
    os.close(descriptor)


def test_what_was_done_and_found(tmp_path: Path) -> None:
    one = only(make_run(tmp_path / "run", [0.5, None, 0.25], trials=4))
    assert one.done == 3
    assert one.best is not None
    assert (one.best.number, one.best.objective, one.best.history) == (2, 0.25, ())


def test_the_last_note_counts(tmp_path: Path) -> None:
    sessions = [session(note="first"), session(note="second"), session()]
    assert only(make_run(tmp_path / "run", sessions=sessions)).note == "second"


def test_newest_first_and_by_their_journal_where_no_time_is_noted(tmp_path: Path) -> None:
    make_run(tmp_path / "a", sessions=[session("2026-01-01T00:00:00+00:00")])
    make_run(tmp_path / "b", sessions=[session("2026-01-03T00:00:00+02:00")])
    make_old_run(tmp_path / "c")
    damage(make_run(tmp_path / "d"))
    for name, day in (("c", 2), ("d", 4)):
        seconds = datetime.datetime(2026, 1, day, tzinfo=datetime.UTC).timestamp()
        os.utime(tmp_path / name / "study.journal", (seconds, seconds))
    names = [one.path.name for one in overviews(tmp_path, now=NOW)]
    assert names == ["d", "b", "c", "a"]


def test_a_run_of_an_older_dltune(tmp_path: Path) -> None:
    one = only(make_old_run(tmp_path / "old"))
    assert (one.state, one.done, one.began, one.seconds) == ("unfinished", 0, None, None)
    assert one.about is not None
    assert (one.about.format, one.about.trials) == (0, 3)


def test_damaged_ones_say_why_and_hide_no_other(tmp_path: Path) -> None:
    make_run(tmp_path / "good")
    damage(make_run(tmp_path / "journal"))
    (make_run(tmp_path / "no recipe") / "recipe.toml").unlink()
    (make_run(tmp_path / "result") / "result.json").write_text("{")
    make_run(tmp_path / "time", sessions=[session(started="yesterday")])
    make_run(tmp_path / "zone", sessions=[session(started="2026-01-31T10:00:00", ended=None)])
    newer = JournalFile(make_run(tmp_path / "newer") / "study.journal", "newer")
    newer.update({"format": 99})
    found = {one.path.name: one for one in overviews(tmp_path, now=NOW)}
    good = found.pop("good")
    assert (good.state, good.problem) == ("complete", "")
    assert {one.state for one in found.values()} == {"damaged"}
    says = {
        "journal": f"{tmp_path / 'journal' / 'study.journal'}: damaged, or not of a dltune study",
        "no recipe": "has no recipe.toml",
        "result": "result.json: damaged",
        "time": "study.journal: damaged (ValueError: Invalid isoformat string: 'yesterday')",
        "zone": "study.journal: damaged (ValueError: 2026-01-31T10:00:00 has no time zone)",
        "newer": "has format 99; this dltune reads up to 1",
    }
    assert {name for name, text in says.items() if text not in found[name].problem} == set()


def test_no_folder_and_an_empty_one(tmp_path: Path) -> None:
    assert overviews(tmp_path, now=NOW) == overviews(tmp_path / "none", now=NOW) == []


def test_a_result_is_read(tmp_path: Path) -> None:
    path = make_run(tmp_path / "run", [], command="lr-find", strategy="")
    (path / "result.json").write_text(json.dumps({"format": 1, "suggestion": 0.005}))
    assert only(path).result == {"suggestion": 0.005}


def test_two_hundred_runs_take_a_moment(tmp_path: Path) -> None:
    """Half a second on the slowest machine so far; the bound leaves room for a busy one."""
    path = make_run(tmp_path / "0", [0.5] * 8)
    content = {name: (path / name).read_bytes() for name in ("study.journal", "recipe.toml")}
    for number in range(1, 200):
        (tmp_path / str(number)).mkdir()
        for name, held in content.items():
            (tmp_path / str(number) / name).write_bytes(held)
    start = time.process_time()
    found = overviews(tmp_path, now=NOW)
    assert time.process_time() - start < 2
    assert len(found) == len(run_folders(tmp_path)) == 200
    assert {one.began for one in found} == {datetime.datetime.fromisoformat(STARTED)}
