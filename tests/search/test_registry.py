"""Strategies by name, and what is said when there is no such thing."""

from __future__ import annotations

import pytest

from dltune.errors import UsageError
from dltune.recipe.space import Space
from dltune.search.strategies.registry import build_strategy
from tests.search.recipes import small


@pytest.mark.parametrize(
    ("name", "options", "text"),
    [
        pytest.param(
            "rndom",
            {},
            "--strategy rndom: no such strategy; there are evolution, grid, pbt, random\n"
            "Try --strategy random.",
            id="misspelt name",
        ),
        pytest.param(
            "bayes",
            {},
            "--strategy bayes: no such strategy; there are evolution, grid, pbt, random\n"
            "Try --strategy random.",
            id="unknown name",
        ),
        pytest.param(
            "evolution",
            {"populaton": 8},
            "populaton: not an option of the strategy evolution; "
            "its options: population, parents, mutation, step\nDid you mean population?",
            id="misspelt option",
        ),
        pytest.param(
            "random",
            {"population": 8},
            "population: not an option of the strategy random; its options: prior\nLeave it out.",
            id="option of another strategy",
        ),
    ],
)
def test_unknown_names(name: str, options: dict[str, int], text: str) -> None:
    with pytest.raises(UsageError) as caught:
        build_strategy(name, small().space, 0, **options)
    assert str(caught.value) == text


@pytest.mark.parametrize("name", ["evolution", "grid", "random"])
def test_a_space_without_ranges(name: str) -> None:
    with pytest.raises(UsageError) as caught:
        build_strategy(name, Space(()), 0)
    assert str(caught.value) == (
        "the recipe has no range, so there is nothing to search\n"
        "Add one in the recipe, or with --space optim.lr=log:1e-5:1e-1."
    )


def test_the_grid_is_the_points_of_the_space_in_order() -> None:
    space = small().space
    strategy = build_strategy("grid", space, 0)
    assert strategy.total == space.grid_size() == 8
    assert [dict(one.values) for one in strategy.ask(100)] == list(space.grid())
