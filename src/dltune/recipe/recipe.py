"""A recipe: the table of a TOML file, the space of its ranges, and the configs it can become."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from dltune.errors import RecipeError
from dltune.recipe.schema import Config
from dltune.recipe.space import Space
from dltune.recipe.tree import Node, TreeBuilder, resolve
from dltune.recipe.validation import config_mistakes, find_mistakes

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
    if mistakes:
        raise RecipeError("\n".join(mistakes))
    return Recipe(table=table, space=space, folder=folder, text=text, tree=tree)
