"""Checking a recipe before anything runs: ranges at both bounds, choices at every option."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from dltune.recipe.mistakes import (
    config_path,
    found_value,
    missing_key,
    must_hold,
    unknown_key,
)
from dltune.recipe.ranges import Choice
from dltune.recipe.schema import Config
from dltune.recipe.schema_keys import SUBTABLES, never_paths, section_names, section_variants
from dltune.recipe.space import Dimension, Space
from dltune.recipe.toml import shown
from dltune.recipe.tree import Broken, Node, locate, resolve


def find_mistakes(tree: Node, space: Space) -> list[str]:
    """One line for everything that the schema refuses in a recipe; empty if it is valid.

    tree   the recipe's table with a slot for every range.
    space  its dimensions.

    Bounds of the schema are intervals, so a range is inside one when both its ends are; a few more
    combinations (all low, all high) are tried for checks that involve two keys.
    """
    lines: dict[str, None] = {}  # an ordered set: a mistake shows up in many of the combinations
    for values in probes(space):
        table = resolve(tree, values)
        try:
            Config.model_validate(table)
        except ValidationError as invalid:
            for error in invalid.errors(include_url=False):
                if not _is_echo(error):
                    lines[_line(error, tree, space, table, values)] = None
    return list(lines)


def probes(space: Space) -> Iterator[dict[str, Any]]:
    """Values, by name, in which every bound and every option occurs at least once.

    >>> from dltune.recipe.ranges import Log
    >>> lr = Dimension(name="optim.lr", path="optim.lr", range=Log(1e-3, 1e-1))
    >>> sorted({point["optim.lr"] for point in probes(Space((lr,)))})
    [0.001, 0.1]
    """
    yield _complete(space, {}, unit=0.0)
    for dimension in space.dimensions:
        ancestors = _ancestors(space, dimension)
        for value in _extremes(dimension):
            yield _complete(space, ancestors | {dimension.name: value}, unit=0.0)
    yield _complete(space, {}, unit=1.0)


def _extremes(dimension: Dimension) -> list[Any]:
    if isinstance(dimension.range, Choice):
        return dimension.range.grid()
    return [dimension.range.low, dimension.range.high]


def _ancestors(space: Space, dimension: Dimension) -> dict[str, Any]:
    forced: dict[str, Any] = {}
    while dimension.parent is not None:
        index = dimension.option
        dimension = space.by_name[dimension.parent]
        forced[dimension.name] = dimension.range.grid()[index or 0]
    return forced


def _complete(space: Space, forced: Mapping[str, Any], *, unit: float) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for dimension in space.dimensions:
        if space.is_active(dimension, values):
            name = dimension.name
            values[name] = forced[name] if name in forced else dimension.range.from_unit(unit)
    return values


def config_mistakes(
    invalid: ValidationError,
    tree: Node,
    space: Space,
    table: Mapping[str, Any],
    values: Mapping[str, Any],
) -> list[str]:
    """One line for every error of one config."""
    errors = invalid.errors(include_url=False)
    return list(dict.fromkeys(_line(error, tree, space, table, values) for error in errors))


def _is_echo(error: ErrorDetails) -> bool:
    """Whether an error is only about a range that could not be read, which has its own line."""
    if error["type"] in ("extra_forbidden", "missing"):
        return False
    found = error["input"]
    if error["type"] == "union_tag_invalid":
        found = found_value(error)
    items = found if isinstance(found, (list, tuple)) else [found]
    return any(isinstance(item, Broken) for item in items)


def _line(
    error: ErrorDetails,
    tree: Node,
    space: Space,
    table: Mapping[str, Any],
    values: Mapping[str, Any],
) -> str:
    path = config_path(error)
    name, slot = locate(tree, path, values)
    if error["type"] == "extra_forbidden":
        return f"{name}: {unknown_key(path, variant_of(path, table))}"
    if error["type"] == "missing" and len(path) and not isinstance(error["loc"][-1], int):
        return f"{name}: {missing_key(path, variant_of(path, table))}"
    if isinstance(error["input"], dict) and error["type"] == "dltune":
        return f"{name}: {must_hold(error)}"  # about several keys: the message names them
    found = found_value(error)
    dimension = space.by_name[slot.name] if slot else None
    if dimension is None or isinstance(dimension.range, Choice):
        never = ", or false for never" if ".".join(map(str, path)) in never_paths() else ""
        return f"{name} = {shown(found)}: {must_hold(error)}{never}"
    return f"{name} = {shown(dimension.range.toml())}: {_about_bound(error, dimension)}"


def _about_bound(error: ErrorDetails, dimension: Dimension) -> str:
    found = found_value(error)
    must = must_hold(error)
    if "whole number" in must and isinstance(found, float):
        kind = "int_log" if "log" in dimension.range.toml() else "int"
        return f"its values must be whole numbers; use {kind} instead"
    return f"its bound {shown(found)} {must}"


def variant_of(path: tuple[str | int, ...], table: Mapping[str, Any]) -> str:
    """The name of the kind that the section of a path has in a config's table ("adam")."""
    section = ".".join(map(str, path[:-1]))
    if section in SUBTABLES or section not in section_names():
        return ""
    variants = section_variants(section)
    content = table.get(section, {})
    if "factory" in variants and "factory" in content:
        return "factory"
    name = content.get("name")
    return name if name in variants else _default_variant(section)


def _default_variant(section: str) -> str:
    field = Config.model_fields[section]
    default = field.get_default(call_default_factory=True, validated_data={})
    return str(getattr(default, "name", ""))
