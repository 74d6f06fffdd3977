"""Pruners by name: the one place that knows them all, and which one a search has by itself."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from dltune.errors import UsageError, closest
from dltune.search.pruning.bad_start import BadStart
from dltune.search.pruning.base import Pruner
from dltune.search.pruning.halving import Halving, Hyperband
from dltune.search.pruning.median import MedianRule

NONE = "none"
PRUNERS: dict[str, Callable[..., Pruner]] = {
    "bad-start": BadStart,
    "halving": Halving,
    "hyperband": Hyperband,
    "median": MedianRule,
}
NAMES = (NONE, *PRUNERS)


def pruner_options(name: str) -> list[str]:
    """The options of a pruner, in the order of its constructor.

    >>> pruner_options("halving"), pruner_options("none")
    (['reduction', 'first_rung'], [])
    """
    return [] if name == NONE else list(inspect.signature(PRUNERS[name]).parameters)


def build_pruner(name: str, options: Mapping[str, Any]) -> Pruner | None:
    """The pruner of that name; None for "none".

    Raises UsageError if the name or an option is not known, or an option is out of its range.
    """
    if name not in NAMES:
        raise UsageError(
            f"--prune {name}: no such rule; there are {', '.join(NAMES)}",
            hint=f"Try --prune {closest(name, NAMES) or 'halving'}.",
        )
    known = pruner_options(name)
    for option in options:
        if option not in known:
            typed = f"--{option.replace('_', '-')}"
            fitting = [one for one in PRUNERS if option in pruner_options(one)]
            raise UsageError(
                f"{typed} is not for --prune {name}",
                hint=f"Leave it out, or type --prune {fitting[0]}.",
            )
    return None if name == NONE else PRUNERS[name](**options)


def check_acts(name: str, pruner: Pruner, *, trials: int, epochs: int) -> None:
    """Raise UsageError if a pruner could end none of so many trials.

    epochs  of the longest training.
    """
    brackets = pruner.brackets(range(trials), epochs)
    alone = name != "bad-start" and trials < 2
    if alone or not any(one.rungs for one in brackets):
        what = "1 trial" if alone else f"trainings of {epochs} epoch{'s' * (epochs != 1)}"
        why = "it has nobody to be compared with" if alone else "no look comes before their end"
        raise UsageError(
            f"--prune {name} can end none of them: {what}, and {why}",
            hint="Leave --prune out, or raise "
            + ("--trials." if alone else "train.epochs: --set train.epochs=20."),
        )
