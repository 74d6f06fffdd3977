"""NumPy archives (.npz): arrays under the names X and y, whole or by split."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from dltune.data.dataset import SPLITS
from dltune.data.raw import RawData
from dltune.data.selection import LISTED_NAMES
from dltune.data.sources.pairs import WHOLE, raw_from_pairs, split_name
from dltune.errors import DataError
from dltune.recipe.schema import DataConfig

NAMES = (("X", "y"), ("x", "y"), ("features", "targets"), ("data", "target"))
"""What the two arrays may be called; the first pair that is there is taken."""


def read_npz(path: Path, config: DataConfig) -> RawData:
    """Read an archive that holds X and y, or X_train, y_train, X_dev, y_dev and so on.

    X  numbers (n, columns), or (n, channels, height, width) for images.
    y  labels or numbers (n,), or numbers (n, outputs).
    "x", "features"/"targets" and "data"/"target" stand for X and y, "val" for "dev"; missing splits
    are cut from train.

    Raises DataError if the file is no archive, names no pair, or holds Python objects.
    """
    origin = config.source
    try:
        archive = np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise _no_archive(origin) from error
    if not isinstance(archive, np.lib.npyio.NpzFile):
        raise _no_archive(origin)
    with archive:
        keys = _find_keys(archive.files, origin)
        pairs = {
            split: (_load(archive, features, origin), _load(archive, targets, origin))
            for split, (features, targets) in keys.items()
        }
    notes = [
        f"{origin}: {features!r} is taken as the {split} set"
        for split, (features, _) in keys.items()
        if split not in (WHOLE, features.partition("_")[2].replace("_", "-"))
    ]
    return raw_from_pairs(pairs, config, name=path.stem, notes=tuple(notes))


def _find_keys(files: list[str], origin: str) -> dict[str, tuple[str, str]]:
    """The names of X and y by split, in the order train, dev, test, train-dev."""
    for features, targets in NAMES:
        if features in files and targets in files:
            return {WHOLE: (features, targets)}
    for features, targets in NAMES:
        found: dict[str, tuple[str, str]] = {}
        for key in files:
            stem, _, suffix = key.partition("_")
            if stem == features and suffix:
                split, partner = split_name(suffix, origin=origin), f"{targets}_{suffix}"
                if partner not in files:
                    raise DataError(
                        f"{origin}: has {key} but no {partner}; it has {_listed(files)}",
                        hint=f"Save both: numpy.savez(path, {key}={key}, {partner}={partner}).",
                    )
                if split in found:
                    raise DataError(
                        f"{origin}: {found[split][0]} and {key} both name the {split} set",
                        hint="Save one of them only.",
                    )
                found[split] = (key, partner)
        if found:
            return {split: found[split] for split in SPLITS if split in found}
    raise DataError(
        f"{origin}: needs arrays X and y, or X_train and y_train; it has {_listed(files)}",
        hint="Save it with numpy.savez(path, X=X, y=y).",
    )


def _load(archive: Any, key: str, origin: str) -> Any:
    try:
        return archive[key]
    except ValueError as error:  # an array of objects is a pickle, which may run code
        raise DataError(
            f"{origin}: {key} holds Python objects, which are not read from files (they may run "
            "code)",
            hint=f"Save it as numbers or texts: {key} = {key}.astype(str).",
        ) from error


def _no_archive(origin: str) -> DataError:
    return DataError(
        f"{origin}: is no NPZ archive", hint="Save it with numpy.savez(path, X=X, y=y)."
    )


def _listed(files: list[str]) -> str:
    more = f" and {len(files) - LISTED_NAMES} more" if len(files) > LISTED_NAMES else ""
    return (", ".join(files[:LISTED_NAMES]) + more) or "no arrays"
