"""A recipe's table as a tree in which every range is a slot, so that values can be put in.

A choice of plain values is a slot like any other range. A choice in which an option holds a table
is a branch: its options are trees themselves, with slots that exist only under them. Keys beside a
section's choice of tables are shared by all its options, but for a `start` that is text: it names
the option that a search begins at.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dltune.errors import RecipeError
from dltune.recipe.ranges import (
    START,
    Choice,
    Range,
    at_name,
    choice_options,
    is_range,
    kind_of,
    parse_range,
)
from dltune.recipe.replay import SECTION as REPLAY
from dltune.recipe.schema_keys import is_table_path
from dltune.recipe.space import Dimension
from dltune.recipe.toml import shown

Key = str | int
FilePath = tuple[Key, ...]
"""Keys and indices that lead to a value in the file: ("optim", "choice", 0, "lr")."""


# What can stand in the brackets of a dimension's name without being taken for a part of it.
LABEL = re.compile(r"[A-Za-z0-9_-]+")


class Broken:
    """Stands where a range could not be read, so that the rest of the recipe is still checked."""


@dataclass(frozen=True)
class Fixed:
    """A value without ranges."""

    value: Any


@dataclass(frozen=True)
class Items:
    """A list in which an item is or holds a range."""

    items: tuple[Node, ...]


@dataclass(frozen=True)
class Table:
    """A table."""

    entries: Mapping[str, Node]


@dataclass(frozen=True)
class Slot:
    """A range: its value comes from the dimension of this name."""

    name: str
    file_path: FilePath


@dataclass(frozen=True)
class Branch:
    """A choice with tables among its options: one of them, and the shared keys beside it."""

    name: str
    file_path: FilePath
    labels: tuple[str, ...]
    options: tuple[Node, ...]
    shared: Table | None


Node = Fixed | Items | Table | Slot | Branch


@dataclass(frozen=True)
class _Place:
    """Where the builder stands: the dimension's name, the config's path, the file's path."""

    name: str = ""
    path: str = ""
    file_path: FilePath = ()
    parent: str | None = None
    option: int | None = None

    def below(self, key: Key) -> _Place:
        """The place of a key or item in the table or list that stands here."""
        dot = "." if self.name else ""
        return _Place(
            f"{self.name}{dot}{key}",
            f"{self.path}{dot}{key}",
            (*self.file_path, key),
            self.parent,
            self.option,
        )

    def under(self, label: str, index: int) -> _Place:
        """The place of an option of the choice that stands here."""
        file_path = (*self.file_path, "choice", index)
        return _Place(f"{self.name}[{label}]", self.path, file_path, self.name, index)


@dataclass
class TreeBuilder:
    """Builds the tree, and collects the dimensions in order and one line for every mistake."""

    dimensions: list[Dimension] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def build(self, content: Any, place: _Place | None = None) -> Node:
        """The tree of a table, list or value; mistakes are collected, not raised."""
        place = place or _Place()
        if isinstance(content, dict) and place.path != REPLAY:  # there, keys are dotted paths
            return self._build_dict(content, place)
        if isinstance(content, list) and holds_table(content):
            pairs = enumerate(content)
            return Items(tuple(self.build(item, place.below(index)) for index, item in pairs))
        return Fixed(content)

    def _build_dict(self, table: dict[str, Any], place: _Place) -> Node:
        is_table = is_table_path(place.path)
        try:
            if is_table and place.path and "choice" in table:
                return self._build_section_choice(table, place)
            if not is_table and is_range(table):
                return self._build_range(table, place)
            return self._build_table(table, place)
        except RecipeError as error:
            self.problems.append(at_name(place.name, error.found))
            return Fixed(Broken())

    def _build_table(self, table: dict[str, Any], place: _Place) -> Table:
        entries: dict[str, Node] = {}
        for key, content in table.items():
            if set(key) & set(".[]"):
                raise RecipeError(f'key "{key}": keys of a recipe have no dots and no brackets')
            entries[key] = self.build(content, place.below(key))
        return Table(entries)

    def _build_range(self, table: dict[str, Any], place: _Place) -> Node:
        if kind_of(table) == "choice" and holds_table(options := choice_options(table)):
            return self._build_branch(options, place, None, table.get(START))
        self._add(place, parse_range(table))
        return Slot(place.name, place.file_path)

    def _build_section_choice(self, table: dict[str, Any], place: _Place) -> Node:
        options = choice_options(table)
        others = shared_keys(table)
        for index, option in enumerate(options):
            if not isinstance(option, dict):
                raise RecipeError(
                    f"choice option {shown(option)}: must be a table, as [{place.path}] is one; "
                    f"for one key write {place.path}.name = {{choice = [...]}}"
                )
            if twice := [key for key in option if key in others]:
                raise RecipeError(
                    f"{twice[0]} is both shared and in choice option {index}; keep one"
                )
        shared = self._build_table(others, place) if others else None
        return self._build_branch(options, place, shared, start_label(table))

    def _build_branch(
        self, options: Sequence[Any], place: _Place, shared: Table | None, start: Any
    ) -> Branch:
        labels = option_labels(options)
        for index, option in enumerate(options):
            if option in options[:index]:
                raise RecipeError(f"choice option {shown(option)} is there twice; keep one")
        # Where options have no names of their own, a start may be one of them, written again.
        self._add(
            place, Choice(labels, labels[options.index(start)] if start in options else start)
        )
        places = (place.under(label, index) for index, label in enumerate(labels))
        nodes = tuple(self.build(option, at) for option, at in zip(options, places, strict=True))
        return Branch(place.name, place.file_path, labels, nodes, shared)

    def _add(self, place: _Place, values: Range) -> None:
        self.dimensions.append(
            Dimension(
                name=place.name,
                path=place.path,
                range=values,
                parent=place.parent,
                option=place.option,
            )
        )


def start_label(table: Mapping[str, Any]) -> str | None:
    """The option that a search begins at, of a section that is a choice of tables.

    It is text, which no setting named `start` is (`schedule.start` is a number).

    >>> start_label({"choice": [{"name": "sgd"}, {"name": "adam"}], "start": "adam"})
    'adam'
    """
    start = table.get(START)
    return start if isinstance(start, str) else None


def shared_keys(table: Mapping[str, Any]) -> dict[str, Any]:
    """What stands beside a section's choice of tables, and is of all its options.

    >>> shared_keys({"choice": [{"name": "sgd"}], "lr": 0.1, "start": "sgd"})
    {'lr': 0.1}
    """
    own = ("choice",) if start_label(table) is None else ("choice", START)
    return {key: content for key, content in table.items() if key not in own}


def holds_table(content: Any) -> bool:
    """Whether a list (or a list in it) holds a table, which may be a range.

    >>> holds_table([64, {"int": [1, 3]}]), holds_table([64, [1, 2]])
    (True, False)
    """
    if isinstance(content, (list, tuple)):
        return any(map(holds_table, content))
    return isinstance(content, dict)


def option_labels(options: Sequence[Any]) -> tuple[str, ...]:
    """Labels of the options of a branch: their `name` if each has its own, else their number.

    >>> option_labels([{"name": "sgd"}, {"name": "adam"}])
    ('sgd', 'adam')
    >>> option_labels([{"name": "sgd"}, 0.5])
    ('option-0', 'option-1')
    """
    names = [option.get("name") if isinstance(option, dict) else None for option in options]
    words = [name for name in names if isinstance(name, str) and LABEL.fullmatch(name)]
    if len(set(words)) == len(options):
        return tuple(words)
    return tuple(f"option-{index}" for index in range(len(options)))


def resolve(node: Node, values: Mapping[str, Any]) -> Any:
    """The plain table that a tree becomes when every slot gets its value.

    values  by dimension name; must hold those of all active dimensions.
    """
    if isinstance(node, Fixed):
        return _own(node.value)
    if isinstance(node, Slot):
        return _own(values[node.name])
    if isinstance(node, Branch):
        option = resolve(node.options[node.labels.index(values[node.name])], values)
        return option if node.shared is None else resolve(node.shared, values) | option
    if isinstance(node, Table):
        return {key: resolve(entry, values) for key, entry in node.entries.items()}
    return [resolve(item, values) for item in node.items]


def _own(value: Any) -> Any:
    """The value, of a list a copy; a search makes thousands of configs, mostly of plain values."""
    return copy.deepcopy(value) if isinstance(value, (list, dict)) else value


def locate(node: Node, path: Sequence[Key], values: Mapping[str, Any]) -> tuple[str, Slot | None]:
    """The name of a config path as a dimension has it ("optim[sgd].lr"), and the slot there.

    path    keys and indices into the resolved config.
    values  the values it was resolved with; they say which options are meant.
    """
    name = ""
    rest = list(path)
    while True:
        if isinstance(node, Branch):
            if rest and node.shared is not None and rest[0] in node.shared.entries:
                node = node.shared
                continue
            label = values[node.name]
            name += f"[{label}]"
            node = node.options[node.labels.index(label)]
            continue
        if isinstance(node, Slot) or not rest:
            slot = node if isinstance(node, Slot) else None
            return ".".join([name, *map(str, rest)]) if rest else name, slot
        key = rest.pop(0)
        name += f".{key}" if name else str(key)
        below: Node | None = None
        if isinstance(node, Table) and isinstance(key, str):
            below = node.entries.get(key)
        elif isinstance(node, Items) and isinstance(key, int) and key < len(node.items):
            below = node.items[key]
        node = below or Fixed(None)
