"""The five kinds of range, and reading one from a recipe's table.

Every kind has the same six methods: what values it holds, their grid, and their map to the unit
interval. `from_unit` maps u in [0, 1] onto the range (u outside is taken as the nearest end) and
`to_unit` is its inverse up to rounding; whole numbers, steps and choices own a cell of the unit
interval each and `to_unit` stays inside it, so they come back exactly. Bounds are values, and
inclusive. Constructors check everything once and raise `RecipeError` without a path; whoever knows
the path puts it in front.
"""

from __future__ import annotations

import copy
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from dltune.errors import RecipeError, closest
from dltune.recipe.bounded import Int, IntLog, Log, Uniform
from dltune.recipe.bounds import key_of
from dltune.recipe.spacing import cell_at
from dltune.recipe.toml import shown, toml_value

__all__ = [
    "EXAMPLES",
    "KINDS",
    "START",
    "Choice",
    "Int",
    "IntLog",
    "Log",
    "Range",
    "Uniform",
    "at_name",
    "choice_options",
    "closest_kind",
    "is_range",
    "kind_of",
    "parse_range",
]


@dataclass(frozen=True)
class Choice:
    """One of a few values, all equally likely.

    options  at least one scalar or list, no two alike (1 and 1.0 are, 1 and true are not).
    start    where a search begins, one of the options; None for none.

    >>> Choice(("relu", "gelu")).from_unit(0.5), Choice(("relu", "gelu")).to_unit("relu")
    ('gelu', 0.25)
    """

    options: tuple[Any, ...]
    start: Any = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "options", tuple(self.options))
        if not self.options:
            raise RecipeError("a choice needs at least one option")
        for index, option in enumerate(self.options):
            if option != option:  # nan
                raise RecipeError(
                    f"the option {toml_value(option)}: must be a number, or nothing equals it"
                )
            if self.index(option) != index:
                raise RecipeError(f"the option {toml_value(option)} is there twice; keep one")
        if self.start is not None:
            place = self.index(self.start)
            if place is None:
                raise RecipeError(_no_option(self.start, self.options))
            object.__setattr__(self, "start", self.options[place])  # 1, not 1.0 for it

    @cached_property
    def _places(self) -> dict[Hashable, int]:
        """Where each option stands first."""
        places: dict[Hashable, int] = {}
        for index, option in enumerate(self.options):
            places.setdefault(key_of(option), index)
        return places

    def index(self, value: Any) -> int | None:
        """The place of `value` among the options, from 0; None if it is not one of them."""
        try:
            return self._places.get(key_of(value))
        except TypeError:  # a table, which no option is
            return None

    def from_unit(self, unit: float) -> Any:
        """The option in whose cell u lies; all cells are equally wide."""
        return copy.deepcopy(self.options[cell_at(unit, len(self.options))])

    def to_unit(self, value: Any) -> float:
        """The middle of the cell of `value`, in (0, 1); `RecipeError` if it is not an option."""
        index = self.index(value)
        if index is None:
            raise RecipeError(f"{toml_value(value)} is not one of {toml_value(self.options)}")
        return (index + 0.5) / len(self.options)

    def contains(self, value: Any) -> bool:
        """Whether `value` is one of the options."""
        return self.index(value) is not None

    def grid(self) -> list[Any]:
        """The options in their order."""
        return copy.deepcopy(list(self.options))

    def toml(self) -> dict[str, Any]:
        """The range as the table that stands for it in a recipe."""
        start = {} if self.start is None else {"start": copy.deepcopy(self.start)}
        return {"choice": self.grid()} | start


def _no_option(start: Any, options: Sequence[Any]) -> str:
    words = [option for option in options if isinstance(option, str)]
    guess = closest(start, words) if isinstance(start, str) else None
    mean = f"; did you mean {toml_value(guess)}?" if guess else ""
    return f"start = {shown(start)}: must be one of the options {shown(options)}{mean}"


Range = Log | Uniform | Int | IntLog | Choice

BOUNDED_KINDS: dict[str, type[Log | Uniform | Int | IntLog]] = {
    "log": Log,
    "uniform": Uniform,
    "int": Int,
    "int_log": IntLog,
}
KINDS = (*BOUNDED_KINDS, "choice")
START = "start"
"""The key of the value that a search begins at."""

FURTHER_KEYS = {
    "log": ("points", "per_decade", START),
    "uniform": ("points", "step", START),
    "int": ("points", "step", START),
    "int_log": ("points", "per_decade", START),
    "choice": (START,),
}
EXAMPLES = {
    "log": "{log = [1e-5, 1e-1]}",
    "uniform": "{uniform = [0.0, 0.5]}",
    "int": "{int = [1, 6]}",
    "int_log": "{int_log = [16, 512]}",
    "choice": '{choice = ["relu", "gelu"]}',
}
# What other tools call these ranges, where the spelling alone would mislead.
OTHER_NAMES = {
    "loguniform": "log",
    "log_uniform": "log",
    "float": "uniform",
    "range": "uniform",
    "logint": "int_log",
    "log_int": "int_log",
    "randint": "int",
    "values": "choice",
    "options": "choice",
    "categorical": "choice",
}


def is_range(table: Mapping[str, Any]) -> bool:
    """Whether a table means to be a range: it has one of the kinds among its keys.

    >>> is_range({"log": [1e-5, 1e-1]}), is_range({"dev": 0.2})
    (True, False)
    """
    return any(kind in table for kind in KINDS)


def closest_kind(word: str) -> str | None:
    """The kind of range that a word most likely means.

    >>> closest_kind("lgo"), closest_kind("loguniform"), closest_kind("epochs")
    ('log', 'log', None)
    """
    return OTHER_NAMES.get(word.lower()) or closest(word.lower(), KINDS)


def kind_of(table: Mapping[str, Any]) -> str:
    """The one kind of a range's table; `RecipeError` if there are two, or a key does not belong.

    >>> kind_of({"int": [1, 6], "step": 1})
    'int'
    """
    kinds = [kind for kind in KINDS if kind in table]
    if len(kinds) != 1:
        raise RecipeError(
            f"{toml_value(table)}: {' and '.join(kinds)} exclude each other; keep one"
        )
    kind = kinds[0]
    for key in table:
        if key != kind and key not in FURTHER_KEYS[kind]:
            raise RecipeError(f"{toml_value(table)}: {_foreign_key(kind, key)}")
    return kind


def _foreign_key(kind: str, key: str) -> str:
    allowed = FURTHER_KEYS[kind]
    is_of_another = any(key in keys for keys in FURTHER_KEYS.values())  # step is spelled like start
    if not is_of_another and (guess := closest(key, allowed)):
        return f"unknown key {key}; did you mean {guess}?"
    takes = " or ".join(filter(None, (", ".join(allowed[:-1]), allowed[-1])))
    return f"a {kind} range does not take {key}; it takes {takes}"


def parse_range(table: Mapping[str, Any]) -> Range:
    """Read a range; a choice must be of plain values here.

    table  the TOML table, e.g. {"log": [1e-5, 1e-1], "points": 9}.

    Raises `RecipeError`, without the path, for anything that is not a valid range.

    >>> parse_range({"log": [1e-5, 1e-1], "points": 9})
    Log(low=1e-05, high=0.1, points=9, per_decade=None, start=None)
    """
    kind = kind_of(table)
    content = table[kind]
    if kind == "choice":
        return Choice(choice_options(table), table.get(START))
    if not isinstance(content, list) or len(content) != 2:
        raise RecipeError(
            f"{toml_value(table)}: must hold two bounds [low, high], as in {EXAMPLES[kind]}"
        )
    low, high = content
    further = {key: value for key, value in table.items() if key != kind}
    return BOUNDED_KINDS[kind](low, high, **further)


def choice_options(table: Mapping[str, Any]) -> tuple[Any, ...]:
    """The options of a choice; `RecipeError` if they are not a list."""
    options = table["choice"]
    if not isinstance(options, list):
        raise RecipeError(
            f"{toml_value(table)}: must hold a list of options, as in {EXAMPLES['choice']}"
        )
    return tuple(options)


def at_name(name: str, mistake: str) -> str:
    """What is wrong with a range, with the name of its setting in front.

    >>> at_name("optim.lr", "{log = [1]}: must hold two bounds")
    'optim.lr = {log = [1]}: must hold two bounds'
    >>> at_name("optim.lr", "points = 1: must be at least 2")
    'optim.lr: points = 1: must be at least 2'
    """
    return f"{name} = {mistake}" if mistake.startswith("{") else f"{name}: {mistake}"
