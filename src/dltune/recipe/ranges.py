"""The five kinds of range: what values they hold, their grid, and their map to the unit interval.

Every kind has the same six methods. `from_unit` maps u in [0, 1] onto the range (u outside is
taken as the nearest end) and `to_unit` is its inverse up to rounding; whole numbers, steps and
choices own a cell of the unit interval each and `to_unit` stays inside it, so they come back
exactly. Bounds are values, and inclusive. Constructors check everything once and raise
`RecipeError` without a path; whoever knows the path puts it in front.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

from dltune.errors import RecipeError
from dltune.recipe.bounds import same_value
from dltune.recipe.ranges_float import Log, Uniform
from dltune.recipe.ranges_int import Int, IntLog
from dltune.recipe.spacing import cell_at
from dltune.recipe.toml import toml_value

__all__ = ["Choice", "Int", "IntLog", "Log", "Range", "Uniform"]


@dataclass(frozen=True)
class Choice:
    """One of a few values, all equally likely.

    options  at least one scalar or list, no two alike (1 and 1.0 are, 1 and true are not).

    >>> Choice(("relu", "gelu")).from_unit(0.5), Choice(("relu", "gelu")).to_unit("relu")
    ('gelu', 0.25)
    """

    options: tuple[Any, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "options", tuple(self.options))
        if not self.options:
            raise RecipeError("a choice needs at least one option")
        for index, option in enumerate(self.options):
            if any(same_value(option, earlier) for earlier in self.options[:index]):
                raise RecipeError(f"the option {toml_value(option)} is there twice; keep one")

    def index(self, value: Any) -> int | None:
        """The place of `value` among the options, from 0; None if it is not one of them."""
        matches = (i for i, option in enumerate(self.options) if same_value(option, value))
        return next(matches, None)

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
        return {"choice": self.grid()}


Range = Log | Uniform | Int | IntLog | Choice
