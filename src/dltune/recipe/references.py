"""References from a recipe to files: data, and Python functions as "file.py:name"."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import sys
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from dltune.errors import RecipeError, closest
from dltune.recipe.schema import Config, FactoryConfig
from dltune.recipe.tree import FilePath

EXAMPLE = 'Write it like "my_net.py:build".'
# "sklearn:digits" and its like name no file; a drive letter (C:) is one letter only.
SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9_+-]+:")


def load_reference(reference: str, folder: str | Path) -> Any:
    """Import the object that "file.py:name" names.

    reference  a Python file and a name at its top level.
    folder     what a relative file is relative to: the recipe's folder.

    The file's own folder is on `sys.path` while it is imported, so it may import its neighbours.
    It is run once per process as long as it does not change.

    Raises `RecipeError` if the text, the file or the name is wrong, or if the file cannot be run;
    then the user's own exception is its cause.
    """
    file_name, colon, name = reference.rpartition(":")
    if not colon or not file_name.endswith(".py") or not name.isidentifier():
        raise RecipeError(f'"{reference}": must be a Python file and a name in it', hint=EXAMPLE)
    path = Path(folder, file_name)
    if not path.is_file():
        guess = closest(path.name, (file.name for file in path.parent.glob("*.py")))
        mean = f"; did you mean {guess}?" if guess else ""
        raise RecipeError(f"{reference}: no file {path}{mean}", hint=EXAMPLE)
    module = _import_file(path.resolve())
    if not hasattr(module, name):
        own = [word for word in vars(module) if not word.startswith("_")]
        guess = closest(name, own)
        mean = f"; did you mean {guess}?" if guess else f"; it has {', '.join(own) or 'nothing'}"
        raise RecipeError(f"{reference}: {path.name} has no {name}{mean}")
    return getattr(module, name)


def check_factory(config: Config, folder: str | Path) -> None:
    """Raise `RecipeError` if the user's own model cannot be found, before a training begins.

    folder  the recipe's. Built-in models always pass.
    """
    if isinstance(config.model, FactoryConfig):
        load_reference(config.model.factory, folder)


def _import_file(path: Path) -> ModuleType:
    # Two files of one name in two folders must not shadow each other, hence the hash.
    name = f"dltune_user_{path.stem}_{hashlib.sha256(bytes(path)).hexdigest()[:12]}"
    changed = path.stat().st_mtime_ns
    known = sys.modules.get(name)
    if known is not None and getattr(known, "__dltune_changed__", None) == changed:
        return known
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise RecipeError(f"{path}: cannot be read as Python")
    module = importlib.util.module_from_spec(spec)
    module.__dict__["__dltune_changed__"] = changed
    sys.modules[name] = module  # before running it: dataclasses and pickle look there
    sys.path.insert(0, str(path.parent))
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        kind = type(error).__name__
        place = f"{path}, line {_line(error, path)}"
        raise RecipeError(f"{place}: failed: {kind}: {error}") from error
    finally:
        sys.path.remove(str(path.parent))
    return module


def _line(error: Exception, path: Path) -> int | None:
    """The last line of the user's file that ran, or that cannot be parsed."""
    if isinstance(error, SyntaxError):
        return error.lineno
    frames = traceback.extract_tb(error.__traceback__)
    return next((frame.lineno for frame in reversed(frames) if frame.filename == str(path)), None)


def names_file(reference: str) -> bool:
    """Whether a source is a file, and neither a function nor a set of a package.

    >>> [names_file(one) for one in ("data.csv", "load.py:load", "sklearn:digits")]
    [True, False, False]
    """
    return not SCHEME.match(reference) and ".py:" not in reference


def reference_places(table: Mapping[str, Any]) -> Iterator[tuple[FilePath, str]]:
    """Every file that a recipe names, with its place: the data's source and the model's factory.

    >>> list(reference_places({"data": {"source": {"choice": ["a.csv", "b.csv"]}}}))
    [(('data', 'source', 'choice', 0), 'a.csv'), (('data', 'source', 'choice', 1), 'b.csv')]
    """
    for section, key in (("data", "source"), ("model", "factory")):
        yield from _places(table.get(section), key, (section,))


def _places(content: Any, key: str, file_path: FilePath) -> Iterator[tuple[FilePath, str]]:
    if not isinstance(content, dict):
        return
    value = content.get(key)
    if isinstance(value, str):
        yield (*file_path, key), value
    elif isinstance(value, dict):
        for index, option in enumerate(value.get("choice", [])):
            if isinstance(option, str):
                yield (*file_path, key, "choice", index), option
    for index, option in enumerate(content.get("choice", [])):
        yield from _places(option, key, (*file_path, "choice", index))


def relocated_reference(reference: str, old_folder: Path, new_folder: Path) -> str:
    """A file reference that was relative to one folder, as it is from another.

    Absolute paths and bundled data ("sklearn:digits") stay as they are.

    >>> relocated_reference("net.py:build", Path("recipes"), Path("runs/first"))
    '../../recipes/net.py:build'
    >>> relocated_reference("sklearn:digits", Path("recipes"), Path("runs/first"))
    'sklearn:digits'
    """
    file_name, colon, name = reference.rpartition(":")
    if not file_name.endswith(".py"):
        file_name, colon, name = reference, "", ""
    if Path(file_name).is_absolute() or SCHEME.match(file_name):
        return reference
    absolute = os.path.abspath(old_folder / file_name)
    try:
        relative = Path(os.path.relpath(absolute, os.path.abspath(new_folder))).as_posix()
    except ValueError:  # on another drive, to which no relative path leads
        relative = Path(absolute).as_posix()
    return f"{relative}{colon}{name}"
