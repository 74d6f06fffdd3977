"""Mistakes in ranges and in choices of tables, told in the recipe's words."""

from __future__ import annotations

import pytest

from dltune.errors import RecipeError
from dltune.recipe.files import parse_recipe

DATA = '[data]\nsource = "a.csv"\n'
DROPOUT = "must be a number from 0 up to but without 1, or a list of them (one a layer)"


def mistakes(text: str) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        parse_recipe(text, folder=".")
    return caught.value.found.splitlines()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        # ranges
        (
            "[model]\ndropout = {uniform = [0, 1.5]}",
            f"model.dropout = {{uniform = [0.0, 1.5]}}: its bound 1.5 {DROPOUT}",
        ),
        (
            "[optim]\nbetas = [{uniform = [0.8, 1.2]}, 0.99]",
            "optim.betas.0 = {uniform = [0.8, 1.2]}: its bound 1.2 must be less than 1",
        ),
        (
            "[train]\nepochs = {uniform = [1, 9]}",
            "train.epochs = {uniform = [1.0, 9.0]}: its values must be whole numbers; "
            "use int instead",
        ),
        (
            "[train]\nbatch_size = {log = [1, 9]}",
            "train.batch_size = {log = [1.0, 9.0]}: its values must be whole numbers; "
            "use int_log instead",
        ),
        ("[train]\nepochs = {int = [0, 9]}", "train.epochs = {int = [0, 9]}: its bound 0 must be "),
        (
            "[model]\nactivation = {choice = ['relu', 'glu']}",
            'model.activation = "glu": must be one of "sigmoid", "tanh", "relu", "leaky-relu", '
            '"prelu", "elu", "silu", "swish", "mish", "gelu"; did you mean "gelu"?',
        ),
        (
            "[optim]\nlr = {log = [0, 1]}",
            "optim.lr: log = [0, 1]: a log range needs low > 0; bounds are values, not exponents",
        ),
        (
            "[optim]\nlr = {lgo = [1e-3, 1]}",
            "optim.lr = {lgo = [0.001, 1]}: must be a number or a range; did you mean log, as in "
            "{log = [1e-5, 1e-1]}?",
        ),
        (
            "[optim]\nlr = {loguniform = [1e-3, 1]}",
            "optim.lr = {loguniform = [0.001, 1]}: must be a number or a range; did you mean log,",
        ),
        (
            "[optim]\nlr = {a = 1}",
            "optim.lr = {a = 1}: must be a number or a range, as in {log = [1e-5, 1e-1]}",
        ),
        (
            "[optim]\nlr = {log = [1e-3, 1], uniform = [0, 1]}",
            "optim.lr = {log = [0.001, 1], uniform = [0, 1]}: log and uniform exclude each other",
        ),
        (
            "[optim]\nlr = {log = [1e-3, 1], pts = 3}",
            "optim.lr = {log = [0.001, 1], pts = 3}: unknown key pts; did you mean points?",
        ),
        (
            "[optim]\nlr = {log = [1e-3, 1], step = 3}",
            "optim.lr = {log = [0.001, 1], step = 3}: a log range does not take step; it takes "
            "points, per_decade or start",
        ),
        (
            "[optim]\nlr = {choice = [1], points = 3}",
            "optim.lr = {choice = [1], points = 3}: a choice range does not take points; it takes "
            "start",
        ),
        (
            "[optim]\nlr = {log = [1e-3]}",
            "optim.lr = {log = [0.001]}: must hold two bounds [low, high], as in ",
        ),
        (
            "[optim]\nlr = {choice = 3}",
            "optim.lr = {choice = 3}: must hold a list of options, as in ",
        ),
        (
            "[optim]\nlr = {log = [1e-3, 1], points = 1}",
            "optim.lr: points = 1: must be a whole number from 2 to 1000000",
        ),
        (
            "[optim]\nlr = {log = [1e-3, 1], strat = 0.1}",
            "optim.lr = {log = [0.001, 1], strat = 0.1}: unknown key strat; did you mean start?",
        ),
        # starts
        (
            "[optim]\nlr = {log = [1e-3, 1], start = 2}",
            "optim.lr: start = 2: must lie within the bounds [0.001, 1]; widen them, or write "
            "start = 1",
        ),
        (
            "[optim]\nlr = {log = [1e-3, 1], start = 1e-4}",
            "optim.lr: start = 0.0001: must lie within the bounds [0.001, 1]; widen them, or write "
            "start = 0.001",
        ),
        (
            "[optim]\nlr = {log = [1e-3, 1], start = '0.1'}",
            'optim.lr: start = "0.1": must be a finite number; drop the quotes',
        ),
        (
            "[model]\ndropout = {uniform = [0, 0.5], start = true}",
            "model.dropout: start = true: must be a finite number",
        ),
        (
            "[model]\ndropout = {uniform = [0, 0.5], step = 0.1, start = 0.24}",
            "model.dropout: start = 0.24: must be a whole number of steps from 0.0; did you mean "
            "0.2?",
        ),
        (
            "[train]\nepochs = {int = [2, 8], step = 2, start = 5}",
            "train.epochs: start = 5: must be a whole number of steps from 2; did you mean 6?",
        ),
        (
            "[train]\nepochs = {int = [2, 8], start = 4.0}",
            "train.epochs: start = 4.0: must be a whole number",
        ),
        (
            "[train]\nbatch_size = {int_log = [16, 256], start = 8}",
            "train.batch_size: start = 8: must lie within the bounds [16, 256]; widen them, or "
            "write start = 16",
        ),
        (
            "[model]\nactivation = {choice = ['relu', 'gelu'], start = 'glu'}",
            'model.activation: start = "glu": must be one of the options ["relu", "gelu"]; did you '
            'mean "gelu"?',
        ),
        (
            "[model]\nhidden = {choice = [[64], [64, 32]], start = 64}",
            "model.hidden: start = 64: must be one of the options [[64], [64, 32]]",
        ),
        (
            "[optim]\nstart = 'adm'\n[[optim.choice]]\nname = 'sgd'\n"
            "[[optim.choice]]\nname = 'adam'",
            'optim: start = "adm": must be one of the options ["sgd", "adam"]; did you mean '
            '"adam"?',
        ),
        (
            "[optim]\nstart = 'adam'\nname = 'adam'",
            "optim.start: unknown key; did you mean schedule.start?",
        ),
        # choices of tables
        (
            "[optim]\nchoice = ['sgd', 'adam']",
            'optim: choice option "sgd": must be a table, as [optim] is one; for one key write '
            "optim.name = {choice = [...]}",
        ),
        (
            "[optim]\nlr = 0.1\n[[optim.choice]]\nlr = 0.2",
            "optim: lr is both shared and in choice option 0; keep one",
        ),
        (
            "[[optim.choice]]\nname = 'sgd'\n[[optim.choice]]\nname = 'sgd'",
            'optim: choice option {name = "sgd"} is there twice; keep one',
        ),
        (
            "[[optim.choice]]\nname = 'sgd'\n[[optim.choice]]\nname = 'adam'\nmomentum = 0.9",
            "optim[adam].momentum: not a setting of adam; momentum, nesterov, rmsprop have it",
        ),
        (
            "[optim]\nmomentum = 0.9\n[[optim.choice]]\nname = 'momentum'\n"
            "[[optim.choice]]\nname = 'adam'",
            "optim.momentum: not a setting of adam; momentum, nesterov, rmsprop have it",
        ),
        (
            "[[optim.choice]]\nname = 'sgd'\n[[optim.choice]]\nname = 'adam'\n"
            "eps = {uniform = [-1, 1]}",
            "optim[adam].eps = {uniform = [-1.0, 1.0]}: its bound -1.0 must be greater than 0",
        ),
        (
            "[[model.choice]]\nname = 'mlp'\n[[model.choice]]\nname = 'cnn'\nkernel = 0",
            "model[cnn].kernel = 0: must be at least 1",
        ),
        ("[optim]\n'a.b' = 3", 'optim: key "a.b": keys of a recipe have no dots and no brackets'),
    ],
)
def test_message(text: str, message: str) -> None:
    found = mistakes(DATA + text)
    assert any(line.startswith(message) for line in found), found


def test_ranges_that_only_clash_together_are_refused() -> None:
    text = DATA + "[data.split]\ndev = {uniform = [0.1, 0.6]}\ntest = {uniform = [0.1, 0.6]}"
    assert mistakes(text) == [
        "data.split: dev 0.6 + test 0.6 + train-dev 0 must be less than 1, so that training data "
        "is left"
    ]
