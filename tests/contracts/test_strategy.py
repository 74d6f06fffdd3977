"""The contract that every search strategy keeps; no test here knows which one it tests."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dltune.recipe.files import parse_recipe
from dltune.recipe.space import Space
from dltune.runs.about import About
from dltune.runs.journal import JournalFile
from dltune.search.strategies.base import Proposal, Strategy
from dltune.search.strategies.registry import STRATEGIES, build_strategy
from dltune.training.history import TrialRecord, TrialState

WITH_CHANCE = ["evolution", "pbt", "random", "random around starts"]
WITHOUT_CHANCE = ["grid"]
# A strategy under options that are not its defaults, where a space has what they need.
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "random around starts": ("random", {"prior": 0.5})
}

SPACES = {
    "every kind of range": """
        data.source = "sklearn:digits"
        model.activation = {choice = ["relu", "gelu", "tanh"]}
        model.dropout = {uniform = [0.0, 0.5], step = 0.1}
        optim.lr = {log = [1e-5, 1e-1], points = 3}
        train.epochs = {int = [2, 8], step = 2}
        train.batch_size = {int_log = [16, 512], points = 3}
        """,
    "lists": """
        data.source = "sklearn:digits"
        model.hidden = {choice = [[64], [64, 32], [128, 128, 128]]}
        regularize.label_smoothing = {uniform = [0.0, 0.2], points = 3}
        optim.lr = {log = [1e-4, 1e-1], points = 5}
        """,
    "choice of tables": """
        data.source = "sklearn:digits"
        model.dropout = {uniform = [0.0, 0.5], points = 2}
        [[optim.choice]]
        name = "momentum"
        lr = {log = [1e-3, 1.0], points = 4}
        momentum = {uniform = [0.5, 0.99], points = 2}
        [[optim.choice]]
        name = "adam"
        lr = {log = [1e-5, 1e-1], points = 6}
        [[optim.choice]]
        name = "sgd"
        """,
    "starts": """
        data.source = "sklearn:digits"
        model.activation = {choice = ["relu", "gelu", "tanh"], start = "gelu"}
        model.dropout = {uniform = [0.0, 0.5], points = 2}
        train.batch_size = {int_log = [16, 512], points = 3, start = 100}
        [optim]
        start = "momentum"
        [[optim.choice]]
        name = "momentum"
        lr = {log = [1e-3, 1.0], points = 4, start = 0.05}
        momentum = {uniform = [0.5, 0.99], points = 2}
        [[optim.choice]]
        name = "adam"
        lr = {log = [1e-5, 1e-1], points = 6, start = 1e-3}
        """,
}
Builder = Callable[..., Strategy]
TRIALS = 40  # with populations of 16: two generations, and a part of the third


@pytest.fixture(params=SPACES, name="space")
def fixture_space(request: pytest.FixtureRequest) -> Space:
    text = "\n".join(line.strip() for line in SPACES[request.param].splitlines())
    return parse_recipe(text, folder=Path()).space


@pytest.fixture(params=[*WITH_CHANCE, *WITHOUT_CHANCE], name="variant")
def fixture_variant(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(name="name")
def fixture_name(variant: str) -> str:
    return VARIANTS.get(variant, (variant, {}))[0]


@pytest.fixture(name="build")
def fixture_build(variant: str, name: str, space: Space) -> Builder:
    """Builds the strategy for a space and a seed."""
    options = VARIANTS.get(variant, (variant, {}))[1] if space.start is not None else {}
    return functools.partial(build_strategy, name, **options)


def result_of(space: Space, proposal: Proposal) -> TrialRecord:
    """A made-up trial: a bowl in the unit cube, with failures among them."""
    failed = proposal.number % 7 == 3
    bowl = sum((unit - 0.3) ** 2 for unit in space.to_unit(proposal.values))
    return TrialRecord(
        number=proposal.number,
        seed=proposal.number,
        state=TrialState.FAILED if failed else TrialState.COMPLETE,
        reason="out of memory" if failed else "",
        objective=None if failed else bowl,
        values=proposal.values,
    )


def search(
    strategy: Strategy, space: Space, trials: int = TRIALS, at_a_time: int = TRIALS
) -> tuple[list[Proposal], list[TrialRecord]]:
    """What a study does with a strategy."""
    proposals: list[Proposal] = []
    results: list[TrialRecord] = []
    while len(proposals) < trials:
        asked = strategy.ask(min(at_a_time, trials - len(proposals)))
        if not asked:
            break
        told = [result_of(space, proposal) for proposal in asked]
        strategy.tell(told)
        proposals += asked
        results += told
    return proposals, results


def test_every_strategy_is_in_the_lists_here() -> None:
    assert {*WITH_CHANCE, *WITHOUT_CHANCE} - {*VARIANTS} == set(STRATEGIES)


def test_proposals_are_numbered_from_0_and_inside_the_space(build: Builder, space: Space) -> None:
    proposals, _ = search(build(space, seed=1), space)
    assert len(proposals) >= 24
    assert [proposal.number for proposal in proposals] == list(range(len(proposals)))
    assert [proposal for proposal in proposals if not space.contains(proposal.values)] == []


def test_no_more_proposals_than_asked_for_or_than_there_are(build: Builder, space: Space) -> None:
    strategy = build(space, seed=1)
    assert len(strategy.ask(3)) == 3
    if strategy.total is not None:
        proposals, _ = search(build(space, seed=1), space, strategy.total + 10)
        assert len(proposals) == strategy.total


def test_same_seed_same_proposals(build: Builder, space: Space) -> None:
    first, _ = search(build(space, seed=5), space)
    second, _ = search(build(space, seed=5), space)
    assert first == second


@pytest.mark.parametrize("variant", WITH_CHANCE)
def test_another_seed_gives_other_proposals(build: Builder, space: Space) -> None:
    first, _ = search(build(space, seed=5), space)
    second, _ = search(build(space, seed=6), space)
    assert first != second


def test_asking_one_by_one_changes_nothing(build: Builder, space: Space) -> None:
    at_once, _ = search(build(space, seed=2), space, trials=10)
    strategy = build(space, seed=2)
    one_by_one = [strategy.ask(1)[0] for _ in range(10)]
    told_at_once, _ = search(build(space, seed=2), space)
    told_one_by_one, _ = search(build(space, seed=2), space, at_a_time=1)
    told_by_seven, _ = search(build(space, seed=2), space, at_a_time=7)
    assert one_by_one == at_once
    assert told_at_once == told_one_by_one == told_by_seven


def test_replay_from_the_store_equals_live_wherever_it_is_cut(
    build: Builder, name: str, space: Space, tmp_path: Path
) -> None:
    strategy = build(space, seed=3)
    live, results = search(strategy, space)
    journal = JournalFile(tmp_path / "study.journal", "replay")
    about = About(command="search", strategy=name, options=strategy.options, seed=3, trials=TRIALS)
    journal.create(about.to_attributes())
    journal.append(results, space)
    attributes, seen = journal.read()
    stored = About.from_attributes(attributes)
    for cut in range(len(live) + 1):
        resumed = build_strategy(stored.strategy, space, stored.seed, **stored.options)
        resumed.tell(seen[:cut])
        rest, _ = search(resumed, space, trials=len(live) - cut)
        assert rest == live[cut:]


def test_options_hold_every_default(build: Builder, space: Space) -> None:
    strategy = build(space, seed=4)
    again = build(space, seed=4, **strategy.options)
    assert again.options == strategy.options
    assert search(again, space) == search(strategy, space)


def test_results_without_an_objective_are_taken(build: Builder, space: Space) -> None:
    strategy = build(space, seed=7)
    for _ in range(3):
        asked = strategy.ask(8)
        assert all(space.contains(proposal.values) for proposal in asked)
        strategy.tell(
            [
                TrialRecord(number=one.number, seed=0, state=TrialState.FAILED, values=one.values)
                for one in asked
            ]
        )
