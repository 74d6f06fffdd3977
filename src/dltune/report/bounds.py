"""Seeing that the best trial lies at the end of a range: the true best may lie beyond it."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Mapping
from typing import Any, Literal, TypeVar

from dltune.errors import RecipeError
from dltune.recipe.comparable import ERROR_METRIC, may_vary
from dltune.recipe.files import parse_recipe
from dltune.recipe.ranges import Choice, Int, IntLog, Log, Uniform
from dltune.recipe.recipe import Recipe
from dltune.recipe.space import Dimension
from dltune.report.numbers import show_value

# Share of a range that counts as its end. A best trial that owes nothing to this range falls into
# one of the two ends with probability 4 %, so that most of the advice is about something.
END_SHARE = 0.02
WIDEN_LOG = 10.0  # one decade: the usual distance of grid points that a coarse search starts with
WIDEN_LINEAR = 0.5  # half of the range, so that a search of the new range keeps its density

RangeKind = TypeVar("RangeKind", Log, Uniform, Int, IntLog)


@dataclasses.dataclass(frozen=True, kw_only=True)
class BoundHit:
    """A range whose end the best trial lies at.

    value  of the best trial.
    end    which end.
    wider  the range with that end moved outward, and valid in the recipe.
    """

    dimension: Dimension
    value: float
    end: Literal["low", "high"]
    wider: Log | Uniform | Int | IntLog


def find_bound_hits(
    recipe: Recipe, values: Mapping[str, Any], *, metric: str = ERROR_METRIC
) -> list[BoundHit]:
    """The ranges at whose end `values` lies and which can be widened there.

    recipe  the recipe of the study.
    values  of its best trial, by name.
    metric  by which it is the best.

    An end that the recipe's own rules forbid to move (a dropout cannot fall below 0) is no hit:
    there is nothing to widen. Whole numbers and steps are at an end only when equal to it.
    """
    if not recipe.space.contains(values):  # somebody has edited the recipe, or the journal
        return []
    hits = []
    for dimension in recipe.space.dimensions:
        value = values.get(dimension.name)
        if value is None or isinstance(dimension.range, Choice):
            continue
        if not may_vary(dimension.path, metric):
            continue  # its trials cannot be compared: its end says nothing
        end = end_of(dimension.range, value)
        if end is None:
            continue
        wider = widened(dimension.range, end)
        if wider is not None and _is_valid(recipe, dimension, wider):
            hits.append(BoundHit(dimension=dimension, value=value, end=end, wider=wider))
    return hits


def end_of(range_: Log | Uniform | Int | IntLog, value: float) -> Literal["low", "high"] | None:
    """The end of the range at which a value lies, if it lies at one.

    >>> from dltune.recipe.ranges import Log, Int
    >>> end_of(Log(1e-5, 1e-1), 0.09), end_of(Log(1e-5, 1e-1), 1e-3), end_of(Int(1, 4), 1)
    ('high', None, 'low')
    """
    if isinstance(range_, Int | IntLog) or (isinstance(range_, Uniform) and range_.step):
        return "low" if value == range_.low else "high" if value == range_.high else None
    unit = range_.to_unit(value)
    return "low" if unit <= END_SHARE else "high" if unit >= 1 - END_SHARE else None


def widened(
    range_: Log | Uniform | Int | IntLog, end: Literal["low", "high"]
) -> Log | Uniform | Int | IntLog | None:
    """The range with one end moved outward: a factor of 10 in a log range, else half its width.

    None where a whole number on a log scale is already 1. Points, points per decade and step stay.

    >>> from dltune.recipe.ranges import Log, Int
    >>> widened(Log(1e-4, 1e-1), "high").toml(), widened(Int(1, 4), "high").toml()
    ({'log': [0.0001, 1.0]}, {'int': [1, 6]})
    """
    outward = 1 if end == "high" else -1
    match range_:
        case Log(low=low, high=high):
            moved = float(f"{(high if outward > 0 else low) * WIDEN_LOG**outward:.12g}")
            return _with_end(range_, end, moved)
        case IntLog(low=low, high=high):
            moved_int = round((high if outward > 0 else low) * WIDEN_LOG**outward)
            moved_int = max(moved_int, 1)
            if moved_int == low:
                return None
            return _with_end(range_, end, moved_int)
        case Uniform(low=low, high=high, step=step):
            way = (high - low) * WIDEN_LINEAR
            way = way if step is None else max(1, round(way / step)) * step
            moved = float(f"{(high if outward > 0 else low) + outward * way:.12g}")
            return _with_end(range_, end, moved)
        case Int(low=low, high=high, step=step):
            stride = step or 1
            whole = max(1, round((high - low) * WIDEN_LINEAR / stride)) * stride
            return _with_end(range_, end, (high if outward > 0 else low) + outward * whole)


def _with_end(range_: RangeKind, end: Literal["low", "high"], value: float) -> RangeKind:
    """The range with one end replaced; what it says about a grid stays."""
    moved: dict[str, Any] = {end: value}
    return dataclasses.replace(range_, **moved)


def render_bound_hits(hits: list[BoundHit]) -> str:
    """Two lines of advice for each hit, the second of them as it can be typed; empty for none."""
    lines = []
    for hit in hits:
        side = "upper" if hit.end == "high" else "lower"
        best = f"best {hit.dimension.name} = {show_value(hit.value)}"
        lines.append(f"{best} is at the {side} end of its range: better may lie beyond")
        lines.append(f"  {_edit_of(hit)}")
    return "\n".join(lines)


def _edit_of(hit: BoundHit) -> str:
    edit = space_edit(hit.dimension.name, hit.wider)
    return f"--space {shlex.quote(edit)}"


def space_edit(name: str, range_: Log | Uniform | Int | IntLog) -> str:
    """The range as `--space` takes it.

    >>> from dltune.recipe.ranges import Log, Int
    >>> space_edit("optim.lr", Log(1e-5, 1e-1)), space_edit("train.epochs", Int(2, 8, step=2))
    ('optim.lr=log:1e-05:0.1', 'train.epochs=int:2:8:step=2')
    """
    ((kind, (low, high)), *counts) = range_.toml().items()
    return ":".join([f"{name}={kind}", f"{low!r}", f"{high!r}", *(f"{k}={v}" for k, v in counts)])


def _is_valid(recipe: Recipe, dimension: Dimension, wider: Log | Uniform | Int | IntLog) -> bool:
    try:
        parse_recipe(recipe.text, folder=recipe.folder, spaces=[space_edit(dimension.name, wider)])
    except RecipeError:
        return False
    return True
