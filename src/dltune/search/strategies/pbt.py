"""Population-based training: the losers take over the winners' states, and move their values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from dltune.errors import UsageError
from dltune.recipe.ranges import Choice
from dltune.recipe.replay import may_change
from dltune.recipe.space import Dimension, Space
from dltune.search.strategies.random import RandomSearch
from dltune.training.seeds import derive_seed

# Jaderberg et al. 2017, appendix A: a fifth is replaced; values are multiplied by 1.2 or 0.8, and
# drawn anew a quarter of the times.
REPLACED = 0.2
FACTORS = (0.8, 1.2)
REDRAWN = 0.25
# Of a training: as often as there is something to compare, and so seldom that a state can show what
# it is worth.
TURNS = 10


class PopulationBased(RandomSearch):
    """All trials are one population, which begins as random draws.

    interval  epochs between two turns, at least 1; None for a tenth of the longest training's.
    replaced  share of the population that gives way at each turn to as many winners, in (0, 0.5].

    At a turn, each of the worst takes over the training of one of the best, drawn by chance: its
    weights, optimizer and random streams; and moves its values (`explore`). So it is from then on a
    training of the winner's first ancestor whose settings have changed at given epochs.

    Raises UsageError if an option is out of its range, or if a range is over what cannot change
    while a model is trained.

    Source: Jaderberg et al. 2017, Population based training of neural networks, 1711.09846.
    """

    def __init__(
        self,
        space: Space,
        seed: int,
        *,
        interval: int | None = None,
        replaced: float = REPLACED,
    ) -> None:
        super().__init__(space, seed)
        if interval is not None and interval < 1:
            raise UsageError(
                f"--interval {interval}: must be at least 1 epoch",
                hint="Leave it out: it is then a tenth of the epochs.",
            )
        if not 0.0 < replaced <= 0.5:
            raise UsageError(
                f"--replaced {replaced:g}: a share of the population above 0 and at most 0.5",
                hint=f"Try --replaced {REPLACED}.",
            )
        self._interval, self._replaced = interval, replaced

    @property
    def options(self) -> Mapping[str, int | float]:
        given: dict[str, int | float] = {"replaced": self._replaced}
        return given if self._interval is None else given | {"interval": self._interval}

    def turns(self, epochs: int) -> tuple[int, ...]:
        """The epochs after which there is a turn, for trainings of at most so many."""
        every = max(1, round(epochs / TURNS)) if self._interval is None else self._interval
        return tuple(range(every, epochs, every))

    def replaced(self, population: int) -> int:
        """How many of so many give way; at least one of two."""
        return min(population // 2, max(1, int(self._replaced * population)))

    def generator(self, number: int, epoch: int) -> np.random.Generator:
        """The random numbers of one trial at one turn."""
        return np.random.default_rng(derive_seed(self._seed, "turn", number, epoch))

    def explore(self, values: Mapping[str, Any], chance: np.random.Generator) -> dict[str, Any]:
        """The values of a loser, from those of its winner.

        values  of the space's dimensions, by name.

        Each is drawn anew a quarter of the times, else multiplied by 0.8 or 1.2, within its bounds;
        a choice stays or is drawn anew.
        """
        fresh = self._space.from_unit(chance.random(len(self._space)).tolist())
        moved: dict[str, Any] = {}
        for dimension in self._space.dimensions:
            redrawn, factor = chance.random() < REDRAWN, chance.choice(FACTORS)
            name, bounds = dimension.name, dimension.range
            if name not in values:
                continue
            if redrawn:
                moved[name] = fresh.get(name, values[name])
            elif isinstance(bounds, Choice):
                moved[name] = values[name]
            else:
                moved[name] = min(max(values[name] * float(factor), bounds.low), bounds.high)
        return moved


def check_movable(space: Space, sections: Mapping[str, Any]) -> None:
    """Raise UsageError unless every range is over a number that may change between two epochs.

    sections  of one of the configs.
    """
    movable = may_change(sections)
    for one in space.dimensions:
        if one.path not in movable or one.parent is not None or not _is_numeric(one):
            raise UsageError(
                f"--strategy pbt moves values while a model is trained, and {one.path} cannot",
                hint=f"Fix it with --set {one.name}=VALUE, or take --strategy random.",
            )


def _is_numeric(dimension: Dimension) -> bool:
    options = dimension.range.grid() if isinstance(dimension.range, Choice) else [0.0]
    return all(isinstance(one, (int, float)) and not isinstance(one, bool) for one in options)
