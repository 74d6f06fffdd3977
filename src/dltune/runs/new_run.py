"""New runs: where one goes, and one that is made from its beginning to its end by one process."""

from __future__ import annotations

import contextlib
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from dltune.errors import RunFolderError
from dltune.recipe.recipe import Recipe
from dltune.runs.about import About
from dltune.runs.checkpoint import FOLDER
from dltune.runs.folder import RunFolder
from dltune.runs.lock import FolderLock, check_free
from dltune.runs.run import RESULT, check_is_run_folder, load_run


def new_run_path(runs_dir: Path, *, name: str | None, stem: str) -> Path:
    """Where a new study goes: `runs_dir/name`, or the first free of stem-1, stem-2, ...

    name  as given with --name; None to find one.
    stem  of the recipe's file name.

    Raises RunFolderError if the name is no folder name, or is taken.

    >>> new_run_path(Path("no-such-folder"), name=None, stem="digits").as_posix()
    'no-such-folder/digits-1'
    """
    if name is None:
        numbers = iter(range(1, 1 + len(list(runs_dir.glob("*"))) + 1))
        return next(
            path for number in numbers if not (path := runs_dir / f"{stem}-{number}").exists()
        )
    if name.startswith((".", "-")) or Path(name).name != name or not name.isprintable() or not name:
        raise RunFolderError(
            f"--name {name!r}: must be the name of one folder, without slashes or control "
            "characters, and with no dot or hyphen in front",
            hint="Use --runs-dir for the place: --runs-dir my/runs --name first.",
        )
    check_free(runs_dir / name)
    return runs_dir / name


@contextlib.contextmanager
def new_run(path: Path, recipe: Recipe, about: About) -> Iterator[RunFolder]:
    """A new run folder, to write in while the block lasts.

    After an exception it is removed, unless a trial, a result or a checkpoint is in it.

    recipe  already relocated to `path`.

    Raises RunFolderError as `RunFolder.create` does.
    """
    folder = RunFolder.create(path, recipe, about)
    try:
        yield folder
    except BaseException:
        if not (folder.trials or folder.interrupted or _is_kept(path)):
            shutil.rmtree(path)
        raise
    finally:
        folder.close()


def _is_kept(path: Path) -> bool:
    """Whether a run has come to anything beside trials that are over."""
    return (path / RESULT).exists() or any((path / FOLDER).glob("training-*"))


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
        kept = run.trials or _is_kept(path)
        if kept or run.about.command == "search" or run.about.format == 0:
            return None
        shutil.rmtree(path)
    except RunFolderError:
        return None
    finally:
        lock.release()
    return run.about.command
