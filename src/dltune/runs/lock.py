"""One writer a run folder, and a new one that is there as a whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import stat
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from dltune.errors import FolderTakenError, RunFolderError

# Whoever lists the runs holds each of them for a moment, to see whether another can.
LOCK_TRIES, LOCK_TRY_SECONDS = 3, 0.03

# What flock raises where a file system has no locks, or where their server does not answer.
NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS)
LOCK_FILE = ".lock"  # locked in a folder's place; it may stay, as nobody's lock

UNFINISHED = ".{name}.new-"  # how the name of a folder begins that is being made
TOKEN_BYTES = 4  # drawn for the rest of such a name


class FolderLock:
    """An exclusive advisory lock on a folder, taken on construction.

    A lock file would outlive a kill -9; this one does not, unless a process that the user's code
    has forked lives on, and it stays with the folder when that is renamed. Windows has no such lock
    for folders, and there two writers of one run folder are not detected. NFS locks only what is
    open for writing, which a folder never is: there, a file in it is locked in its place.

    Raises FolderTakenError if another process writes in the folder, RunFolderError if its file
    system has no locks.
    """

    def __init__(self, path: Path) -> None:
        self._descriptor: int | None = None
        if sys.platform == "win32":
            return

        self._descriptor = _lock(path)
        if self._descriptor is None:
            raise FolderTakenError(
                f"{path}: another dltune process is writing in this run folder",
                hint="Wait for it, stop it with Ctrl-C, or start a study with another --name.",
            )

    def release(self) -> None:
        """Let others write; a second call does nothing."""
        if self._descriptor is not None:
            import fcntl

            # To close it would not do where the user's code has forked: a copy may live there.
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
            os.close(self._descriptor)
            self._descriptor = None


def _lock(path: Path) -> int | None:
    """A descriptor that has the lock of a folder; None if another process has it."""
    for place, flags in ((path, os.O_RDONLY), (path / LOCK_FILE, os.O_RDWR | os.O_CREAT)):
        descriptor = os.open(place, flags, 0o666)
        try:
            if _locked(descriptor):
                return descriptor
        except OSError as refusal:
            os.close(descriptor)
            if refusal.errno == errno.EBADF and place == path:
                continue
            if refusal.errno not in NO_LOCKS:
                raise
            raise RunFolderError(
                f"{path}: its file system has no locks ({refusal.strerror}), "
                "and two writers would spoil each other's files",
                hint="Type --runs-dir and a folder on another disk.",
            ) from refusal
        os.close(descriptor)
        break
    return None


def _locked(descriptor: int) -> bool:
    import fcntl

    for _ in range(LOCK_TRIES):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(LOCK_TRY_SECONDS)
        else:
            return True
    return False


def is_being_written(path: Path) -> bool:
    """Whether another process writes in the folder; any number may ask at the same time.

    Nothing is in a writer's way but for the microseconds of the question. On Windows, and where
    else folders have no lock, False.
    """
    if sys.platform == "win32":
        return False
    import fcntl

    file = path / LOCK_FILE
    for place in (path, file) if file.exists() else (path,):
        descriptor = os.open(place, os.O_RDONLY)
        try:
            # Shared, so that two who ask do not take each other for writers.
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError as refusal:
            if refusal.errno not in NO_LOCKS:
                raise
        finally:
            os.close(descriptor)
    return False


def check_free(path: Path) -> None:
    """Raise FolderTakenError if something is already there; an empty folder is fine."""
    if path.exists() and not path.is_dir():
        raise FolderTakenError(
            f"{path}: is a file, and a run folder cannot have its name",
            hint="Type --name and another name.",
        )
    if path.exists() and any(path.iterdir()):
        raise FolderTakenError(
            f"{path}: already exists and is not empty",
            hint="Type --resume to go on with it, or --name and another name.",
        )


@contextlib.contextmanager
def new_folder(path: Path) -> Iterator[tuple[Path, FolderLock]]:
    """A folder to fill, with its lock, which gets the name `path` when the block ends.

    It appears under that name in one rename: whoever looks sees all of it or nothing, and so does
    the next start after a kill at any moment. What killed processes have left is swept away. After
    an exception nothing is left.

    Raises FolderTakenError if `path` is taken, even if it only is so in the end.
    """
    check_free(path)
    if path.parent.exists() and not path.parent.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path.parent))
    path.parent.mkdir(parents=True, exist_ok=True)
    sweep(path.parent, UNFINISHED.format(name="*"))
    unfinished, lock = locked_folder(path.parent, UNFINISHED.format(name=path.name))
    try:
        yield unfinished, lock
        try:
            if path.exists():
                path.rmdir()  # not every system renames onto an empty folder
            os.rename(unfinished, path)
        except OSError:
            check_free(path)
            raise
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        lock.release()
        raise


def locked_folder(parent: Path, prefix: str, *, mode: int = 0o777) -> tuple[Path, FolderLock]:
    """A new folder whose name begins so, and the lock by which `sweep` sees that it is in use.

    mode  its permissions, less what the user's umask takes away.
    """
    while True:
        path = parent / f"{prefix}{secrets.token_hex(TOKEN_BYTES)}"
        path.mkdir(mode)
        # Another start may have taken it for a dead one's before it was locked.
        try:
            return path, FolderLock(path)
        except (FolderTakenError, FileNotFoundError):
            continue
        except BaseException:
            shutil.rmtree(path, ignore_errors=True)
            raise


def sweep(parent: Path, prefix: str) -> None:
    """Remove the folders of `locked_folder` that killed processes of this user have left.

    prefix  may hold wildcards. Nobody holds the lock of a dead one's folder.
    """
    if sys.platform == "win32":  # no lock tells who lives
        return
    for path in parent.glob(prefix + 2 * TOKEN_BYTES * "[0-9a-f]"):
        with contextlib.suppress(OSError, RunFolderError):
            found = path.lstat()  # in a folder for everybody, a link may be a trap
            if stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid():
                lock = FolderLock(path)
                shutil.rmtree(path, ignore_errors=True)
                lock.release()
