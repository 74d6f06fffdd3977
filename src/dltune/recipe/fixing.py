"""What to change in a recipe's file so that every range becomes one value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import tomlkit

from dltune.recipe.edits import REMOVED, Commented, comment_at
from dltune.recipe.recipe import Recipe
from dltune.recipe.schema_keys import is_table_path
from dltune.recipe.space import Space
from dltune.recipe.tree import Branch, FilePath, Items, Node, Slot, Table, resolve


def fixing_changes(recipe: Recipe, values: Mapping[str, Any]) -> dict[FilePath, Any]:
    """New values by their places in the file; a choice of tables gives way to the chosen keys.

    values  one value for each active dimension, by name.
    """
    changes = dict(_changes(recipe.tree, recipe.space, values))
    document = tomlkit.parse(recipe.text)
    for file_path, value in changes.items():
        if isinstance(value, _Chosen):
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
    for key, value in option.items():
        yield (*branch.file_path, key), _Chosen(value, (*branch.file_path, "choice", index, key))
