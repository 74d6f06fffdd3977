"""References from a recipe to the user's Python functions, as "file.py:name"."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import os
import sys
import sysconfig
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any

from dltune.errors import RecipeError, closest
from dltune.recipe.schema import Config, FactoryConfig
from dltune.recipe.users_code import USERS_MODULE, in_words, let_signals_through

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
    name = f"{USERS_MODULE}{path.stem}_{hashlib.sha256(bytes(path)).hexdigest()[:12]}"
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
    except BaseException as error:  # the user's code may raise anything
        del sys.modules[name]
        let_signals_through(error)
        place = f"{path}, line {_line(error, path)}"
        raise RecipeError(f"{place}: failed: {in_words(error)}") from error
    finally:
        sys.path.remove(str(path.parent))
    imported_sources()  # its own, and those of what it has imported
    return module


def imported_sources() -> dict[Path, bytes]:
    """The Python files that this process has imported and that are not installed, by path.

    Each as it was when its module was first seen: at the latest when a reference has been imported,
    since a file may change while its module is in use. dltune's own are left out.
    """
    for name, module in list(sys.modules.items()):
        if _SEEN.get(name) == id(module):
            continue
        _SEEN[name] = id(module)
        place = vars(module).get("__file__") if isinstance(module, ModuleType) else None
        if not isinstance(place, str) or not place.endswith(".py") or name == "__main__":
            continue
        if place.startswith(_installed()) or any(part in place for part in PACKAGE_FOLDERS):
            continue
        path = Path(place).resolve()
        try:
            _SOURCES[path] = path.read_bytes()
        except OSError:  # deleted since; whoever needs it will be told
            continue
    return dict(_SOURCES)


_SEEN: dict[str, int] = {}  # identity of the module by name: one that is imported anew is another
_SOURCES: dict[Path, bytes] = {}
PACKAGE_FOLDERS = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")


@functools.cache
def _installed() -> tuple[str, ...]:
    """Where Python's own modules are, and dltune's, with and without links resolved."""
    places = [sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")]
    places.append(str(Path(__file__).parents[1]))
    return tuple({f"{one}{os.sep}" for place in places for one in (place, os.path.realpath(place))})


def _line(error: BaseException, path: Path) -> int | None:
    """The last line of the user's file that ran, or that cannot be parsed."""
    if isinstance(error, SyntaxError):
        return error.lineno
    frames = traceback.extract_tb(error.__traceback__)
    return next((frame.lineno for frame in reversed(frames) if frame.filename == str(path)), None)
