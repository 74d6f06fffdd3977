"""A run that one process makes from its beginning to its end: it has something to keep, or goes."""

from __future__ import annotations

import contextlib
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from dltune.errors import RunFolderError
from dltune.recipe.recipe import Recipe
from dltune.runs.about import About
from dltune.runs.folder import RunFolder
from dltune.runs.lock import FolderLock
from dltune.runs.run import RESULT, check_is_run_folder, load_run


@contextlib.contextmanager
def new_run(path: Path, recipe: Recipe, about: About) -> Iterator[RunFolder]:
    """A new run folder, to write in while the block lasts.

    After an exception it is removed, unless a trial or a result is in it.

    recipe  already relocated to `path`.

    Raises RunFolderError as `RunFolder.create` does.
    """
    folder = RunFolder.create(path, recipe, about)
    try:
        yield folder
    except BaseException:
        if not folder.trials and not (path / RESULT).exists():
            shutil.rmtree(path)
        raise
    finally:
        folder.close()


def remove_if_killed(path: Path) -> str | None:
    """Remove the folder of a command that was killed before it had anything to keep.

    It cannot be gone on with, and would only be in the way of its name. Returns the command; None,
    and nothing done, if the folder is anything else, a search's, or still written in.
    """
    if sys.platform == "win32":  # where no lock tells whether it is alive
        return None
    try:
        check_is_run_folder(path)
        lock = FolderLock(path)
    except RunFolderError:
        return None
    try:
        run = load_run(path, histories="none")
        kept = run.trials or (path / RESULT).exists()
        if kept or run.about.command == "search" or run.about.format == 0:
            return None
        shutil.rmtree(path)
    except RunFolderError:
        return None
    finally:
        lock.release()
    return run.about.command
