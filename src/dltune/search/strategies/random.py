"""Random search: every trial an independent uniform draw from the unit cube of the space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from dltune.recipe.space import Space
from dltune.search.strategies.base import Proposal
from dltune.training.history import TrialRecord
from dltune.training.seeds import derive_seed


def proposal_generator(seed: int, number: int) -> np.random.Generator:
    """The random numbers of one proposal; "proposal" keeps them apart from the trial's training
    seed.

    >>> bool(proposal_generator(0, 1).random() == proposal_generator(0, 1).random())
    True
    """
    return np.random.default_rng(derive_seed(seed, "proposal", number))


class RandomSearch:
    """Trial n is a draw from a generator seeded by (study seed, n): in log scale where a range is
    log.

    Source: Bergstra & Bengio 2012, Random search for hyper-parameter optimization, JMLR 13. With d
    ranges of which few matter, n random points test n values of each; a grid tests the d-th root
    of n.
    """

    def __init__(self, space: Space, seed: int) -> None:
        self._space = space
        self._seed = seed
        self._next = 0

    @property
    def total(self) -> None:
        return None

    @property
    def options(self) -> Mapping[str, int | float]:
        return {}

    @property
    def generation(self) -> None:
        return None

    def ask(self, count: int) -> list[Proposal]:
        numbers = range(self._next, self._next + count)
        self._next += count
        return [Proposal(number=number, values=self._draw(number)) for number in numbers]

    def _draw(self, number: int) -> Mapping[str, object]:
        unit = proposal_generator(self._seed, number).random(len(self._space))  # (dimensions,)
        return self._space.from_unit(unit.tolist())

    def tell(self, trials: Sequence[TrialRecord]) -> None:
        for trial in trials:
            self._next = max(self._next, trial.number + 1)
