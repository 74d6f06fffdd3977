"""Under which conditions a run is trained: versions, git, and hashes of the data and the code."""

from __future__ import annotations

import datetime
import functools
import hashlib
import importlib.metadata
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

import dltune
from dltune.data.dataset import SPLIT_FIELDS, Dataset
from dltune.recipe.files import reference_places, relocated_reference
from dltune.recipe.recipe import Recipe
from dltune.recipe.references import imported_sources
from dltune.recipe.schema import Config
from dltune.runs.about import About, DataFacts, Session

# What decides a trial's numbers; the others of the environment do not.
PACKAGES = ("torch", "numpy", "scikit-learn")

# `git status` of a repository with millions of files takes minutes, which nobody would wait for.
GIT_SECONDS = 2.0


def about_run(
    recipe: Recipe,
    path: Path,
    dataset: Dataset | None,
    hashes: Mapping[str, str],
    *,
    command: str,
    config: Config,
    note: str,
    **more: Any,
) -> About:
    """What a new run is, with the session that begins now.

    recipe  as it was given, not yet relocated.
    path    of the run folder.
    dataset None where none of its configs has data that can be loaded.
    hashes  SHA-256 of the data by source.
    config  the recipe's, or one of its space.
    more    further fields of `About`, by name.
    """
    objective = recipe.table.get("objective", {})
    return About(
        command=command,
        **{"seed": config.train.seed} | more,
        metric=config.objective.metric,
        data=DataFacts() if dataset is None else facts_of(dataset),
        has_target="target_error" in objective or "choice" in objective,
        origin=relocated_reference(".", recipe.folder, path),
        sessions=(begin_session(recipe.folder, note=note, data=dict(hashes)),),
    )


def begin_session(recipe_folder: Path, **more: Any) -> Session:
    """A session that begins now, in this process.

    recipe_folder  where git is asked.
    more           further fields, by name.
    """
    return Session(
        command_line=shlex.join(["dltune", *sys.argv[1:]]),
        started=now(),
        versions=versions(),
        git=git_state(recipe_folder),
        **more,
    )


def now() -> str:
    """The time in UTC, to the second, as ISO 8601 has it."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


@functools.cache
def versions() -> dict[str, str]:
    """Of dltune, of Python, of the platform, and of the packages that decide a trial's numbers.

    >>> sorted(versions())
    ['dltune', 'numpy', 'platform', 'python', 'scikit-learn', 'torch']
    """
    return {
        "dltune": dltune.__version__,
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        **{name: _version_of(name) for name in PACKAGES},
    }


def _version_of(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:  # put there by hand, without its metadata
        return "unknown"


def git_state(folder: Path) -> dict[str, Any] | None:
    """The commit that is checked out, and whether a file that git knows differs from it.

    None outside of a repository, without a commit, and without git.
    """
    commit = _git(folder, "rev-parse", "HEAD")
    if not commit:
        return None
    changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return {"commit": commit.strip(), "dirty": None if changed is None else bool(changed)}


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            text=True,
            check=True,
            timeout=GIT_SECONDS,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return None
    return done.stdout


def facts_of(dataset: Dataset) -> DataFacts:
    """What a run keeps of its data."""
    mean, scale = dataset.target_mean, dataset.target_scale
    return DataFacts(
        task=dataset.task,
        class_names=dataset.class_names,
        target_mean=() if mean is None else tuple(mean.tolist()),
        target_scale=() if scale is None else tuple(scale.tolist()),
        examples=dataset.examples,
    )


def hash_of_file(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits; OSError if it cannot be read."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def hash_of_bytes(content: bytes) -> str:
    """SHA-256, in hexadecimal digits.

    >>> hash_of_bytes(b"")[:8]
    'e3b0c442'
    """
    return hashlib.sha256(content).hexdigest()


def hash_of_dataset(dataset: Dataset) -> str:
    """SHA-256 of the values of every split, in hexadecimal digits."""
    digest = hashlib.sha256()
    for split in SPLIT_FIELDS:
        examples = getattr(dataset, split)
        if examples is not None:
            for values in (examples.features, examples.targets):
                digest.update(repr((split, values.dtype.str, values.shape)).encode())
                digest.update(np.ascontiguousarray(values).data)
    return digest.hexdigest()


def imported_files(folders: Sequence[Path]) -> dict[Path, bytes]:
    """Every Python file of the user's below these folders, as this process has imported it.

    What is installed is left out (its version says what it is), and so is dltune itself.
    """
    roots = [folder.resolve() for folder in folders]
    return {
        path: content
        for path, content in imported_sources().items()
        if any(path.is_relative_to(root) for root in roots)
    }


def code_folders(recipe: Recipe, path: Path, origin: str) -> list[Path]:
    """Below which Python files are the user's: the recipe's folder, and those of what it names.

    recipe  as it lies in the run folder `path`.
    origin  see `About`.
    """
    named = [reference for _, reference in reference_places(recipe.table)]
    files = [one.rpartition(":")[0] for one in named if ".py:" in one]
    folders = [origin, *(str(PurePosixPath(file).parent) for file in files)]
    return [(path / folder).resolve() for folder in dict.fromkeys(folders)]


def code_name(path: Path, folder: Path) -> str:
    """A file's name among the code of a run: its path from the recipe's folder, with slashes.

    >>> code_name(Path("/home/nets/net.py"), Path("/home/recipes"))
    '../nets/net.py'
    """
    try:
        return Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix()
    except ValueError:  # on another drive, to which no relative path leads
        return path.as_posix()


def changes_of_files(
    before: Mapping[str, str], folder: Path, *, names: Iterable[str] | None = None
) -> list[str]:
    """Which files are not any more what they were, in words.

    before  SHA-256 by path from `folder`.
    names   the ones to look at; None for all.

    >>> changes_of_files({"net.py": "00"}, Path("no-such-folder"))
    ['net.py is gone']
    """
    found = []
    for name in before if names is None else names:
        path = folder / name
        if not path.is_file():
            found.append(f"{name} is gone")
        elif hash_of_file(path) != before[name]:
            found.append(f"{name} has changed")
    return found
