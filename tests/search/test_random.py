"""Random search: which trials are drawn around the starts of ranges, and how."""

from __future__ import annotations

import math
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest

from dltune.errors import UsageError
from dltune.recipe.files import parse_recipe
from dltune.recipe.ranges import Choice, Log, Range, Uniform
from dltune.recipe.space import Dimension, Space
from dltune.search.strategies.random import SPREAD, START_SHARE, RandomSearch, around_start

DRAWS = 4000
PLAIN = 'data.source = "a.csv"\noptim.lr = {log = [1e-5, 1e-1]}\ntrain.epochs = {int = [1, 9]}\n'
STARTS = PLAIN.replace("1e-1]", "1e-1], start = 1e-4")


def space_of(text: str) -> Space:
    return parse_recipe(text, folder=Path()).space


def units_of(range_: Range) -> list[float]:
    """Coordinates drawn around the start of a range."""
    dimension = Dimension(name="one", path="one", range=range_)
    rng = np.random.default_rng(0)
    return [around_start(dimension, rng.random(), rng) for _ in range(DRAWS)]


def test_only_trial_0_is_another_where_a_range_has_a_start() -> None:
    plain, started = RandomSearch(space_of(PLAIN), 3).ask(20), RandomSearch(space_of(STARTS), 3)
    first, *others = started.ask(20)
    assert first.values == {"optim.lr": 1e-4, "train.epochs": 5}
    assert others == plain[1:]
    assert started.options == {}


@pytest.mark.parametrize("prior", [0.1, 0.5, 0.9])
def test_so_many_trials_are_drawn_around_the_starts_and_the_others_stay(prior: float) -> None:
    evenly = RandomSearch(space_of(STARTS), 3).ask(1000)
    drawn = RandomSearch(space_of(STARTS), 3, prior=prior).ask(1000)
    moved = [one.number for one, other in zip(drawn, evenly, strict=True) if one != other]
    assert 0 not in moved
    spread = math.sqrt(prior * (1 - prior) * 999)
    assert abs(len(moved) - prior * 999) < 3 * spread
    # Of a moved trial, the range without a start has its even draw.
    assert all(drawn[n].values["train.epochs"] == evenly[n].values["train.epochs"] for n in moved)


@pytest.mark.parametrize(
    ("range_", "start"),
    [
        pytest.param(Log(1e-4, 1.0, start=1e-2), 0.5, id="in the middle"),
        pytest.param(Log(1e-4, 1.0, start=1e-4), 0.0, id="at a bound"),
        pytest.param(Uniform(0.0, 0.5, start=0.45), 0.9, id="near a bound"),
    ],
)
def test_numbers_come_from_a_normal_truncated_to_the_range(range_: Range, start: float) -> None:
    units = np.sort(units_of(range_))
    normal = NormalDist(start, SPREAD)
    inside = normal.cdf(1.0) - normal.cdf(0.0)
    expected = np.array([(normal.cdf(unit) - normal.cdf(0.0)) / inside for unit in units])
    steps = np.arange(1, DRAWS + 1) / DRAWS
    # Kolmogorov and Smirnov: beyond 1.95 / sqrt(n) with probability 0.001.
    assert np.abs(steps - expected).max() < 1.95 / math.sqrt(DRAWS)
    assert units[0] >= 0.0
    assert units[-1] <= 1.0


def test_a_choice_takes_its_start_in_half_of_the_draws_and_else_any_option() -> None:
    choice = Choice(("relu", "gelu", "tanh", "silu"), "tanh")
    drawn = [choice.from_unit(unit) for unit in units_of(choice)]
    share = (1 - START_SHARE) / 4
    for option in choice.options:
        expected = share + START_SHARE * (option == "tanh")
        spread = math.sqrt(expected * (1 - expected) / DRAWS)
        assert abs(drawn.count(option) / DRAWS - expected) < 3.5 * spread


def test_a_draw_depends_on_the_seed_of_the_study_and_the_number_only() -> None:
    one, other = (RandomSearch(space_of(STARTS), 5, prior=0.5) for _ in range(2))
    other.ask(30)
    assert one.ask(60)[30:] == other.ask(30)
    assert one.options == {"prior": 0.5}


@pytest.mark.parametrize(
    ("text", "prior", "message"),
    [
        pytest.param(
            STARTS,
            1.0,
            "prior = 1.0: a share of the trials above 0 and below 1\nTry --prior 0.25.",
            id="all",
        ),
        pytest.param(
            STARTS,
            0.0,
            "prior = 0.0: a share of the trials above 0 and below 1\nTry --prior 0.25.",
            id="none",
        ),
        pytest.param(
            PLAIN,
            0.5,
            "--prior 0.5 draws trials around the starts of ranges, and no range has one\n"
            "Give one, as in --set optim.lr.start=0.001, or leave --prior out.",
            id="no start",
        ),
        pytest.param(
            'data.source = "a.csv"\n[[optim.choice]]\nname = "sgd"\n[[optim.choice]]\n'
            'name = "adam"\n',
            0.5,
            "--prior 0.5 draws trials around the starts of ranges, and no range has one\n"
            "Give one, as in --set 'optim.start=\"adam\"', or leave --prior out.",
            id="no start of a choice of tables",
        ),
    ],
)
def test_what_a_prior_must_be(text: str, prior: float, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        RandomSearch(space_of(text), 0, prior=prior)
    assert str(caught.value) == message
    options: dict[str, Any] = {} if "--prior" not in message else {"prior": prior}
    typed = message.partition("--set ")[2].partition(",")[0].strip("'")
    if typed:  # what is to be typed does it
        recipe = parse_recipe(text, folder=Path(), overrides=[typed])
        assert RandomSearch(recipe.space, 0, **options).ask(1)[0].values == recipe.space.start
