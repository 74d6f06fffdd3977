"""One writer a run folder: a lock that the system drops when its process ends, however it ends."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from dltune.errors import FolderTakenError


class FolderLock:
    """An exclusive advisory lock on a folder, taken on construction.

    A lock file would outlive a kill -9; this one cannot. Windows has no such lock for folders, and
    there two writers of one run folder are not detected.

    Raises FolderTakenError if another process writes in the folder.
    """

    def __init__(self, path: Path) -> None:
        self._descriptor: int | None = None
        if sys.platform == "win32":
            return
        import fcntl

        descriptor = os.open(path, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise FolderTakenError(
                f"{path}: another dltune process is writing in this run folder",
                hint="Wait for it, stop it with Ctrl-C, or start a study with another --name.",
            ) from None
        self._descriptor = descriptor

    def release(self) -> None:
        """Let others write; a second call does nothing."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
