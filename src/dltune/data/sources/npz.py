"""NumPy archives (.npz): arrays under the names X and y, whole or by split."""

from __future__ import annotations

import contextlib
import lzma
import math
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from dltune.data.dataset import SPLITS
from dltune.data.memory import in_words, refuse_too_large
from dltune.data.raw import RawData
from dltune.data.selection import LISTED_NAMES
from dltune.data.sources.pairs import WHOLE, raw_from_pairs, split_name
from dltune.errors import DataError, first_line
from dltune.recipe.schema import DataConfig

NAMES = (("X", "y"), ("x", "y"), ("features", "targets"), ("data", "target"))
"""What the two arrays may be called; the first pair that is there is taken."""

ENDING = ".npy"
"""Of the arrays in an archive."""

AGAIN = "Save it again: numpy.savez(path, X=X, y=y)."

READ_HEADER = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
    (3, 0): np.lib.format.read_array_header_2_0,  # the same but for UTF-8 in names of fields
}

DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    OSError,
    EOFError,
    ValueError,
    TypeError,
    SyntaxError,
    ArithmeticError,  # a shape beyond what is counted
    NotImplementedError,  # a compression that Python does not know
    RuntimeError,  # a password is needed
)


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
        archive = zipfile.ZipFile(path)
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise _no_archive(origin) from error
    with archive:
        files = [name[: -len(ENDING)] for name in archive.namelist() if name.endswith(ENDING)]
        keys = _find_keys(files, origin)
        _refuse_too_large(archive, [key for pair in keys.values() for key in pair], origin)
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


def _refuse_too_large(archive: zipfile.ZipFile, keys: list[str], origin: str) -> None:
    """Raise DataError for arrays that cannot be read, by what their headers declare.

    A few bytes of a zip may stand for more memory than there is.
    """
    needed = 0
    for key in keys:
        with _damaged(key, origin), archive.open(key + ENDING) as file:
            version = np.lib.format.read_magic(file)
            read = READ_HEADER.get(version)
            if read is None:
                raise ValueError(f"version {version} of the format is not known")
            shape, _, dtype = read(file)
            size = math.prod(shape) * dtype.itemsize
            held = archive.getinfo(key + ENDING).file_size - file.tell()
        if dtype.hasobject:  # a pickle, which may run code
            raise DataError(
                f"{origin}: {key} holds Python objects, which are not read from files (they may "
                "run code)",
                hint=f"Save it as numbers or texts: {key} = {key}.astype(str).",
            )
        if any(length < 0 for length in shape) or size != held:
            raise DataError(
                f"{origin}: {key} is damaged: its header declares the shape {shape} of {dtype}, "
                f"and {in_words(held)} follow",
                hint=AGAIN,
            )
        needed += size
    refuse_too_large(
        needed, f"{origin}: {' and '.join(keys)}", hint="Save fewer examples, or smaller ones."
    )


def _load(archive: zipfile.ZipFile, key: str, origin: str) -> Any:
    with _damaged(key, origin), archive.open(key + ENDING) as file:
        array = np.lib.format.read_array(file, allow_pickle=False)
        file.read(1)  # at the end, where the checksum is compared
        return array


@contextlib.contextmanager
def _damaged(key: str, origin: str) -> Iterator[None]:
    """Turn what zipfile, zlib and NumPy raise for damaged files into a DataError."""
    try:
        yield
    except MemoryError:
        raise
    except DAMAGE as error:
        raise DataError(
            f"{origin}: {key} is damaged: {first_line(error)}",
            hint=AGAIN,
        ) from error


def _no_archive(origin: str) -> DataError:
    return DataError(
        f"{origin}: is no NPZ archive", hint="Save it with numpy.savez(path, X=X, y=y)."
    )


def _listed(files: list[str]) -> str:
    more = f" and {len(files) - LISTED_NAMES} more" if len(files) > LISTED_NAMES else ""
    return (", ".join(files[:LISTED_NAMES]) + more) or "no arrays"
