"""A data set for several processes: its arrays as files that each of them maps into its memory.

The system keeps one copy of what is mapped. A process that writes to it, as a user's model may do,
gets a copy of that page for itself.
"""

from __future__ import annotations

import dataclasses
import pickle
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from dltune.data.dataset import SPLIT_FIELDS, Dataset, Examples
from dltune.errors import RunFolderError, TrainingError
from dltune.recipe.schema import DataConfig
from dltune.runs.lock import FolderLock, locked_folder, sweep
from dltune.search.data_shelf import DataShelf

# How the name of a temporary folder begins. It is that of one process, which holds its lock.
PREFIX = "dltune-data-"

ABOUT = "about.pickle"  # everything but the examples; small
PARTS = ("features", "targets")


class SharedData:
    """The coordinator's side: writes data sets into a temporary folder, which `close` removes.

    What a killed coordinator has left there, the next one removes.

    shelf      where they come from.
    otherwise  what to do where no folder takes them; empty if nothing helps.
    """

    def __init__(self, shelf: DataShelf, *, otherwise: str = "type --workers 1") -> None:
        self._shelf, self._otherwise = shelf, otherwise
        self._folders: dict[str, Path] = {}
        self._temporary: tuple[Path, FolderLock] | None = None

    def folder_of(self, config: DataConfig) -> Path:
        """Where the data set of a `[data]` section is; it is loaded and written the first time.

        Raises DataError if it cannot be loaded, TrainingError if the disk is full.
        """
        key = config.model_dump_json()
        if key not in self._folders:
            dataset = self._shelf.dataset(config)
            folder: Path | None = None
            try:
                if self._temporary is None:
                    parent = Path(tempfile.gettempdir())
                    sweep(parent, PREFIX)
                    self._temporary = locked_folder(parent, PREFIX, mode=0o700)
                folder = self._temporary[0] / str(len(self._folders))
                write_dataset(folder, config, dataset)
            except (OSError, RunFolderError) as problem:
                # NumPy tells of a disk that is full without the system's number for it.
                is_full = isinstance(problem, OSError) and not problem.errno
                why = "no room is left there" if is_full else str(problem).partition("\n")[0]
                place = f"{folder}: " if folder else ""
                way_out = self._otherwise and f", or {self._otherwise}"
                raise TrainingError(
                    f"{place}cannot write {dataset.name} for the worker processes ({why})",
                    hint=f"Set TMPDIR to a folder with more room{way_out}.",
                ) from problem
            self._folders[key] = folder
        return self._folders[key]

    def close(self) -> None:
        """Remove the files; processes that have them mapped keep what they see."""
        if self._temporary is not None:
            folder, lock = self._temporary
            shutil.rmtree(folder, ignore_errors=True)
            lock.release()
        self._temporary = None
        self._folders.clear()


class MappedShelf(DataShelf):
    """A worker's side: data sets that the coordinator has written.

    folder  where a model factory is looked up.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._mapped: set[Path] = set()
        self._datasets: dict[str, Dataset] = {}

    def map(self, folder: Path) -> None:
        """Have the data set in this folder at hand."""
        if folder not in self._mapped:
            config, dataset = read_dataset(folder)
            self._datasets[config.model_dump_json()] = dataset
            self._mapped.add(folder)

    def dataset(self, config: DataConfig) -> Dataset:
        """The data set of a `[data]` section, which must have been mapped."""
        return self._datasets[config.model_dump_json()]


def write_dataset(folder: Path, config: DataConfig, dataset: Dataset) -> None:
    """Write the data set of a `[data]` section."""
    folder.mkdir()
    for split in SPLIT_FIELDS:
        examples = getattr(dataset, split)
        if examples is not None:
            for part in PARTS:
                np.save(folder / f"{split}-{part}.npy", getattr(examples, part))
    none = dict.fromkeys(SPLIT_FIELDS)
    about = {field.name: getattr(dataset, field.name) for field in dataclasses.fields(dataset)}
    (folder / ABOUT).write_bytes(pickle.dumps((config, about | none)))


def read_dataset(folder: Path) -> tuple[DataConfig, Dataset]:
    """What `write_dataset` wrote: the section, and the data set with mapped arrays."""
    config, about = pickle.loads((folder / ABOUT).read_bytes())
    splits: dict[str, Any] = {split: _read_split(folder, split) for split in SPLIT_FIELDS}
    return config, Dataset(**about | splits)


def _read_split(folder: Path, split: str) -> Examples | None:
    if not (folder / f"{split}-{PARTS[0]}.npy").exists():
        return None
    arrays = {part: np.load(folder / f"{split}-{part}.npy", mmap_mode="c") for part in PARTS}
    return Examples(**arrays)
