"""`--set` and `--space`, from the text on the command line to the recipe."""

from __future__ import annotations

import shlex

import pytest

from dltune.errors import RecipeError
from dltune.recipe.files import parse_recipe
from dltune.recipe.overrides import parse_override, set_option
from dltune.recipe.ranges import Choice, Int, IntLog, Log, Range, Uniform
from dltune.recipe.schema import flatten

RECIPE = """# housing
[data]
source = "a.csv"

[model]
hidden = [64, {int = [3, 9]}]  # widths

[optim]
weight_decay = 0.1

[[optim.choice]]
name = "sgd"
lr = {log = [1e-4, 1e-1]}  # sgd's

[[optim.choice]]
name = "adam"
"""
SPACE_EXAMPLE = (
    "Write it like --space optim.lr=log:1e-5:1e-1 or --space optim.name=choice:sgd:adam."
)


@pytest.mark.parametrize(
    ("override", "path", "value"),
    [
        ("train.epochs=7", "train.epochs", 7),
        (" train.epochs = 7 ", "train.epochs", 7),
        ("optim.lr=3e-4", "optim.lr", 3e-4),
        ("optim.eps=1E-7", "optim.eps", 1e-7),
        ("model.dropout=.5", "model.dropout", 0.5),
        ("optim.amsgrad=true", "optim.amsgrad", True),
        ("optim.name=adamw", "optim.name", "adamw"),
        ('optim.name="adamw"', "optim.name", "adamw"),
        ("data.source=dir/b c.csv", "data.source", "dir/b c.csv"),
        ("data.source=sklearn:digits", "data.source", "sklearn:digits"),
        ("data.source=a=b.csv", "data.source", "a=b.csv"),
        ("model.hidden=[32, 16]", "model.hidden", [32, 16]),
        ("optim.betas=[0.8, 0.9]", "optim.betas", [0.8, 0.9]),
        ("data.split.train-dev=0.1", "data.split.train-dev", 0.1),
        ("data.split={dev = 0.1, test = 0.3}", "data.split.test", 0.3),
        ("optim={name = 'sgd', lr = 0.5}", "optim.lr", 0.5),
        ("schedule.name=cosine", "schedule.name", "cosine"),
    ],
)
def test_set(override: str, path: str, value: object) -> None:
    recipe = parse_recipe('data.source = "a.csv"', folder=".", overrides=[override])
    assert flatten(recipe.config())[path] == value
    assert parse_recipe(recipe.text, folder=".") == recipe


def test_later_overrides_win() -> None:
    recipe = parse_recipe(
        'data.source = "a.csv"',
        folder=".",
        overrides=["train.epochs=7", "train.epochs=8", "optim.lr=0.1"],
        spaces=["optim.lr=uniform:0.1:0.2"],
    )
    assert recipe.table["train"] == {"epochs": 8}
    assert recipe.space.dimensions[0].range == Uniform(0.1, 0.2)


@pytest.mark.parametrize(
    ("override", "values"),
    [
        ("optim.lr=log:1e-5:1e-1", Log(1e-5, 1e-1)),
        ("optim.lr=log:1e-5:1e-1:points=9", Log(1e-5, 1e-1, points=9)),
        ("optim.lr=log:1e-5:1e-1:per_decade=2", Log(1e-5, 1e-1, per_decade=2)),
        ("model.dropout=uniform:0:.5:step=0.1", Uniform(0, 0.5, step=0.1)),
        ("train.epochs=int:1:9:step=2", Int(1, 9, step=2)),
        ("train.batch_size=int_log:16:512", IntLog(16, 512)),
        ("model.activation=choice:relu:gelu", Choice(("relu", "gelu"))),
        ("model.batch_norm=choice:true:false", Choice((True, False))),
        ("model.hidden=choice:[64]:[64, 64]", Choice(([64], [64, 64]))),
        ("train.batch_size=choice:32:full", Choice((32, "full"))),
        ("optim.lr=log:1e-5:1e-1:start=1e-3", Log(1e-5, 1e-1, start=1e-3)),
        ("optim.lr=log:1e-5:1e-1:points=9:start=.1", Log(1e-5, 1e-1, points=9, start=0.1)),
        ("model.activation=choice:relu:gelu:start=relu", Choice(("relu", "gelu"), "relu")),
        ("model.hidden=choice:[64]:[64, 64]:start=[64]", Choice(([64], [64, 64]), [64])),
        ('data.target=choice:a=b:"start=a"', Choice(("a=b", "start=a"))),
    ],
)
def test_space(override: str, values: Range) -> None:
    recipe = parse_recipe('data.source = "a.csv"', folder=".", spaces=[override])
    (dimension,) = recipe.space.dimensions
    assert (dimension.name, dimension.range) == (override.partition("=")[0], values)


def test_a_range_may_be_set_as_its_table() -> None:
    override = "optim.lr={log = [1e-5, 1e-1]}"
    recipe = parse_recipe('data.source = "a.csv"', folder=".", overrides=[override])
    assert recipe.space.dimensions[0].range == Log(1e-5, 1e-1)


def test_a_start_may_be_set_alone() -> None:
    text = (
        'data.source = "a.csv"\noptim.lr = {log = [1e-5, 1e-1]}  # rate\n'
        "model.hidden = [{int = [1, 9]}]\n"
    )
    overrides = ["optim.lr.start=1e-3", "model.hidden.0.start=4"]
    recipe = parse_recipe(text, folder=".", overrides=overrides)
    assert [one.range.start for one in recipe.space.dimensions] == [1e-3, 4]
    assert "# rate" in recipe.text


def test_the_start_of_a_choice_of_tables_stands_beside_it() -> None:
    text = (
        'data.source = "a.csv"\n[[optim.choice]]\nname = "sgd"\nlr = {log = [0.01, 1.0]}\n'
        '[[optim.choice]]\nname = "adam"\nlr = {log = [1e-4, 0.1]}\n'
    )
    overrides = ["optim.start=adam", "optim[adam].lr.start=1e-3"]
    recipe = parse_recipe(text, folder=".", overrides=overrides)
    assert recipe.table["optim"]["start"] == "adam"
    assert recipe.space.start == {"optim": "adam", "optim[adam].lr": 1e-3}


def test_the_start_of_one_cycle_is_a_setting_as_before() -> None:
    text = (
        'data.source = "a.csv"\n[schedule]\nstart = 0.1\n[[schedule.choice]]\n'
        'name = "one-cycle"\n[[schedule.choice]]\nname = "one-cycle"\nend = 0.01\n'
    )
    recipe = parse_recipe(text, folder=".", overrides=["schedule.start=0.2"])
    assert recipe.space.start is None
    assert {recipe.config(one).schedule.start for one in recipe.space.grid()} == {0.2}


def test_a_setting_below_a_choice_of_tables_is_set_in_every_option() -> None:
    recipe = parse_recipe(RECIPE, folder=".", overrides=["optim.lr=0.5"])
    assert recipe.table["optim"]["choice"] == [
        {"name": "sgd", "lr": 0.5},
        {"name": "adam", "lr": 0.5},
    ]
    assert "lr = 0.5  # sgd's" in recipe.text


def test_a_shared_setting_stays_shared() -> None:
    recipe = parse_recipe(RECIPE, folder=".", overrides=["optim.weight_decay=0.2"])
    assert recipe.table["optim"]["weight_decay"] == 0.2
    assert recipe.table["optim"]["choice"][1] == {"name": "adam"}


def test_one_option_is_addressed_by_its_label() -> None:
    recipe = parse_recipe(
        RECIPE,
        folder=".",
        overrides=["optim[adam].lr=0.5", "model.hidden.1=7"],
        spaces=["optim[sgd].lr=log:1e-3:1"],
    )
    assert recipe.table["optim"]["choice"][1] == {"name": "adam", "lr": 0.5}
    assert recipe.table["model"]["hidden"] == [64, 7]
    assert [one.name for one in recipe.space.dimensions] == ["optim", "optim[sgd].lr"]


def test_comments_and_layout_survive() -> None:
    recipe = parse_recipe(RECIPE, folder=".", overrides=["model.hidden.1=7", "train.epochs=3"])
    expected = RECIPE.replace("{int = [3, 9]}", "7") + "\n[train]\nepochs = 3\n"
    assert recipe.text == expected


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optim.lr", '--set "optim.lr": must be key=value\nWrite it like --set optim.lr=3e-4.'),
        ("optim.lr=", '--set "optim.lr=": must be key=value\nWrite it like --set optim.lr=3e-4.'),
        ("=3", '--set "=3": must be key=value\nWrite it like --set optim.lr=3e-4.'),
        (".lr=3", '".lr" is not the name of a setting, which looks like optim.lr'),
        ("optim[sgd]x=3", '"optim[sgd]x" is not the name of a setting, which looks like optim.lr'),
        ("model.hiden=[3]", "model.hiden: unknown key; did you mean model.hidden?"),
        ("moddel.hidden=[3]", "moddel: unknown key; did you mean model?"),
        ("lr=3", "lr: unknown key; did you mean optim.lr?"),
        (
            "optim.lrr=3",
            "optim[sgd].lrr: unknown key; did you mean optim.lr?\n"
            "optim[adam].lrr: unknown key; did you mean optim.lr?",
        ),
        (
            "optim.amsgrad=true",
            "optim[sgd].amsgrad: not a setting of sgd; adam, adamw have it",
        ),
        (
            "optim[sdg].lr=3",
            "optim[sdg].lr: optim has the options sgd, adam; did you mean [sgd]?",
        ),
        (
            "model[mlp].hidden=[3]",
            "model[mlp].hidden: model is not a choice of tables, and has no [mlp]",
        ),
        (
            "model.hidden.7=3",
            "model.hidden.7: model.hidden is a list of 2; write the place of an item, from 0, "
            "after it",
        ),
        ("data.source.x=3", "data.source.x: data.source is a value, and has no key x"),
        ("train.epochs=[3", 'train.epochs = "[3": must be a whole number'),
        ("train.epochs=1\nseed=2", 'train.epochs = "1\\nseed=2": must be a whole number'),
        ("train.epochs='3'", 'train.epochs = "3": must be a whole number; drop the quotes'),
    ],
)
def test_what_set_refuses(override: str, message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        parse_recipe(RECIPE, folder=".", overrides=[override])
    assert str(caught.value) == message


def test_another_optimizer_must_know_the_keys_of_the_recipe() -> None:
    text = 'data.source = "a.csv"\n[optim]\nname = "momentum"\nmomentum = 0.8\n'
    with pytest.raises(RecipeError) as caught:
        parse_recipe(text, folder=".", overrides=["optim.name=adam"])
    assert str(caught.value) == (
        "optim.momentum: not a setting of adam; momentum, nesterov, rmsprop have it"
    )


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optim.lr", f'--space "optim.lr": must be key=kind:low:high\n{SPACE_EXAMPLE}'),
        ("optim.lr=", f'--space "optim.lr=": must be key=kind:low:high\n{SPACE_EXAMPLE}'),
        (
            "optim.lr=lgo:1:2",
            "optim.lr: lgo is not a kind of range; kinds are log, uniform, int, int_log, choice; "
            f"did you mean log?\n{SPACE_EXAMPLE}",
        ),
        (
            "optim.lr=log:0:1",
            "optim.lr: log = [0, 1]: a log range needs low > 0; bounds are values, not exponents\n"
            f"{SPACE_EXAMPLE}",
        ),
        (
            "optim.lr=log:1",
            "optim.lr = {log = [1]}: must hold two bounds [low, high], as in "
            f"{{log = [1e-5, 1e-1]}}\n{SPACE_EXAMPLE}",
        ),
        (
            "optim.lr=log:a:b",
            f'optim.lr: log = ["a", "b"]: bounds must be finite numbers\n{SPACE_EXAMPLE}',
        ),
        (
            "train.epochs=int:1:9:stp=2",
            "train.epochs = {int = [1, 9], stp = 2}: unknown key stp; did you mean step?\n"
            f"{SPACE_EXAMPLE}",
        ),
        (
            "train.epochs=choice",
            f"train.epochs: a choice needs at least one option\n{SPACE_EXAMPLE}",
        ),
        ("train.epoks=int:1:9", "train.epoks: unknown key; did you mean train.epochs?"),
        (
            "model.dropout=uniform:0:1",
            "model.dropout = {uniform = [0.0, 1.0]}: its bound 1.0 must be a number from 0 up to "
            "but without 1, or a list of them (one a layer)",
        ),
    ],
)
def test_what_space_refuses(override: str, message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        parse_recipe(RECIPE, folder=".", spaces=[override])
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("value", "typed"),
    [
        ("price", "--set data.target=price"),
        ("two words", "--set 'data.target=\"two words\"'"),
        ("true", "--set 'data.target=\"true\"'"),
        ("2024", "--set 'data.target=\"2024\"'"),
    ],
)
def test_what_is_to_be_typed_is_read_back(value, typed):
    assert set_option("data.target", value) == typed
    assert parse_override(shlex.split(typed)[1]) == ("data.target", value)


def test_lists_are_read_back():
    names = ['a "quoted" name', "it's", "ä", "a\nb\x1b\x7f"]
    assert parse_override(shlex.split(set_option("data.drop", names))[1]) == ("data.drop", names)
