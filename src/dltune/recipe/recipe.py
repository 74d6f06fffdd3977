"""A recipe: the table of a TOML file, the space of its ranges, and what it can become.

With a value for each range it becomes a config (`Recipe.config`), or a recipe without ranges
(`recipe_text_with`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tomlkit
from pydantic import ValidationError

from dltune.errors import RecipeError
from dltune.recipe.edits import REMOVED, Commented, comment_at, edit_text
from dltune.recipe.ranges import START
from dltune.recipe.replay import SECTION, range_mistakes
from dltune.recipe.schema import Config
from dltune.recipe.schema_keys import is_table_path
from dltune.recipe.space import Space
from dltune.recipe.tree import Branch, FilePath, Items, Node, Slot, Table, TreeBuilder, resolve
from dltune.recipe.validation import config_mistakes, find_mistakes

NOTHING: Mapping[str, Any] = {}
RANGES_SHOWN = 3  # as many as fit on a line of a terminal


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A recipe that has been checked; made by `load_recipe` and `parse_recipe`.

    table   the plain nested table of the TOML file, ranges as tables.
    space   the ranges, in the order of the file.
    folder  what relative paths in the recipe (data, Python files) are relative to.
    text    the TOML text that gives exactly this recipe, with its comments.
    tree    the table with a slot for each range.
    """

    table: dict[str, Any]
    space: Space
    folder: Path
    text: str
    tree: Node = field(repr=False, compare=False)

    def config(self, values: Mapping[str, Any] | None = None) -> Config:
        """The config in which every range has its value.

        values  one value for each active dimension, by name; None if the recipe has no range.

        Raises `RecipeError` if a value is missing, out of its range or of no range, or if the
        values together break a rule of the schema.
        """
        if values is None and len(self.space):
            raise self._needs_values()
        values = values or {}
        self.space.check_values(values)
        table = resolve(self.tree, values)
        try:
            return Config.model_validate(table)
        except ValidationError as invalid:
            lines = config_mistakes(invalid, self.tree, self.space, table, values)
            raise RecipeError("\n".join(lines)) from None

    def _needs_values(self) -> RecipeError:
        names = [dimension.name for dimension in self.space.dimensions if dimension.parent is None]
        shown = ", ".join(names[:RANGES_SHOWN]) + (", ..." if len(names) > RANGES_SHOWN else "")
        count = f"{len(names)} ranges" if len(names) > 1 else "a range"
        settings = " ".join(f"--set {name}=VALUE" for name in names[:RANGES_SHOWN])
        return RecipeError(
            f"the recipe has {count} ({shown}), but one value each is needed here",
            hint=f"Fix them with {settings}, or run dltune search.",
        )


def recipe_from_table(table: dict[str, Any], *, text: str, folder: Path) -> Recipe:
    """Check a recipe's table and make the recipe; `RecipeError` with one line a mistake.

    table  as `tomllib` reads it.
    text   the TOML text it was read from.

    >>> recipe = recipe_from_table({"data": {"source": "a.csv"}}, text="", folder=Path("."))
    >>> recipe.config().optim.lr
    0.001
    """
    builder = TreeBuilder()
    tree = builder.build(table)
    space = Space(tuple(builder.dimensions))
    mistakes = builder.problems + find_mistakes(tree, space)
    mistakes += range_mistakes(table.get(SECTION), [one.path for one in space.dimensions])
    if mistakes:
        raise RecipeError("\n".join(mistakes))
    return Recipe(table=table, space=space, folder=folder, text=text, tree=tree)


def recipe_text_with(
    recipe: Recipe, values: Mapping[str, Any], *, replay: Mapping[str, Any] = NOTHING
) -> str:
    """The recipe's text with every range replaced by its value; comments stay.

    values  one value for each active dimension, by name, as for `Recipe.config`. A choice of
            tables becomes the keys of the chosen one.
    replay  what of it changes while it is trained, as in `[replay]`.

    >>> import tomllib
    >>> text = 'data.source = "a.csv"\\ntrain.epochs = {int = [1, 9]}  # passes\\n'
    >>> recipe = recipe_from_table(tomllib.loads(text), text=text, folder=Path("."))
    >>> print(recipe_text_with(recipe, {"train.epochs": 5}), end="")
    data.source = "a.csv"
    train.epochs = 5  # passes
    """
    recipe.config(values)
    fixed = edit_text(recipe.text, _fixed_values(recipe, values))
    return edit_text(fixed, {(SECTION, key): points for key, points in replay.items()})


def _fixed_values(recipe: Recipe, values: Mapping[str, Any]) -> dict[FilePath, Any]:
    """New values by their places in the file; a choice of tables gives way to the chosen keys.

    values  one value for each active dimension, by name.
    """
    changes = dict(_changes(recipe.tree, recipe.space, values))
    chosen = {place: one for place, one in changes.items() if isinstance(one, _Chosen)}
    document = tomlkit.parse(recipe.text) if chosen else {}
    for file_path, value in chosen.items():
        comment = comment_at(document, value.came_from)
        changes[file_path] = Commented(value.value, comment) if comment else value.value
    return changes


@dataclass(frozen=True)
class _Chosen:
    """A value that moves out of an option, and where it stood."""

    value: Any
    came_from: FilePath


def _changes(node: Node, space: Space, values: Mapping[str, Any]) -> Iterator[tuple[FilePath, Any]]:
    if isinstance(node, Slot):
        yield node.file_path, values[node.name]
    elif isinstance(node, Branch):
        yield from _branch_changes(node, space, values)
    elif isinstance(node, (Table, Items)):
        below = node.entries.values() if isinstance(node, Table) else node.items
        for entry in below:
            yield from _changes(entry, space, values)


def _branch_changes(
    branch: Branch, space: Space, values: Mapping[str, Any]
) -> Iterator[tuple[FilePath, Any]]:
    index = branch.labels.index(values[branch.name])
    option = resolve(branch.options[index], values)
    if not is_table_path(space.by_name[branch.name].path):
        yield branch.file_path, option
        return
    if branch.shared is not None:
        yield from _changes(branch.shared, space, values)
    yield (*branch.file_path, "choice"), REMOVED
    if space.by_name[branch.name].range.start is not None:
        yield (*branch.file_path, START), REMOVED
    for key, value in option.items():
        yield (*branch.file_path, key), _Chosen(value, (*branch.file_path, "choice", index, key))
