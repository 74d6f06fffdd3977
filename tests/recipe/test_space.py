"""Spaces with and without conditions, and the configs that come of them."""

from __future__ import annotations

import pickle

import pytest

from dltune.errors import RecipeError
from dltune.recipe.files import parse_recipe
from dltune.recipe.ranges import Choice, Int, Log, Uniform
from dltune.recipe.recipe import Recipe
from dltune.recipe.space import Dimension

FLAT = """
[data]
source = "a.csv"
[model]
hidden = [{int = [8, 9]}, 16]
dropout = {uniform = [0, 0.5], points = 2}
[optim]
lr = {log = [1e-3, 1e-1], points = 3}
"""
CONDITIONAL = """
[data]
source = "a.csv"
[optim]
weight_decay = {choice = [0.0, 0.1]}
[[optim.choice]]
name = "sgd"
[[optim.choice]]
name = "adam"
lr = {log = [1e-3, 1e-1], points = 3}
[[optim.choice.choice]]
amsgrad = true
[[optim.choice.choice]]
eps = {log = [1e-8, 1e-4], points = 2}
"""
MIXED = """
[data]
source = "a.csv"
[model]
hidden = {choice = [[{int = [8, 9]}], [16, 16]]}
dropout = {choice = [0, {uniform = [0.1, 0.5], points = 2}]}
"""


def recipe(text: str) -> Recipe:
    return parse_recipe(text, folder=".")


def test_dimensions_are_named_by_dotted_path() -> None:
    assert recipe(FLAT).space.dimensions == (
        Dimension(name="model.hidden.0", path="model.hidden.0", range=Int(8, 9)),
        Dimension(name="model.dropout", path="model.dropout", range=Uniform(0, 0.5, points=2)),
        Dimension(name="optim.lr", path="optim.lr", range=Log(1e-3, 1e-1, points=3)),
    )


def test_dimensions_of_options_know_their_parent() -> None:
    shown = [
        (one.name, one.path, one.parent, one.option) for one in recipe(CONDITIONAL).space.dimensions
    ]
    assert shown == [
        ("optim.weight_decay", "optim.weight_decay", None, None),
        ("optim", "optim", None, None),
        ("optim[adam].lr", "optim.lr", "optim", 1),
        ("optim[adam]", "optim", "optim", 1),
        ("optim[adam][option-1].eps", "optim.eps", "optim[adam]", 1),
    ]
    by_name = recipe(CONDITIONAL).space.by_name
    assert by_name["optim"].range == Choice(("sgd", "adam"))
    assert by_name["optim[adam]"].range == Choice(("option-0", "option-1"))


def test_only_active_dimensions_have_values() -> None:
    space = recipe(CONDITIONAL).space
    assert space.from_unit([0.0, 0.0, 0.5, 0.0, 0.0]) == {
        "optim.weight_decay": 0.0,
        "optim": "sgd",
    }
    assert space.from_unit([0.9, 0.9, 0.5, 0.0, 0.0]) == {
        "optim.weight_decay": 0.1,
        "optim": "adam",
        "optim[adam].lr": 0.01,
        "optim[adam]": "option-0",
    }
    deep = space.from_unit([0.9, 0.9, 0.5, 0.9, 1.0])
    assert deep["optim[adam][option-1].eps"] == 1e-4
    assert space.to_unit(deep) == pytest.approx([0.75, 0.75, 0.5, 0.75, 1.0])
    assert space.to_unit({"optim.weight_decay": 0.0, "optim": "sgd"}) == [0.25, 0.25, 0.5, 0.5, 0.5]


def test_configs_follow_the_chosen_option() -> None:
    conditional = recipe(CONDITIONAL)
    plain = conditional.config({"optim.weight_decay": 0.1, "optim": "sgd"})
    assert plain.optim.model_dump() == {"name": "sgd", "lr": 1e-3, "weight_decay": 0.1}
    deep = conditional.config(conditional.space.from_unit([0.9, 0.9, 0.5, 0.9, 1.0])).optim
    assert (deep.name, deep.lr, deep.weight_decay) == ("adam", 0.01, 0.1)
    assert deep.model_dump()["eps"] == 1e-4


def test_options_may_mix_values_and_ranges() -> None:
    mixed = recipe(MIXED)
    assert [one.name for one in mixed.space.dimensions] == [
        "model.hidden",
        "model.hidden[option-0].0",
        "model.dropout",
        "model.dropout[option-1]",
    ]
    models = [mixed.config(point).model.model_dump() for point in mixed.space.grid()]
    assert [(model["hidden"], model["dropout"]) for model in models] == [
        (hidden, dropout) for hidden in ([8], [9], [16, 16]) for dropout in (0.0, 0.1, 0.5)
    ]


def test_grids_go_through_the_last_dimension_fastest() -> None:
    space = recipe(FLAT).space
    grid = [tuple(point.values()) for point in space.grid()]
    assert grid[:4] == [(8, 0.0, 0.001), (8, 0.0, 0.01), (8, 0.0, 0.1), (8, 0.5, 0.001)]
    assert len(grid) == space.grid_size() == 12


def test_conditional_grids_have_no_points_that_differ_in_nothing() -> None:
    space = recipe(CONDITIONAL).space
    grid = [tuple(point.items()) for point in space.grid()]
    # 2 decays * (sgd + 3 rates of adam * (amsgrad + 2 eps))
    assert len(grid) == len(set(grid)) == space.grid_size() == 2 * (1 + 3 * (1 + 2))
    assert all(space.contains(dict(point)) for point in grid)


def test_a_search_starts_at_the_starts_and_in_the_middle_of_the_other_ranges() -> None:
    text = CONDITIONAL.replace("points = 3}", "points = 3, start = 0.002}")
    # The middle of two options is the second: 0.1, adam, and its choice of eps.
    assert recipe(text).space.start == pytest.approx(
        {
            "optim.weight_decay": 0.1,
            "optim": "adam",
            "optim[adam].lr": 0.002,
            "optim[adam]": "option-1",
            "optim[adam][option-1].eps": 1e-6,
        }
    )
    sgd = text.replace("[optim]\n", '[optim]\nstart = "sgd"\n', 1)
    assert recipe(sgd).space.start == {"optim.weight_decay": 0.1, "optim": "sgd"}
    assert recipe(CONDITIONAL).space.start is None


def test_the_start_of_a_choice_without_names_is_one_of_its_options() -> None:
    text = MIXED.replace("{choice = [0,", "{start = 0, choice = [0,")
    assert recipe(text).space.start == {"model.hidden": "option-1", "model.dropout": "option-0"}


def test_a_point_is_on_the_grid_up_to_rounding() -> None:
    space = recipe(FLAT.replace("log = [1e-3, 1e-1]", "log = [2e-4, 2e-2]")).space
    on_it = {"model.hidden.0": 9, "model.dropout": 0.5, "optim.lr": 0.002}
    assert on_it not in list(space.grid())  # there it is 0.0020000000000000005, or the like
    assert space.grid_has(on_it)
    assert not space.grid_has(on_it | {"optim.lr": 0.0021})
    assert not space.grid_has(on_it | {"model.dropout": 0.25})


def test_a_recipe_without_ranges_is_one_config() -> None:
    plain = recipe("data.source = 'a.csv'")
    assert len(plain.space) == 0
    assert (plain.space.grid_size(), list(plain.space.grid())) == (1, [{}])
    assert plain.config() == plain.config({})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "optim.weight_decay: has no value, but is a range of the recipe"),
        (
            {"optim.weight_decay": 0.1, "optim": "sgd", "train.seed": 1},
            "train.seed: not a range of the recipe",
        ),
        (
            {"optim.weight_decay": 0.1, "optim": "sgd", "optim[adm].lr": 1},
            "optim[adm].lr: not a range of the recipe; did you mean optim[adam].lr?",
        ),
        (
            {"optim.weight_decay": 0.1, "optim": "sgd", "optim[adam].lr": 0.01},
            'optim[adam].lr: has a value, but optim = "sgd" leaves it out',
        ),
        (
            {"optim.weight_decay": 0.2, "optim": "sgd"},
            "optim.weight_decay = 0.2: must lie in its range {choice = [0.0, 0.1]}",
        ),
        (
            {"optim.weight_decay": 0.1, "optim": "adamw"},
            'optim = "adamw": must lie in its range {choice = ["sgd", "adam"]}',
        ),
    ],
)
def test_values_that_do_not_fit(values: dict[str, object], message: str) -> None:
    conditional = recipe(CONDITIONAL)
    with pytest.raises(RecipeError) as caught:
        conditional.config(values)
    assert str(caught.value) == message
    assert not conditional.space.contains(values)


def test_a_recipe_with_ranges_needs_values() -> None:
    with pytest.raises(RecipeError) as caught:
        recipe(FLAT).config()
    assert str(caught.value) == (
        "the recipe has 3 ranges (model.hidden.0, model.dropout, optim.lr), but one value each is "
        "needed here\nFix them with --set model.hidden.0=VALUE --set model.dropout=VALUE "
        "--set optim.lr=VALUE, or run dltune search."
    )


def test_one_range_needs_one_value() -> None:
    with pytest.raises(RecipeError) as caught:
        recipe("data.source = 'a'\ntrain.epochs = {int = [1, 9]}").config()
    assert str(caught.value) == (
        "the recipe has a range (train.epochs), but one value each is needed here\n"
        "Fix them with --set train.epochs=VALUE, or run dltune search."
    )


def test_values_that_clash_only_together_are_refused_by_the_config() -> None:
    # At all-low and all-high the list of dropouts fits; in between it need not.
    clashing = recipe(
        "data.source = 'a'\n[model]\nhidden = {choice = [[8, 8], [9, 9]]}\n"
        "dropout = {choice = [0.1, [0.1, 0.2]]}"
    )
    assert clashing.config({"model.hidden": [9, 9], "model.dropout": [0.1, 0.2]})
    with pytest.raises(RecipeError) as caught:
        recipe(
            "data.source = 'a'\n[data.split]\ndev = {uniform = [0.1, 0.6]}\n"
            "test = {uniform = [0.1, 0.3]}\ntrain-dev = {choice = [0.2, 0.05]}"
        ).config({"data.split.dev": 0.6, "data.split.test": 0.3, "data.split.train-dev": 0.2})
    assert str(caught.value) == (
        "data.split: dev 0.6 + test 0.3 + train-dev 0.2 must be less than 1, so that training data "
        "is left"
    )


def test_points_of_the_cube_must_have_one_coordinate_a_dimension() -> None:
    with pytest.raises(RecipeError, match="2 coordinates for 3 dimensions: must be one a"):
        recipe(FLAT).space.from_unit([0.5, 0.5])


def test_recipes_travel_to_other_processes() -> None:
    conditional = recipe(CONDITIONAL)
    assert pickle.loads(pickle.dumps(conditional)) == conditional
