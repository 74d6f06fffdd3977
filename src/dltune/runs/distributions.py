"""A space in Optuna's words, so that its samplers, importances and dashboard can read a study."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
)

from dltune.recipe.ranges import Choice, Int, IntLog, Log, Range, Uniform
from dltune.recipe.space import Space


def distribution_of(range_: Range) -> BaseDistribution:
    """The Optuna distribution over the same values.

    >>> distribution_of(Log(1e-4, 1e-1))
    FloatDistribution(high=0.1, log=True, low=0.0001, step=None)
    >>> distribution_of(Choice(([64], [64, 32]))).choices
    ('[64]', '[64, 32]')
    """
    match range_:
        case Log(low=low, high=high):
            return FloatDistribution(low, high, log=True)
        case Uniform(low=low, high=high, step=step):
            return FloatDistribution(low, high, step=_exact_step(low, high, step))
        case Int(low=low, high=high, step=step):
            return IntDistribution(low, high, step=step or 1)
        case IntLog(low=low, high=high):
            return IntDistribution(low, high, log=True)
        case Choice(options=options):
            return CategoricalDistribution([_option(range_, option) for option in options])


class OptunaSpace:
    """A space whose distributions are made once, for the trials of a journal.

    >>> from dltune.recipe.space import Dimension
    >>> rate = Dimension(name="optim.lr", path="optim.lr", range=Log(1e-4, 1e-1))
    >>> kind = Dimension(name="optim.name", path="optim.name", range=Choice(("sgd", "adam")))
    >>> OptunaSpace(Space((rate, kind))).params_of({"optim.lr": 0.01, "optim.name": "adam"})[0]
    {'optim.lr': 0.01, 'optim.name': 1}
    """

    def __init__(self, space: Space) -> None:
        self._ranges = {one.name: one.range for one in space.dimensions}
        self._distributions = {
            name: distribution_to_json(distribution_of(range_))
            for name, range_ in self._ranges.items()
        }

    def params_of(self, values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
        """The values of one trial as a journal has them: numbers, and the index of an option.

        The second table holds their distributions as JSON. Values of no range are left out.
        """
        params = {
            name: range_.index(values[name]) if isinstance(range_, Choice) else values[name]
            for name, range_ in self._ranges.items()
            if name in values
        }
        return params, {name: self._distributions[name] for name in params}


def _exact_step(low: float, high: float, step: float | None) -> float | None:
    """The step; None if it divides the range only up to rounding: Optuna would move a bound."""
    if step is None or (Decimal(str(high)) - Decimal(str(low))) % Decimal(str(step)) != 0:
        return None
    return step


def _option(choice: Choice, option: Any) -> Any:
    """An option as Optuna can store it: lists as JSON text, and all options if two of them are
    equal.

    Optuna looks an option up with `==`, to which 1 and true are the same.
    """
    is_plain = all(
        one is None or isinstance(one, (bool, int, float, str)) for one in choice.options
    )
    if is_plain and len(set(choice.options)) == len(choice.options):
        return option
    return json.dumps(option)
