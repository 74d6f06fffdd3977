"""One writer a run folder, and a new folder that is there as a whole or not at all."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from dltune.errors import FolderTakenError
from dltune.runs.lock import FolderLock, new_folder

UNFINISHED = ".run.new-*"


def test_a_folder_appears_with_all_that_is_in_it(tmp_path: Path) -> None:
    path = tmp_path / "runs" / "run"
    with new_folder(path) as (unfinished, lock):
        (unfinished / "a").write_text("1")
        assert not path.exists()
        assert [entry.name for entry in path.parent.iterdir()] == [unfinished.name]
    assert [entry.name for entry in path.parent.iterdir()] == ["run"]
    assert (path / "a").read_text() == "1"
    with pytest.raises(FolderTakenError):
        FolderLock(path)  # the lock has moved with it
    lock.release()
    FolderLock(path).release()


def make(path: Path, meanwhile: Callable[[Path], object]) -> None:
    """Make a folder; what happens meanwhile is told the place where it is made."""
    with new_folder(path) as (unfinished, lock):
        (unfinished / "a").write_text("1")
        meanwhile(unfinished)
    lock.release()


def test_an_exception_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(FileExistsError):
        make(tmp_path / "run", Path.mkdir)
    assert list(tmp_path.iterdir()) == []


def test_an_empty_folder_of_that_name_is_taken_over(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with new_folder(tmp_path / "run") as (unfinished, lock):
        (unfinished / "a").touch()
    lock.release()
    assert (tmp_path / "run" / "a").exists()


def test_whoever_is_second_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "run"
    with pytest.raises(FolderTakenError) as refused:
        make(path, lambda _: (path / "of another").mkdir(parents=True))
    assert refused.value.found == f"{path}: already exists and is not empty"
    assert [entry.name for entry in tmp_path.iterdir()] == ["run"]
    assert [entry.name for entry in path.iterdir()] == ["of another"]


MAKE_AND_WAIT = """
import sys
from collections.abc import Callable
from pathlib import Path
from dltune.runs.lock import new_folder
with new_folder(Path(sys.argv[1])) as (unfinished, _):
    (unfinished / "a").touch()
    print("made", flush=True)
    sys.stdin.read()
"""


def test_what_a_killed_process_was_making_is_swept_away_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "run"
    command = [sys.executable, "-c", MAKE_AND_WAIT, str(path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as maker:
        assert maker.stdout is not None
        assert maker.stdout.readline() == "made\n"
        (alive,) = tmp_path.glob(UNFINISHED)
        with new_folder(tmp_path / "other") as (_, lock):
            pass
        lock.release()
        assert alive.exists()  # it is being made
        maker.kill()
    assert alive.exists()
    with new_folder(path) as (_, lock):
        assert not alive.exists()
    lock.release()
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["other", "run"]
