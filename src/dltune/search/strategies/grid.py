"""Grid search: every grid point of the space, in order."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from dltune.recipe.space import Space
from dltune.search.strategies.base import Proposal
from dltune.training.history import TrialRecord


class GridSearch:
    """The points of `space.grid()` in order, the last range of the recipe changing fastest.

    space  its ranges say how many points they have (`points`, `per_decade`, `step`).
           Where one has a start, `space.start` comes first, unless it is one of the points.
    seed   not used: a grid has no chance in it. It is taken so that every strategy is built alike.

    The order is not shuffled: the study says how many points there are before it starts, and a
    prefix of a grid is not a fair sample of it in any order; random search is.

    >>> from dltune.recipe.files import parse_recipe
    >>> from pathlib import Path
    >>> text = 'data.source = "sklearn:digits"\\noptim.lr = {log = [0.01, 1.0], points = 3}'
    >>> strategy = GridSearch(parse_recipe(text, folder=Path()).space, seed=0)
    >>> strategy.total, [proposal.number for proposal in strategy.ask(5)], strategy.ask(5)
    (3, [0, 1, 2], [])
    """

    def __init__(self, space: Space, seed: int) -> None:
        start = space.start
        first = [] if start is None or space.grid_has(start) else [start]
        self._total = len(first) + space.grid_size()
        self._points = itertools.chain(first, space.grid())
        self._next = 0

    @property
    def total(self) -> int:
        return self._total

    @property
    def options(self) -> Mapping[str, int | float]:
        return {}

    @property
    def generation(self) -> None:
        return None

    def ask(self, count: int) -> list[Proposal]:
        points: list[Mapping[str, Any]] = list(itertools.islice(self._points, count))
        proposals = [
            Proposal(number=self._next + offset, values=values)
            for offset, values in enumerate(points)
        ]
        self._next += len(points)
        return proposals

    def tell(self, trials: Sequence[TrialRecord]) -> None:
        """Skips the points that are already done; their results change nothing."""
        for trial in trials:
            if trial.number >= self._next:
                skipped = trial.number + 1 - self._next
                self._next += sum(1 for _ in itertools.islice(self._points, skipped))
