"""Evolution: a small genetic algorithm on the unit cube of the space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dltune.errors import UsageError
from dltune.recipe.ranges import Choice
from dltune.recipe.space import Space
from dltune.search.strategies.base import Proposal
from dltune.search.strategies.random import proposal_generator
from dltune.training.history import TrialRecord, best_trials

# The three defaults were chosen from populations of 8, 16 and 24, 2, 4 and 6 parents, and steps of
# 0.05, 0.1 and 0.2 on five functions of 3 and 6 ranges (sphere, unequal weights, ridge, many
# minima, noise) with 64 and 160 trials, 20 seeds each. With 160 trials they are among the best;
# with 64 a population of 8 is somewhat better, but fills no stack and trusts noise more.
POPULATION = 16
PARENTS = 4
STEP = 0.1  # of a whole range: with lr = log 1e-5..1e-1 a typical mutation is a factor of 2.5

# Tries to mutate into a new point before the point is drawn at random instead, and draws before the
# space counts as exhausted: with one point in a hundred still new, 1000 draws miss it with
# probability 4e-5.
MUTATION_TRIES = 10
RANDOM_TRIES = 1000

# Two points are the same if no coordinate differs by more than the rounding of a log and its
# inverse.
SAME_POINT_DECIMALS = 9


def reflect(unit: float) -> float:
    """Fold a number back into [0, 1] at the bounds, as a mirror does; clipping would pile points
    up there.

    >>> reflect(1.25), reflect(-0.25), reflect(0.5), reflect(2.25)
    (0.75, 0.25, 0.5, 0.25)
    """
    folded = abs(unit) % 2.0
    return 2.0 - folded if folded > 1.0 else folded


class Evolution:
    """Selection of the best, crossover, mutation; a population at a time.

    space       at least one range.
    seed        of the study.
    population  trials in a generation, at least 2.
    parents     how many of the best breed, 2..population.
    mutation    probability that a coordinate mutates, in (0, 1]; None means 1 / dimensions, so one
                of a child's coordinates on average (Bäck 1993; Mühlenbein 1992).
    step        standard deviation of a mutation in the unit cube, > 0.

    Generation 0 is the same draws as random search, with `space.start` as trial 0 where a range has
    a start. The parents of generation g are the best
    `parents` of all trials of generations 0..g-1: an elite stays a parent as long as nothing beats
    it, without being trained again. A child takes each coordinate from one of two parents (uniform
    crossover, Syswerda 1989); a mutated coordinate moves by a normal step reflected at the bounds,
    so a log range moves by a factor; a choice has no distances and is drawn anew. A child equal to
    any earlier point is bred again, then drawn at random; if even that finds nothing new, `ask`
    returns none: the space is exhausted. Trials without an objective rank last and never breed.

    Raises UsageError if an option is out of its range.

    Source: (mu + lambda) selection of Beyer & Schwefel 2002, Evolution strategies: a comprehensive
    introduction, Natural Computing 1.
    """

    def __init__(
        self,
        space: Space,
        seed: int,
        *,
        population: int = POPULATION,
        parents: int | None = None,
        mutation: float | None = None,
        step: float = STEP,
    ) -> None:
        parents = min(PARENTS, population) if parents is None else parents
        mutation = 1.0 / len(space) if mutation is None else mutation
        _check_options(population, parents, mutation, step)
        self._space, self._seed = space, seed
        self._population, self._parents = population, parents
        self._mutation, self._step = mutation, step
        self._is_choice = [isinstance(one.range, Choice) for one in space.dimensions]
        self._told: dict[int, TrialRecord] = {}
        self._generation, self._pool = 0, list[TrialRecord]()  # of the newest generation bred
        self._points: dict[int, tuple[float, ...]] = {}  # every proposed point, by number
        self._seen: set[tuple[float, ...]] = set()

    @property
    def total(self) -> None:
        return None

    @property
    def options(self) -> Mapping[str, int | float]:
        return {
            "population": self._population,
            "parents": self._parents,
            "mutation": self._mutation,
            "step": self._step,
        }

    @property
    def generation(self) -> int:
        return self._population

    def ask(self, count: int) -> list[Proposal]:
        start = len(self._points)
        generation = start // self._population
        stop = min(start + count, (generation + 1) * self._population)
        if generation != self._generation:
            self._generation, self._pool = generation, self.parents_of(generation)
        proposals: list[Proposal] = []
        for number in range(start, stop):
            values = self._propose(number, self._pool)
            if values is None:
                break
            self._remember(number, values)
            proposals.append(Proposal(number=number, values=values))
        return proposals

    def tell(self, trials: Sequence[TrialRecord]) -> None:
        for trial in trials:
            self._told[trial.number] = trial
            if trial.number not in self._points:
                self._remember(trial.number, trial.values)

    def parents_of(self, generation: int) -> list[TrialRecord]:
        """The trials that generation breeds from, best first; none for generation 0.

        Raises ValueError if an earlier trial was asked for and not told.
        """
        # The parents of a generation before it stand for all trials up to that one.
        known, pool = (self._generation, self._pool) if generation > self._generation else (0, [])
        numbers = range(known * self._population, generation * self._population)
        missing = next((number for number in numbers if number not in self._told), None)
        if missing is not None:
            raise ValueError(
                f"generation {generation} breeds from results: trial {missing} is not told"
            )
        return best_trials([*pool, *(self._told[number] for number in numbers)], self._parents)

    def _remember(self, number: int, values: Mapping[str, Any]) -> None:
        self._points[number] = self._point(values)
        self._seen.add(self._points[number])

    def _point(self, values: Mapping[str, Any]) -> tuple[float, ...]:
        return tuple(round(unit, SAME_POINT_DECIMALS) for unit in self._space.to_unit(values))

    def _propose(self, number: int, pool: Sequence[TrialRecord]) -> Mapping[str, Any] | None:
        """A point that is not among the earlier ones; None if none was found."""
        if number == 0 and self._space.start is not None:
            return self._space.start
        rng = proposal_generator(self._seed, number)
        for _ in range(MUTATION_TRIES if pool else 0):
            values = self._child(rng, pool)
            if self._point(values) not in self._seen:
                return values
        for _ in range(RANDOM_TRIES):
            values = self._space.from_unit(rng.random(len(self._space)).tolist())
            if self._point(values) not in self._seen:
                return values
        return None

    def _child(self, rng: np.random.Generator, pool: Sequence[TrialRecord]) -> Mapping[str, Any]:
        """Crossover of two parents drawn evenly from the pool, then mutation."""
        pair = rng.choice(len(pool), size=2, replace=len(pool) < 2)
        parents = [pool[index].values for index in pair]
        cubes = [self._space.to_unit(values) for values in parents]
        unit: list[float] = []
        # Exact values: to the cube and back they may differ in the last digit.
        inherited: dict[str, Any] = {}
        for index, dimension in enumerate(self._space.dimensions):
            first = int(rng.random() < 0.5)
            mutates, redrawn, moved = rng.random() < self._mutation, rng.random(), rng.normal()
            # a conditional range may exist in one of the parents only, or in neither
            donors = [which for which in (first, 1 - first) if dimension.name in parents[which]]
            if not donors or (mutates and self._is_choice[index]):
                unit.append(redrawn)
            elif mutates:
                unit.append(reflect(cubes[donors[0]][index] + self._step * moved))
            else:
                unit.append(cubes[donors[0]][index])
                inherited[dimension.name] = parents[donors[0]][dimension.name]
        values = self._space.from_unit(unit)
        return {name: inherited.get(name, value) for name, value in values.items()}


def _check_options(population: int, parents: int, mutation: float, step: float) -> None:
    if population < 2:
        raise UsageError(
            f"population = {population}: a generation needs at least 2 trials",
            hint=f"Try --population {POPULATION}.",
        )
    if not 2 <= parents <= population:
        raise UsageError(
            f"parents = {parents}: must be between 2 and the population, {population}",
            hint=f"Try --parents {max(2, population // 4)}.",
        )
    if not 0.0 < mutation <= 1.0:
        raise UsageError(
            f"mutation = {mutation}: a probability above 0 and at most 1",
            hint="Leave --mutation out: it is then 1 / the number of ranges.",
        )
    if not step > 0.0:
        raise UsageError(
            f"step = {step}: must be greater than 0, in units of a whole range",
            hint=f"Try --step {STEP}.",
        )
