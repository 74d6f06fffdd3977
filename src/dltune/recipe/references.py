"""References from a recipe to the user's Python functions, as "file.py:name"."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any

from dltune.errors import RecipeError, closest
from dltune.recipe.schema import Config, FactoryConfig

EXAMPLE = 'Write it like "my_net.py:build".'


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
