"""A function of the user's, "file.py:load", that returns the data."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dltune.data.dataset import SPLITS
from dltune.data.raw import RawData
from dltune.data.sources.pairs import WHOLE, raw_from_pairs, split_name
from dltune.errors import DataError, DltuneError, ran_out_of_memory
from dltune.recipe.places import at, place_of_error
from dltune.recipe.references import load_reference, neighbours
from dltune.recipe.schema import DataConfig
from dltune.recipe.users_code import in_words, let_signals_through

REFERENCE = re.compile(r".+\.py:.*")


def read_python(config: DataConfig, folder: Path) -> RawData:
    """Call the function without arguments; it returns (X, y) or {"train": (X, y), "dev": ...}.

    X  an array (n, ...), a tensor, or a pandas frame (text columns become categories).
    y  labels or numbers (n,), or numbers (n, outputs).

    Raises RecipeError if there is no such function, DataError for what it raises or returns.
    """
    origin = config.source
    load = load_reference(origin, folder)
    if not callable(load):
        raise DataError(
            f"{origin}: is of type {type(load).__name__}, not a function",
            hint="Name a function that returns (X, y).",
        )
    try:
        with neighbours(origin, folder):
            returned = load()
    except DltuneError:
        raise
    except BaseException as error:  # the user's code may raise anything
        let_signals_through(error)
        if ran_out_of_memory(error):
            raise
        raise DataError(
            f"{origin}: raised {in_words(error)}{at(place_of_error(error))}",
            hint="Call the function in Python to see where; dltune calls it without arguments.",
        ) from error
    pairs, notes = _pairs(returned, origin)
    return raw_from_pairs(
        pairs, config, name=Path(origin.rpartition(":")[0]).stem, notes=tuple(notes)
    )


def _pairs(returned: Any, origin: str) -> tuple[dict[str, tuple[Any, Any]], list[str]]:
    if not isinstance(returned, Mapping):
        return {WHOLE: _pair(returned, f"{origin}: returned")}, []
    found: dict[str, tuple[Any, Any]] = {}
    notes = []
    for key, value in returned.items():
        split = split_name(str(key), origin=origin)
        if split in found:
            raise DataError(
                f"{origin}: returned the {split} set twice, once as {key!r}",
                hint="Return every split once.",
            )
        found[split] = _pair(value, f"{origin}: under {key!r} returned")
        if split != key:
            notes.append(f"{origin}: {key!r} is taken as the {split} set")
    return {split: found[split] for split in SPLITS if split in found}, notes


def _pair(value: Any, where: str) -> tuple[Any, Any]:
    if isinstance(value, tuple | list) and len(value) == 2:
        return value[0], value[1]
    what = (
        f"{len(value)} values"
        if isinstance(value, tuple | list)
        else f"a value of type {type(value).__name__}"
    )
    raise DataError(
        f"{where} {what} where (X, y) must stand",
        hint='Return (X, y), or {"train": (X, y), "dev": (X, y)}.',
    )
