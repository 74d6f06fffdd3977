"""Random search: every trial an independent draw from the unit cube of the space."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import Any

import numpy as np

from dltune.errors import UsageError
from dltune.recipe.ranges import Choice
from dltune.recipe.space import Dimension, Space
from dltune.recipe.toml import toml_value
from dltune.search.strategies.base import Proposal
from dltune.training.history import TrialRecord
from dltune.training.seeds import derive_seed

# Standard deviation of a draw around a start, as a share of the range: with lr = log 1e-5..1e-1 a
# decade. PriorBand's own (Mallik et al. 2023; "medium" confidence in NePS, its implementation).
SPREAD = 0.25
# Probability that a choice takes its start rather than any option: a half, whatever the number of
# options, so that the other half still tries all of them.
START_SHARE = 0.5
# What the advice names: the largest share measured with which wrong starts in every range cost less
# than a tenth of the best dev error (docs/benchmarks.md: 0.1, 0.25 and 0.5, with three networks).
ADVISED_PRIOR = 0.25


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

    space  at least one range. Where one has a start, trial 0 is `space.start` instead.
    seed   of the study.
    prior  probability, in (0, 1), that a trial is drawn around the starts, see `around_start`; None
           for none. The others are the same as without it.

    Raises UsageError if `prior` is out of its range, or no range has a start.

    Source: Bergstra & Bengio 2012, Random search for hyper-parameter optimization, JMLR 13. With d
    ranges of which few matter, n random points test n values of each; a grid tests the d-th root
    of n.
    """

    def __init__(self, space: Space, seed: int, *, prior: float | None = None) -> None:
        if prior is not None:
            _check_prior(prior, space)
        self._space, self._seed, self._prior = space, seed, prior
        self._next = 0

    @property
    def total(self) -> None:
        return None

    @property
    def options(self) -> Mapping[str, int | float]:
        return {} if self._prior is None else {"prior": self._prior}

    @property
    def generation(self) -> None:
        return None

    def ask(self, count: int) -> list[Proposal]:
        numbers = range(self._next, self._next + count)
        self._next += count
        return [Proposal(number=number, values=self._draw(number)) for number in numbers]

    def _draw(self, number: int) -> Mapping[str, Any]:
        if number == 0 and self._space.start is not None:
            return self._space.start
        rng = proposal_generator(self._seed, number)
        unit = rng.random(len(self._space)).tolist()  # (dimensions,)
        if self._prior is not None and rng.random() < self._prior:
            dimensions = self._space.dimensions
            unit = [around_start(*pair, rng) for pair in zip(dimensions, unit, strict=True)]
        return self._space.from_unit(unit)

    def tell(self, trials: Sequence[TrialRecord]) -> None:
        for trial in trials:
            self._next = max(self._next, trial.number + 1)


def around_start(dimension: Dimension, unit: float, rng: np.random.Generator) -> float:
    """A coordinate, in [0, 1], drawn around the start of a dimension; `unit` if it has none.

    unit  an even draw.

    Numbers come from a normal around the start with a standard deviation of `SPREAD`, truncated to
    [0, 1]: its density falls with the distance from the start up to the bounds. Folded back at them
    instead, a start near a bound would get twice its density on that side. A choice takes its start
    with probability `START_SHARE`, else an even draw, which may be the start too.

    Source: Mallik et al. 2023, PriorBand: practical hyperparameter optimization in the age of deep
    learning, NeurIPS 36 (the density; there the share of such draws falls with the budget).
    """
    value: Any = dimension.range.start
    if value is None:
        return unit
    start = dimension.range.to_unit(value)
    if isinstance(dimension.range, Choice):
        return start if rng.random() < START_SHARE else unit
    normal = NormalDist(start, SPREAD)
    low, high = normal.cdf(0.0), normal.cdf(1.0)
    return min(max(normal.inv_cdf(low + rng.random() * (high - low)), 0.0), 1.0)


def _check_prior(prior: float, space: Space) -> None:
    if not 0.0 < prior < 1.0:
        raise UsageError(
            f"prior = {prior}: a share of the trials above 0 and below 1",
            hint=f"Try --prior {ADVISED_PRIOR}.",
        )
    if space.start is None:
        first = space.dimensions[0]
        typed = f"{first.name}.start={toml_value(first.range.from_unit(0.5))}"
        raise UsageError(
            f"--prior {prior} draws trials around the starts of ranges, and no range has one",
            hint=f"Give one, as in --set {shlex.quote(typed)}, or leave --prior out.",
        )
