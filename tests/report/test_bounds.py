"""Advice to widen a range at whose end the best trial lies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dltune.recipe.files import parse_recipe
from dltune.recipe.ranges import Int, IntLog, Log, Uniform
from dltune.recipe.recipe import Recipe
from dltune.report.bounds import end_of, find_bound_hits, render_bound_hits, space_edit, widened


def recipe_with(lines: str) -> Recipe:
    return parse_recipe(f'data.source = "sklearn:digits"\n{lines}', folder=Path())


@pytest.mark.parametrize(
    ("range_", "value", "end"),
    [
        pytest.param(Log(1e-4, 1.0), 10**-3.93, "low", id="log, 1.75 % from the lower end"),
        pytest.param(Log(1e-4, 1.0), 10**-3.9, None, id="log, 2.5 % from the lower end"),
        pytest.param(Log(1e-4, 1.0), 0.9, "high", id="log, upper end"),
        pytest.param(Uniform(0.0, 0.5), 0.009, "low", id="uniform, 1.8 %"),
        pytest.param(Uniform(0.0, 0.5), 0.011, None, id="uniform, 2.2 %"),
        pytest.param(Uniform(0.0, 0.5, step=0.25), 0.5, "high", id="step, the last one"),
        pytest.param(Uniform(0.0, 0.5, step=0.25), 0.25, None, id="step, a middle one"),
        pytest.param(Int(1, 1000), 2, None, id="whole numbers are at an end only when equal"),
        pytest.param(IntLog(16, 256), 256, "high", id="whole numbers on a log scale"),
    ],
)
def test_end(range_: Any, value: float, end: str | None) -> None:
    assert end_of(range_, value) == end


@pytest.mark.parametrize(
    ("range_", "end", "wider"),
    [
        pytest.param(Log(1e-4, 1e-1), "low", Log(1e-5, 1e-1), id="log: a decade"),
        pytest.param(Log(1e-3, 1e-1, points=4), "high", Log(1e-3, 1.0, points=4), id="points stay"),
        pytest.param(
            Log(1e-3, 1e-1, per_decade=3),
            "low",
            Log(1e-4, 1e-1, per_decade=3),
            id="points per decade stay",
        ),
        pytest.param(
            Log(1e-3, 1e-1, start=0.01), "high", Log(1e-3, 1.0, start=0.01), id="a start stays"
        ),
        pytest.param(IntLog(4, 128), "low", IntLog(1, 128), id="int_log stops at 1"),
        pytest.param(IntLog(1, 128), "low", None, id="int_log cannot fall below 1"),
        pytest.param(Uniform(0.0, 0.5), "high", Uniform(0.0, 0.75), id="uniform: half its width"),
        pytest.param(
            Uniform(0.0, 0.5, step=0.25), "high", Uniform(0.0, 0.75, step=0.25), id="whole steps"
        ),
        pytest.param(Int(2, 8, step=2), "low", Int(-2, 8, step=2), id="int with a step"),
    ],
)
def test_widened(range_: Any, end: Any, wider: Any) -> None:
    assert widened(range_, end) == wider


def test_advice_can_be_typed() -> None:
    recipe = recipe_with("optim.lr = {log = [1e-4, 1e-1]}\ntrain.batch_size = {int = [16, 64]}")
    hits = find_bound_hits(recipe, {"optim.lr": 0.0973, "train.batch_size": 32})
    assert render_bound_hits(hits) == (
        "best optim.lr = 0.0973 is at the upper end of its range: better may lie beyond\n"
        "  --space optim.lr=log:0.0001:1.0"
    )
    edit = space_edit(hits[0].dimension.name, hits[0].wider)
    edited = parse_recipe(recipe.text, folder=Path(), spaces=[edit])
    assert edited.space.by_name["optim.lr"].range == Log(1e-4, 1.0)


def test_the_name_of_a_conditional_range_is_quoted_for_the_shell() -> None:
    recipe = recipe_with(
        "[optim]\n"
        'choice = [{name = "sgd", lr = {log = [1e-3, 1e-1]}}, '
        '{name = "adam", lr = {log = [1e-4, 1e-1]}}]'
    )
    hits = find_bound_hits(recipe, {"optim": "sgd", "optim[sgd].lr": 1e-3})
    assert render_bound_hits(hits).endswith("\n  --space 'optim[sgd].lr=log:0.0001:0.1'")


@pytest.mark.parametrize(
    ("line", "name", "value"),
    [
        pytest.param("model.dropout = {uniform = [0.0, 0.5]}", "model.dropout", 0.0, id="dropout"),
        pytest.param("model.hidden = [{int_log = [1, 64]}]", "model.hidden.0", 1, id="width 1"),
        pytest.param("train.epochs = {int = [1, 9]}", "train.epochs", 1, id="one epoch"),
        pytest.param(
            'model.activation = {choice = ["relu", "tanh"]}',
            "model.activation",
            "relu",
            id="choice",
        ),
    ],
)
def test_no_advice_where_the_range_cannot_be_widened(line: str, name: str, value: Any) -> None:
    recipe = recipe_with(line)
    assert find_bound_hits(recipe, {name: value}) == []
    assert render_bound_hits([]) == ""


def test_the_other_end_of_the_same_range_can_be_widened() -> None:
    (hit,) = find_bound_hits(
        recipe_with("model.dropout = {uniform = [0.0, 0.5]}"), {"model.dropout": 0.499}
    )
    assert (hit.end, hit.wider) == ("high", Uniform(0.0, 0.75))


@pytest.mark.parametrize(
    ("line", "metric"),
    [
        ("objective.huber_delta = {log = [1e-3, 1.0]}", "dev_loss"),
        ("data.split.dev = {uniform = [0.1, 0.3]}", "dev_error"),
        ("train.seed = {int = [1, 9]}", "dev_error"),
    ],
)
def test_no_advice_where_trials_cannot_be_compared(line: str, metric: str) -> None:
    recipe = recipe_with(f"{line}\noptim.lr = {{log = [1e-4, 1e-1]}}")
    values = {one.name: one.range.low for one in recipe.space.dimensions}  # type: ignore[union-attr]
    hits = find_bound_hits(recipe, values, metric=metric)
    assert [hit.dimension.name for hit in hits] == ["optim.lr"]


def test_advice_on_a_loss_where_errors_are_compared() -> None:
    recipe = recipe_with("objective.huber_delta = {log = [1e-3, 1.0]}")
    hits = find_bound_hits(recipe, {"objective.huber_delta": 1e-3}, metric="dev_error")
    assert [hit.dimension.name for hit in hits] == ["objective.huber_delta"]
