"""Recipes from files and back: loading with overrides, editing in place, moving to a folder."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from dltune.errors import RecipeError, closest
from dltune.recipe.edits import REMOVED, edit_text
from dltune.recipe.overrides import file_paths, parse_override, parse_space_override
from dltune.recipe.ranges import START
from dltune.recipe.recipe import Recipe, recipe_from_table
from dltune.recipe.schema import Config, FactoryConfig
from dltune.recipe.toml import parse_toml
from dltune.recipe.tree import FilePath
from dltune.recipe.whole_file import replace_file

FOLDER_OF_RECIPES = "recipes"
# "sklearn:digits" and its like name no file; a drive letter (C:) is one letter only.
SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9_+-]+:")


def load_recipe(
    path: str | Path, *, overrides: Sequence[str] = (), spaces: Sequence[str] = ()
) -> Recipe:
    """Read and check a recipe; relative paths in it are relative to its folder.

    path       a TOML file.
    overrides  `--set` texts, e.g. "optim.lr=3e-4"; later ones win.
    spaces     `--space` texts, e.g. "optim.lr=log:1e-5:1e-1"; applied after the overrides.

    Raises `RecipeError` with one line for each mistake.
    """
    path = Path(path)
    text = read_recipe_text(path)
    parse_toml(text, file=str(path))
    try:
        return parse_recipe(text, folder=path.parent, overrides=overrides, spaces=spaces)
    except RecipeError as error:
        where = f"Look at --set, --space and {path}." if overrides or spaces else f"Edit {path}."
        raise RecipeError(error.found, hint=error.hint or where) from None


def parse_recipe(
    text: str, *, folder: str | Path, overrides: Sequence[str] = (), spaces: Sequence[str] = ()
) -> Recipe:
    """Read and check a recipe from TOML text; arguments as for `load_recipe`.

    >>> recipe = parse_recipe('data.source = "a.csv"', folder=".", spaces=["train.epochs=int:1:9"])
    >>> [dimension.name for dimension in recipe.space.dimensions]
    ['train.epochs']
    """
    table = parse_toml(text)
    changes = [*map(parse_override, overrides), *map(parse_space_override, spaces)]
    for name, value in changes:
        text = edit_text(text, dict.fromkeys(file_paths(table, name), value))
        table = tomllib.loads(text)
    return recipe_from_table(table, text=text, folder=Path(folder))


def read_recipe_text(path: Path) -> str:
    """The text of a recipe file, line ends as they are.

    Raises `RecipeError` if there is no such file (with the closest name in its folder and in
    recipes/), or it is no file, or cannot be read as UTF-8 text.
    """
    try:
        if not (path.is_file() or path.is_dir() or not path.exists()):
            # To read a pipe may take for ever, and a device has no end.
            raise RecipeError(f"{path}: is a pipe or a device; a recipe must be a file")
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise RecipeError(f"{path}: no such file", hint=_closest_file(path)) from None
    except IsADirectoryError:
        names = ", ".join(str(found) for found in sorted(path.glob("*.toml"))) or "none"
        raise RecipeError(f"{path}: is a folder; recipes in it: {names}") from None
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path}: must be UTF-8 text, but byte {error.start} is not") from None
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read: {error.strerror}") from None


def _closest_file(path: Path) -> str:
    folders = [path.parent, Path(FOLDER_OF_RECIPES)]
    names = {file.name: file for folder in folders[::-1] for file in folder.glob("*.toml")}
    same = names.get(f"{path.stem}.toml") or names.get(path.name)
    guess = closest(path.name, names)
    found = same or (names[guess] if guess else None)
    if found:
        return f"Did you mean {found}?"
    return "Name an existing .toml file."


def apply_edits(path: str | Path, changes: Mapping[str, Any]) -> None:
    """Change settings in a recipe file; comments and the layout of all the rest stay.

    path     a recipe.
    changes  new values by dotted name; None takes a key away. A range is given as its table,
             e.g. {"log": [1e-5, 1e-1]}. Below a choice of tables every option is changed.

    The file is replaced in one step, and only if the result is a valid recipe; otherwise
    `RecipeError` is raised and the file stays as it was.
    """
    path = Path(path).resolve()
    text = read_recipe_text(path)
    table = parse_toml(text, file=str(path))
    for name, value in changes.items():
        content = REMOVED if value is None else value
        text = edit_text(text, dict.fromkeys(file_paths(table, name), content))
        table = tomllib.loads(text)
    recipe_from_table(table, text=text, folder=path.parent)
    replace_file(path, text)


def relocate_config(config: Config, old_folder: Path, new_folder: Path) -> Config:
    """The same config, with file references that hold from another folder.

    >>> from dltune.recipe.schema import DataConfig
    >>> there = Config(data=DataConfig(source="../../a.csv"))
    >>> relocate_config(there, Path("runs/first"), Path(".")).data.source
    'a.csv'
    """
    source = relocated_reference(config.data.source, old_folder, new_folder)
    changes: dict[str, Any] = {"data": config.data.model_copy(update={"source": source})}
    if isinstance(config.model, FactoryConfig):
        factory = relocated_reference(config.model.factory, old_folder, new_folder)
        changes["model"] = config.model.model_copy(update={"factory": factory})
    return config.model_copy(update=changes)


def relocate(recipe: Recipe, folder: str | Path) -> Recipe:
    """The same recipe, to be kept in another folder: its relative files are found from there.

    >>> recipe = parse_recipe('data.source = "a.csv"', folder="recipes")
    >>> relocate(recipe, "runs/first").config().data.source
    '../../recipes/a.csv'
    """
    folder = Path(folder)
    changes = {
        place: relocated_reference(reference, recipe.folder, folder)
        for place, reference in reference_places(recipe.table)
    }
    text = edit_text(recipe.text, changes)
    return recipe_from_table(tomllib.loads(text), text=text, folder=folder)


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
        if isinstance(value.get(START), str):  # one of the options, once more
            yield (*file_path, key, START), value[START]
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
    # Of folders behind links, ".." leads where they really are.
    absolute = os.path.normpath(os.path.join(os.path.realpath(old_folder), file_name))
    try:
        relative = Path(os.path.relpath(absolute, os.path.realpath(new_folder))).as_posix()
    except ValueError:  # on another drive, to which no relative path leads
        relative = Path(absolute).as_posix()
    return f"{relative}{colon}{name}"
