"""Grid search: where a start comes in."""

from __future__ import annotations

from pathlib import Path

import pytest

from dltune.recipe.files import parse_recipe
from dltune.recipe.space import Space
from dltune.search.strategies.grid import GridSearch

PLAIN = """\
data.source = "a.csv"
optim.lr = {log = [2e-4, 2e-2], points = 3}
model.activation = {choice = ["relu", "gelu"]}
"""


def space_with(start: str) -> Space:
    text = PLAIN.replace("points = 3", f"points = 3, start = {start}")
    return parse_recipe(text, folder=Path()).space


def test_a_start_beside_the_grid_is_one_more_trial_and_the_first() -> None:
    plain = list(parse_recipe(PLAIN, folder=Path()).space.grid())
    strategy = GridSearch(space_with("0.001"), seed=0)
    assert strategy.total == len(plain) + 1 == 7
    first, *others = (one.values for one in strategy.ask(100))
    # The range without a start is in its middle.
    assert first == {"optim.lr": 0.001, "model.activation": "gelu"}
    assert others == plain


@pytest.mark.parametrize("start", ["0.002", "2e-4", "2e-2"])
def test_a_start_on_the_grid_changes_nothing(start: str) -> None:
    plain = list(parse_recipe(PLAIN, folder=Path()).space.grid())
    strategy = GridSearch(space_with(start), seed=0)
    assert strategy.total == 6
    assert [one.values for one in strategy.ask(100)] == plain
