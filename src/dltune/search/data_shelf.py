"""The data sets of a study: loaded once for each different `[data]` section, and kept at hand."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from dltune.data.dataset import Dataset
from dltune.errors import DltuneError
from dltune.recipe.files import names_file
from dltune.recipe.schema import DataConfig, TrainConfig
from dltune.runs.about import GIVEN
from dltune.runs.provenance import hash_of_dataset, hash_of_file

if TYPE_CHECKING:
    from dltune.data.device import DeviceData

# Data sets kept in memory. One is the rule; a search over, say, three ways to normalise needs
# three.
KEPT = 4

Key = TypeVar("Key")
Value = TypeVar("Value")


class DataShelf:
    """Loads data sets and moves them to devices; the newest few stay.

    folder   where relative file references are looked up.
    dataset  use this one for every trial instead of loading what the recipe names.

    hashes   SHA-256 by source of what has been loaded.
    """

    def __init__(self, folder: Path, dataset: Dataset | None = None) -> None:
        self._folder = folder
        self._given = dataset
        self._loaded: OrderedDict[str, Dataset] = OrderedDict()
        self._refused: dict[str, DltuneError] = {}
        self.hashes: dict[str, str] = {}
        if dataset is not None:
            self.hashes[GIVEN] = hash_of_dataset(dataset)
        self._moved: OrderedDict[tuple[str, str], DeviceData] = OrderedDict()

    def dataset(self, config: DataConfig) -> Dataset:
        """The data set of a `[data]` section; DataError if it cannot be loaded.

        The same section is refused the second time without trying.
        """
        key = config.model_dump_json()
        if (refused := self._refused.get(key)) is not None:
            raise type(refused)(refused.found, hint=refused.hint)
        try:
            return self.load(config, typed=config, folder=self._folder)
        except DltuneError as error:
            # A copy: with the error itself would stay all that was loaded when it was raised.
            self._refused[key] = type(error)(error.found, hint=error.hint)
            raise

    def load(self, config: DataConfig, *, typed: DataConfig, folder: Path) -> Dataset:
        """The data set of a `[data]` section that was typed for another folder.

        typed   the same section, with file references that hold from `folder`: before a run folder
                is there no path through it leads anywhere, and a mistake is told as it was typed.

        Raises DataError if the data cannot be loaded.
        """
        if self._given is not None:
            return self._given
        key = config.model_dump_json()
        if key not in self._loaded:
            from dltune.data.load import load_data

            dataset = load_data(typed, folder=folder)
            digest = dataset.digest or hash_of_file(folder / typed.source)
            self._loaded[key], self.hashes[_source_key(config)] = dataset, digest
        return _newest(self._loaded, key)

    @property
    def newest(self) -> Dataset | None:
        """The data set that was loaded or asked for last; None before one could be loaded."""
        return self._given or next(reversed(self._loaded.values()), None)

    def on_device(self, config: DataConfig, train: TrainConfig) -> DeviceData:
        """The same on the device of a [train] section.

        Raises TrainingError if there is none, or none with numbers of its precision.
        """
        from dltune.data.device import resolve_device, to_device

        device = resolve_device(train)
        key = (config.model_dump_json(), device.type)
        if key not in self._moved:
            self._moved[key] = to_device(self.dataset(config), device)
        return _newest(self._moved, key)


def _source_key(config: DataConfig) -> str:
    """What a hash is of: a file, or what a function gives with all the other keys of the section.

    >>> _source_key(DataConfig(source="a.csv"))
    'a.csv'
    """
    if names_file(config.source):
        return config.source
    section = config.model_dump_json().encode()
    return f"{config.source}#{hashlib.blake2b(section, digest_size=4).hexdigest()}"


def _newest(kept: OrderedDict[Key, Value], key: Key) -> Value:
    """Mark an entry as used last, and let go of those used longest ago."""
    kept.move_to_end(key)
    while len(kept) > KEPT:
        kept.popitem(last=False)
    return kept[key]
