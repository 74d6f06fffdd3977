"""References from a recipe to the user's Python functions, as "file.py:name"."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.util
import os
import sys
import sysconfig
import traceback
import weakref
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from types import ModuleType
from typing import Any

from dltune.errors import RecipeError, closest
from dltune.recipe.schema import Config, FactoryConfig
from dltune.recipe.users_code import in_words, let_signals_through

EXAMPLE = 'Write it like "my_net.py:build".'


def load_reference(reference: str, folder: str | Path) -> Any:
    """Import the object that "file.py:name" names.

    reference  a Python file and a name at its top level.
    folder     what a relative file is relative to: the recipe's folder.

    While it is imported it finds its neighbours, see `neighbours`. It is run once per process as
    long as it does not change.

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
    with _neighbours_in(path.parent, is_new=True):
        try:
            spec.loader.exec_module(module)
        except BaseException as error:  # the user's code may raise anything
            del sys.modules[name]
            let_signals_through(error)
            place = f"{path}, line {_line(error, path)}"
            raise RecipeError(f"{place}: failed: {in_words(error)}") from error
        imported_sources()  # its own, and those of what it has imported
    return module


def neighbours(reference: str, folder: str | Path) -> AbstractContextManager[None]:
    """Inside, `import common` means the common.py beside the file of a reference.

    reference, folder  as for `load_reference`, which has found it.

    For calling what it names, which may import only then. Another file's neighbour of that name,
    in another folder, is back where it was at the end.
    """
    return _neighbours_in(Path(folder, reference.rpartition(":")[0]).resolve().parent)


@contextlib.contextmanager
def _neighbours_in(folder: Path, *, is_new: bool = False) -> Iterator[None]:
    own = _NEIGHBOURS.setdefault(folder, {})
    hidden = {}
    if is_new or len(_NEIGHBOURS) > 1:  # to look takes a millisecond, and a study builds thousands
        hidden = {name: one for name, one in _users_modules() if _gives_way(name, one, folder)}
    names = {name.partition(".")[0] for name in hidden}
    for name in hidden:
        del sys.modules[name]
    sys.modules.update({name: one for name, one in own.items() if name.partition(".")[0] in names})
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        for name in [name for name in sys.modules if name.partition(".")[0] in names]:
            own[name] = sys.modules.pop(name)
        sys.modules.update(hidden)


def _users_modules() -> list[tuple[str, ModuleType]]:
    """The modules by name whose Python files are neither installed nor dltune's."""
    found = []
    for name, module in list(sys.modules.items()):
        top = name.partition(".")[0]
        if top in _INSTALLED_NAMES or not isinstance(module, ModuleType) or name == "__main__":
            continue
        place = vars(module).get("__file__")
        if not isinstance(place, str):
            continue
        if is_installed(place):
            _INSTALLED_NAMES.add(top)
        elif place.endswith(".py"):
            found.append((name, module))
    return found


def is_installed(file: str) -> bool:
    """Whether a file belongs to Python, to an installed package or to dltune.

    >>> is_installed(os.__file__), is_installed("/home/me/net.py")
    (True, False)
    """
    return file.startswith(_installed()) or any(part in file for part in PACKAGE_FOLDERS)


def _gives_way(name: str, module: ModuleType, folder: Path) -> bool:
    """Whether a folder has another file for the name of a module."""
    top = name.partition(".")[0]
    file, package = folder / f"{top}.py", folder / top
    if not file.is_file() and not package.is_dir():
        return False
    there = Path(vars(module)["__file__"]).resolve()
    return there != file and not there.is_relative_to(package)


def imported_sources() -> dict[Path, bytes]:
    """The Python files that this process has imported and that are not installed, by path.

    Each as it was when its module was first seen: at the latest when a reference has been imported,
    since a file may change while its module is in use. dltune's own are left out.
    """
    for _, module in _users_modules():
        if module in _SEEN:
            continue
        _SEEN.add(module)
        path = Path(vars(module)["__file__"]).resolve()
        try:
            _SOURCES[path] = path.read_bytes()
        except OSError:  # deleted since; whoever needs it will be told
            continue
    return dict(_SOURCES)


_SEEN: weakref.WeakSet[ModuleType] = weakref.WeakSet()  # one that is imported anew is another
_INSTALLED_NAMES: set[str] = set()  # seen before: thousands of modules are theirs
# By folder and name, those that give way to another folder's of that name when nobody runs them.
_NEIGHBOURS: dict[Path, dict[str, ModuleType]] = {}
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
