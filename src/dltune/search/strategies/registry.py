"""Strategies by name: the one place that knows them all."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from dltune.errors import UsageError, closest
from dltune.recipe.space import Space
from dltune.search.strategies.base import Strategy
from dltune.search.strategies.evolution import Evolution
from dltune.search.strategies.grid import GridSearch
from dltune.search.strategies.pbt import PopulationBased
from dltune.search.strategies.random import RandomSearch

STRATEGIES: dict[str, Callable[..., Strategy]] = {
    "evolution": Evolution,
    "grid": GridSearch,
    "pbt": PopulationBased,
    "random": RandomSearch,
}


def option_names(name: str) -> list[str]:
    """The options of a strategy, in the order of its constructor.

    >>> option_names("evolution"), option_names("random")
    (['population', 'parents', 'mutation', 'step'], ['prior'])
    """
    parameters = inspect.signature(STRATEGIES[name]).parameters.values()
    return [one.name for one in parameters if one.kind is inspect.Parameter.KEYWORD_ONLY]


def build_strategy(name: str, space: Space, seed: int, **options: Any) -> Strategy:
    """The strategy of that name for a space and a study seed.

    options  only what `option_names(name)` lists.

    Raises UsageError if the name or an option is not known, or if the space has no range.
    """
    if name not in STRATEGIES:
        raise UsageError(
            f"--strategy {name}: no such strategy; there are {', '.join(STRATEGIES)}",
            hint=f"Try --strategy {closest(name, STRATEGIES) or 'random'}.",
        )
    if len(space) == 0:
        raise UsageError(
            "the recipe has no range, so there is nothing to search",
            hint="Add one in the recipe, or with --space optim.lr=log:1e-5:1e-1.",
        )
    known = option_names(name)
    for option in options:
        if option not in known:
            listed = ", ".join(known) or "none"
            near = closest(option, known)
            raise UsageError(
                f"{option}: not an option of the strategy {name}; its options: {listed}",
                hint=f"Did you mean {near}?" if near else "Leave it out.",
            )
    return STRATEGIES[name](space, seed, **options)
