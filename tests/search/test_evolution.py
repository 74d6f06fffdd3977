"""The genetic algorithm: what it breeds from, and that it is worth it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

from dltune.errors import UsageError
from dltune.recipe.files import parse_recipe
from dltune.recipe.space import Space
from dltune.search.strategies.base import Proposal, Strategy
from dltune.search.strategies.evolution import POPULATION, Evolution, reflect
from dltune.search.strategies.random import RandomSearch
from dltune.training.history import TrialRecord, TrialState

LOGS = """
data.source = "sklearn:digits"
optim.lr = {log = [1e-5, 1e-1]}
optim.weight_decay = {log = [1e-6, 1e-1]}
train.batch_size = {int_log = [16, 1024]}
"""
BEST = {"optim.lr": 3e-3, "optim.weight_decay": 1e-4, "train.batch_size": 128}


def space_of(text: str) -> Space:
    return parse_recipe(text, folder=Path()).space


def log_sphere(proposal: Proposal) -> float:
    """Squared distance from the best point in decades: smooth on a log scale."""
    return sum(math.log10(proposal.values[name] / best) ** 2 for name, best in BEST.items())


def observed(number: int, values: Mapping[str, Any], objective: float | None) -> TrialRecord:
    return TrialRecord(
        number=number, seed=0, state=TrialState.COMPLETE, values=values, objective=objective
    )


def told(proposals: list[Proposal]) -> list[TrialRecord]:
    return [
        observed(number=one.number, values=one.values, objective=log_sphere(one))
        for one in proposals
    ]


def search(strategy: Strategy, trials: int) -> list[TrialRecord]:
    seen: list[TrialRecord] = []
    while len(seen) < trials:
        observations = told(strategy.ask(trials - len(seen)))
        strategy.tell(observations)
        seen += observations
    return seen


def test_it_beats_random_search_on_a_smooth_function_over_20_seeds() -> None:
    space = space_of(LOGS)
    trials, gap = 6 * POPULATION, {}
    for build in (Evolution, RandomSearch):
        best = [
            min(one.objective or 0.0 for one in search(build(space, seed), trials))
            for seed in range(20)
        ]
        gap[build] = fmean(map(math.log10, best))
    # Measured: 0.95 decades, with a standard error of 0.15.
    assert gap[Evolution] < gap[RandomSearch] - 0.5


def test_generation_0_is_random_search() -> None:
    space = space_of(LOGS)
    assert Evolution(space, 3).ask(100) == RandomSearch(space, 3).ask(POPULATION)


def test_trial_0_is_the_start_and_the_rest_of_its_generation_is_random() -> None:
    plain = space_of(LOGS)
    space = space_of(LOGS.replace("1e-1]}", "1e-1], start = 3e-3}", 1))
    first, *others = Evolution(space, 3).ask(POPULATION)
    assert first.values == space.start
    assert first.values["optim.lr"] == 3e-3
    assert others == Evolution(plain, 3).ask(POPULATION)[1:]


def test_parents_are_the_best_of_all_earlier_generations() -> None:
    strategy = Evolution(space_of(LOGS), 0, population=8, parents=3)
    seen = search(strategy, 24)
    for generation in (1, 2, 3):
        ranked = sorted(seen[: 8 * generation], key=lambda one: one.objective or 0.0)
        assert strategy.parents_of(generation) == ranked[:3]
    assert strategy.parents_of(0) == []


def test_the_next_population_comes_from_the_previous_one() -> None:
    # With the smallest mutation probability, a child's values are its parents' own.
    space = space_of(LOGS)
    strategy = Evolution(space, 0, population=12, parents=4, mutation=1e-12)
    strategy.tell(told(strategy.ask(12)))
    parents = [parent.values for parent in strategy.parents_of(1)]
    bred = strategy.ask(6)
    for child in bred:
        assert child.values not in parents
        assert all(
            value in [parent[name] for parent in parents] for name, value in child.values.items()
        )


def test_a_mutation_moves_by_a_factor_on_a_log_range() -> None:
    space = space_of('data.source = "sklearn:digits"\noptim.lr = {log = [1e-8, 1e0]}')
    strategy = Evolution(space, 0, population=200, parents=2, mutation=1.0, step=0.01)
    strategy.tell(
        [
            observed(
                number=one.number,
                values={"optim.lr": 1e-4},
                objective=0.0 if one.number < 2 else 1.0,
            )
            for one in strategy.ask(200)
        ]
    )
    decades = [math.log10(child.values["optim.lr"] / 1e-4) for child in strategy.ask(200)]
    spread = math.sqrt(fmean(decade**2 for decade in decades))
    # A step of 0.01 of 8 decades is 0.08 decades; the standard error of 200 draws is 5 %.
    assert spread == pytest.approx(0.08, rel=0.15)
    assert abs(fmean(decades)) < 3 * 0.08 / math.sqrt(200)


def test_a_choice_is_drawn_anew_evenly() -> None:
    options = ["relu", "gelu", "tanh", "silu"]
    space = space_of(
        f'data.source = "sklearn:digits"\nmodel.activation = {{choice = {options}}}\n'
        "optim.lr = {log = [1e-5, 1e-1]}"
    )
    strategy = Evolution(space, 1, population=400, parents=2, mutation=1.0)
    strategy.tell(
        [
            observed(
                number=one.number,
                values=dict(one.values) | {"model.activation": "relu"},
                objective=float(one.number),
            )
            for one in strategy.ask(400)
        ]
    )
    drawn = [child.values["model.activation"] for child in strategy.ask(400)]
    # 100 of each are expected, give or take three standard deviations of 8.7.
    assert all(74 <= drawn.count(option) <= 126 for option in options)


def test_no_point_is_proposed_twice_and_a_small_space_ends() -> None:
    text = """
    data.source = "sklearn:digits"
    model.activation = {choice = ["relu", "gelu", "tanh"]}
    train.epochs = {int = [1, 5]}
    """
    strategy = Evolution(space_of("\n".join(map(str.strip, text.splitlines()))), 0, population=4)
    seen: list[tuple[object, ...]] = []
    for _ in range(20):
        asked = strategy.ask(4)
        seen += [tuple(one.values.values()) for one in asked]
        strategy.tell(
            [
                observed(number=one.number, values=one.values, objective=one.number * 1.0)
                for one in asked
            ]
        )
    assert len(seen) == len(set(seen)) == 15  # 3 activations of 5 epochs
    assert strategy.ask(1) == []


def test_failed_trials_do_not_breed() -> None:
    strategy = Evolution(space_of(LOGS), 0, population=4, parents=3)
    strategy.tell(
        [
            observed(number=n, values=one.values, objective=[None, 2.0, math.nan, 1.0][n])
            for n, one in enumerate(strategy.ask(4))
        ]
    )
    assert [parent.number for parent in strategy.parents_of(1)] == [3, 1]


def test_a_generation_waits_for_the_one_before() -> None:
    strategy = Evolution(space_of(LOGS), 0, population=4)
    first = strategy.ask(4)
    strategy.tell(told(first[:3]))
    with pytest.raises(ValueError, match=r"^generation 1 breeds from .* trial 3 is not told$"):
        strategy.ask(1)


@pytest.mark.parametrize(
    ("unit", "folded"),
    [(0.0, 0.0), (1.0, 1.0), (-0.25, 0.25), (1.25, 0.75), (2.5, 0.5), (-1.5, 0.5), (3.25, 0.75)],
)
def test_reflect_is_a_mirror_at_both_bounds(unit: float, folded: float) -> None:
    assert reflect(unit) == folded


@pytest.mark.parametrize(
    ("options", "text"),
    [
        pytest.param(
            {"population": 1},
            "population = 1: a generation needs at least 2 trials\nTry --population 16.",
            id="population",
        ),
        pytest.param(
            {"population": 8, "parents": 9},
            "parents = 9: must be between 2 and the population, 8\nTry --parents 2.",
            id="too many parents",
        ),
        pytest.param(
            {"parents": 1},
            "parents = 1: must be between 2 and the population, 16\nTry --parents 4.",
            id="one parent",
        ),
        pytest.param(
            {"mutation": 0.0},
            "mutation = 0.0: a probability above 0 and at most 1\n"
            "Leave --mutation out: it is then 1 / the number of ranges.",
            id="mutation",
        ),
        pytest.param(
            {"step": 0.0},
            "step = 0.0: must be greater than 0, in units of a whole range\nTry --step 0.1.",
            id="step",
        ),
    ],
)
def test_options_out_of_range(options: dict[str, float], text: str) -> None:
    with pytest.raises(UsageError) as caught:
        Evolution(space_of(LOGS), 0, **options)  # type: ignore[arg-type]
    assert str(caught.value) == text
