"""The space of a recipe: its ranges in order, some only under an option of another."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from dltune.errors import RecipeError, closest
from dltune.recipe.ranges import Choice, Log, Range, Uniform
from dltune.recipe.toml import shown

# A logarithm and its inverse lose some 1e-15 of the unit interval.
SAME_COORDINATE = 1e-9


@dataclass(frozen=True, kw_only=True)
class Dimension:
    """One range of a recipe.

    name    unique: the dotted path ("optim.lr", list items "model.hidden.0"); inside an option of
            a choice of tables, with the option's label ("optim[sgd].lr").
    path    dotted path in the config ("optim.lr" in both cases).
    range   the values it may take; for a choice of tables, a `Choice` of the options' labels.
    parent  name of the dimension under one of whose options this one exists; None: always.
    option  index of that option.
    """

    name: str
    path: str
    range: Range
    parent: str | None = None
    option: int | None = None


@dataclass(frozen=True)
class Space:
    """The ordered dimensions of a recipe; parents come before what exists under them.

    >>> from dltune.recipe.ranges import Int, Log
    >>> rate = Dimension(name="optim.lr", path="optim.lr", range=Log(1e-3, 1e-1, points=3))
    >>> depth = Dimension(name="model.depth", path="model.depth", range=Int(1, 2))
    >>> space = Space((rate, depth))
    >>> space.from_unit([0.5, 0.9])
    {'optim.lr': 0.01, 'model.depth': 2}
    >>> space.grid_size()
    6
    """

    dimensions: tuple[Dimension, ...] = ()

    def __len__(self) -> int:
        return len(self.dimensions)

    @cached_property
    def by_name(self) -> dict[str, Dimension]:
        """The dimensions by their unique names."""
        return {dimension.name: dimension for dimension in self.dimensions}

    def is_active(self, dimension: Dimension, values: Mapping[str, Any]) -> bool:
        """Whether a dimension exists under the options that `values` holds for its ancestors."""
        if dimension.parent is None:
            return True
        if dimension.parent not in values:
            return False
        choice = self.by_name[dimension.parent].range
        assert isinstance(choice, Choice)  # only choices have options to be parents of
        return choice.index(values[dimension.parent]) == dimension.option

    def from_unit(self, unit: Sequence[float]) -> dict[str, Any]:
        """The values at a point of the unit cube, by name; only those of active dimensions.

        unit  one number a dimension, in [0, 1], in the order of `dimensions`.
        """
        if len(unit) != len(self.dimensions):
            raise RecipeError(
                f"{len(unit)} coordinates for {len(self)} dimensions: must be one a dimension"
            )
        values: dict[str, Any] = {}
        for dimension, coordinate in zip(self.dimensions, unit, strict=True):
            if self.is_active(dimension, values):
                values[dimension.name] = dimension.range.from_unit(float(coordinate))
        return values

    @cached_property
    def start(self) -> dict[str, Any] | None:
        """Where a search begins, by name: each active range at its start, or else in its middle.

        None if no range has a start.

        >>> from dltune.recipe.ranges import Log, Uniform
        >>> rate = Dimension(name="optim.lr", path="optim.lr", range=Log(1e-4, 1.0, start=0.1))
        >>> drop = Dimension(name="model.dropout", path="model.dropout", range=Uniform(0.0, 0.5))
        >>> Space((rate, drop)).start, Space((drop,)).start
        ({'optim.lr': 0.1, 'model.dropout': 0.25}, None)
        """
        if all(dimension.range.start is None for dimension in self.dimensions):
            return None
        values: dict[str, Any] = {}
        for dimension in self.dimensions:
            if self.is_active(dimension, values):
                start = copy.deepcopy(dimension.range.start)
                values[dimension.name] = dimension.range.from_unit(0.5) if start is None else start
        return values

    def to_unit(self, values: Mapping[str, Any]) -> list[float]:
        """The point of the unit cube that stands for `values`; inactive dimensions get 0.5."""
        self.check_names(values)
        return [
            dimension.range.to_unit(values[dimension.name]) if dimension.name in values else 0.5
            for dimension in self.dimensions
        ]

    def contains(self, values: Mapping[str, Any]) -> bool:
        """Whether `values` has exactly the active names, and each value lies in its range."""
        active = [dim for dim in self.dimensions if self.is_active(dim, values)]
        return values.keys() == {dim.name for dim in active} and all(
            dim.range.contains(values[dim.name]) for dim in active
        )

    def check_names(self, values: Mapping[str, Any]) -> None:
        """Raise `RecipeError` unless `values` has exactly the names of the active dimensions."""
        for name in values:
            if name not in self.by_name:
                guess = closest(name, self.by_name)
                hint = f"; did you mean {guess}?" if guess else ""
                raise RecipeError(f"{name}: not a range of the recipe{hint}")
        for dimension in self.dimensions:
            active = self.is_active(dimension, values)
            if active and dimension.name not in values:
                raise RecipeError(f"{dimension.name}: has no value, but is a range of the recipe")
            if not active and dimension.name in values:
                raise RecipeError(
                    f"{dimension.name}: has a value, but {dimension.parent} = "
                    f"{shown(values.get(str(dimension.parent)))} leaves it out"
                )

    def check_values(self, values: Mapping[str, Any]) -> None:
        """Raise `RecipeError` unless `contains(values)`; names the first value that is wrong."""
        self.check_names(values)
        for name, value in values.items():
            if not self.by_name[name].range.contains(value):
                allowed = shown(self.by_name[name].range.toml())
                raise RecipeError(f"{name} = {shown(value)}: must lie in its range {allowed}")

    @cached_property
    def _children(self) -> dict[tuple[str | None, int | None], list[Dimension]]:
        children: dict[tuple[str | None, int | None], list[Dimension]] = {}
        for dimension in self.dimensions:
            children.setdefault((dimension.parent, dimension.option), []).append(dimension)
        return children

    def grid_size(self) -> int:
        """How many points `grid` gives; 1 for a space without dimensions."""
        return self._size_under(None, None)

    def _size_under(self, parent: str | None, option: int | None) -> int:
        return math.prod(map(self._size_of, self._children.get((parent, option), [])))

    def _size_of(self, dimension: Dimension) -> int:
        points = len(dimension.range.grid())
        # An option multiplies with the ranges that exist under it; a plain point counts once.
        return sum(self._size_under(dimension.name, index) for index in range(points))

    def grid_has(self, values: Mapping[str, Any]) -> bool:
        """Whether `grid` gives these values, one for each active dimension, up to rounding.

        A grid has every combination of its axes' points, so that each value may be looked up alone.
        """
        return all(self._axis_has(self.by_name[name].range, one) for name, one in values.items())

    @staticmethod
    def _axis_has(axis: Range, value: Any) -> bool:
        if isinstance(axis, Log | Uniform):  # a point of a log grid may miss 0.002 by a digit
            unit = axis.to_unit(value)
            return any(abs(axis.to_unit(point) - unit) < SAME_COORDINATE for point in axis.grid())
        return isinstance(axis, Choice) or value in axis.grid()

    def grid(self) -> Iterator[dict[str, Any]]:
        """Every combination of grid points of active dimensions, the last dimension fastest."""
        axes = [dimension.range.grid() for dimension in self.dimensions]
        yield from self._grid_from(0, {}, axes)

    def _grid_from(
        self, place: int, values: dict[str, Any], axes: list[list[Any]]
    ) -> Iterator[dict[str, Any]]:
        if place == len(self.dimensions):
            yield dict(values)
        elif self.is_active(self.dimensions[place], values):
            for point in axes[place]:
                named = values | {self.dimensions[place].name: point}
                yield from self._grid_from(place + 1, named, axes)
        else:
            yield from self._grid_from(place + 1, values, axes)
