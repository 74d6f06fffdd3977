"""One writer a run folder, and a new folder that is there as a whole or not at all."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from dltune.errors import FolderTakenError, RunFolderError
from dltune.runs.lock import LOCK_FILE, FolderLock, is_being_written, new_folder, sweep

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


@pytest.fixture(name="nfs")
def fixture_nfs(monkeypatch: pytest.MonkeyPatch) -> None:
    """As Linux emulates flock there: an exclusive lock needs a descriptor for writing."""
    fcntl = pytest.importorskip("fcntl")
    flock = fcntl.flock

    def flock_of_nfs(descriptor: int, operation: int) -> None:
        mode = fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE
        if operation & fcntl.LOCK_EX and mode == os.O_RDONLY:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", flock_of_nfs)


@pytest.mark.usefixtures("nfs")
def test_on_nfs_a_file_is_locked_in_the_folders_place(tmp_path: Path) -> None:
    path = tmp_path / "run"
    with new_folder(path) as (_, lock):
        pass
    assert (path / LOCK_FILE).exists()
    assert is_being_written(path)
    with pytest.raises(FolderTakenError, match="another dltune process is writing"):
        FolderLock(path)
    lock.release()
    assert not is_being_written(path)
    FolderLock(path).release()  # the file has outlived the lock, and is in nobody's way
    killed = tmp_path / "run.new-0123abcd"
    killed.mkdir()
    sweep(tmp_path, "run.new-")
    assert [entry.name for entry in tmp_path.iterdir()] == ["run"]


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_file_system_without_locks_is_refused(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fcntl = pytest.importorskip("fcntl")

    def flock(descriptor: int, operation: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(RunFolderError) as refused:
        make(tmp_path / "run", Path.mkdir)
    assert f"its file system has no locks ({os.strerror(number)})" in refused.value.found
    assert refused.value.hint == "Type --runs-dir and a folder on another disk."
    assert list(tmp_path.iterdir()) == []
    assert not is_being_written(tmp_path)
    (tmp_path / "run.new-0123abcd").mkdir()
    sweep(tmp_path, "run.new-")  # none can be told to be dead
    assert len(list(tmp_path.iterdir())) == 1
