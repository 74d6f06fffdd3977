"""Every mistake in a recipe is told in the recipe's words."""

from __future__ import annotations

import shlex

import pytest

from dltune.errors import RecipeError
from dltune.recipe.files import parse_recipe

DATA = '[data]\nsource = "a.csv"\n'
OPTIMIZERS = (
    'must be one of "sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adadelta", "adam", '
    '"adamax", "nadam", "adamw"'
)
DROPOUT = "must be a number from 0 up to but without 1, or a list of them (one a layer)"


def mistakes(text: str) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        parse_recipe(text, folder=".")
    return caught.value.found.splitlines()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        # unknown keys
        ("[optim]\nlrr = 1", "optim.lrr: unknown key; did you mean optim.lr?"),
        ("[optim]\nlearning_rate = 1", "optim.learning_rate: unknown key; did you mean optim.lr?"),
        ("[train]\nlr = 1", "train.lr: unknown key; did you mean optim.lr?"),
        ("[train]\ndrop_out = 1", "train.drop_out: unknown key; did you mean model.dropout?"),
        (
            "[regularize]\nxyz = 1",
            "regularize.xyz: unknown key; regularize has l1, l2, label_smoothing, clip_norm, "
            "clip_value, max_norm, early_stop",
        ),
        ("[optimizer]\nlr = 1", "optimizer: unknown key; did you mean optim?"),
        (
            "[foo]",
            "foo: unknown key; a recipe has data, model, optim, schedule, regularize, train, "
            "objective",
        ),
        (
            "[optim]\nmomentum = 0.9",
            "optim.momentum: not a setting of adam; momentum, nesterov, rmsprop have it",
        ),
        (
            "[optim]\nname = 'sgd'\nrho = 0.9",
            "optim.rho: not a setting of sgd; adadelta has it",
        ),
        (
            "[schedule]\nname = 'cosine'\nevery = 3",
            "schedule.every: not a setting of cosine; step has it",
        ),
        ("[model]\nkernel = 3", "model.kernel: not a setting of mlp; cnn has it"),
        # wrong words
        ("[optim]\nname = 'adma'", f'optim.name = "adma": {OPTIMIZERS}; did you mean "adam"?'),
        ("[optim]\nname = 'xyz'", f'optim.name = "xyz": {OPTIMIZERS}'),
        ("[optim]\nname = 3", f"optim.name = 3: {OPTIMIZERS}"),
        (
            "[schedule]\nname = 'one_cycle'",
            'schedule.name = "one_cycle": must be one of "constant", "step", "exponential", '
            '"cosine", "one-cycle", "piecewise", "plateau", "newbob"; did you mean "one-cycle"?',
        ),
        (
            "[schedule]\nname = 'one-cycle'\nwarmup = 0.1",
            "schedule.warmup = 0.1: must be 0: one-cycle rises by itself, from start to the peak "
            "at the share peak_at; set schedule.peak_at for a longer rise",
        ),
        (
            "[schedule]\nname = 'piecewise'\nat = [5]",
            "schedule: at = [5] and factors = [0.1, 0.01] must be of one length: a factor for each "
            "epoch, such as at = [10, 15] with factors = [0.1, 0.01]",
        ),
        (
            "[schedule]\nname = 'piecewise'\nat = [5, 3]",
            "schedule: at = [5, 3] must ascend, such as [3, 5] with a factor for each",
        ),
        (
            "[model]\nname = 'resnet'",
            'model.name = "resnet": must be one of "mlp", "cnn", or factory = '
            '"file.py:function" instead of a name',
        ),
        (
            "[objective]\nmetric = 'dev-loss'",
            'objective.metric = "dev-loss": must be one of "dev_error", "dev_loss"; '
            'did you mean "dev_loss"?',
        ),
        # wrong types
        ("[optim]\nlr = '1e-4'", 'optim.lr = "1e-4": must be a number; drop the quotes'),
        ("[optim]\nlr = 'big'", 'optim.lr = "big": must be a number'),
        ("[optim]\nlr = true", "optim.lr = true: must be a number"),
        ("[optim]\nlr = nan", "optim.lr = nan: must be a finite number"),
        ("[train]\nepochs = 2.0", "train.epochs = 2.0: must be a whole number; write 2"),
        ("[train]\nepochs = 2.5", "train.epochs = 2.5: must be a whole number"),
        ("[train]\nepochs = true", "train.epochs = true: must be a whole number"),
        (
            "[model]\nbatch_norm = 'True'",
            'model.batch_norm = "True": must be true or false; write true without quotes',
        ),
        ("[model]\nhidden = 64", "model.hidden = 64: must be a list"),
        ("[model]\nhidden = [64, 'a']", 'model.hidden.1 = "a": must be a whole number'),
        ("[data.split]\nstratify = 1", "data.split.stratify = 1: must be true or false"),
        ("[optim]\nbetas = [0.9]", "optim.betas = [0.9]: must be a list of two numbers"),
        ("[optim]\nbetas = 0.9", "optim.betas = 0.9: must be a list of two numbers"),
        (
            "[train]\nbatch_size = 'Full'",
            'train.batch_size = "Full": must be a whole number, at least 1, or "full"',
        ),
        (
            "[train]\nbatch_size = '64'",
            'train.batch_size = "64": must be a whole number, at least 1, or "full"; '
            "drop the quotes",
        ),
        (
            "[model]\nname = 'cnn'\npadding = -1",
            'model.padding = -1: must be "same", "valid" or a whole number of pixels, at least 0',
        ),
        ("[train]\nlr = 1\n[[optim]]\nlr = 1", "optim = [{lr = 1}]: must be a table"),
        # bounds
        ("[optim]\nlr = -1", "optim.lr = -1: must be greater than 0"),
        ("[optim]\nlr = 0", "optim.lr = 0: must be greater than 0"),
        ("[optim]\nweight_decay = -0.1", "optim.weight_decay = -0.1: must be at least 0"),
        ("[optim]\nbetas = [0.9, 1.0]", "optim.betas.1 = 1.0: must be less than 1"),
        ("[train]\nepochs = 0", "train.epochs = 0: must be at least 1"),
        (
            "[schedule]\nname = 'step'\nfactor = 2",
            "schedule.factor = 2: must be at most 1",
        ),
        ("[model]\ndropout = 1", f"model.dropout = 1: {DROPOUT}"),
        (
            "[model]\nname = 'cnn'\nfilters = []",
            "model.filters = []: must have at least 1 item(s)",
        ),
        # rules about several keys
        (
            "[data.split]\ndev = 0.5\ntest = 0.5",
            "data.split: dev 0.5 + test 0.5 + train-dev 0 must be less than 1, so that training "
            "data is left",
        ),
        (
            "[data.split]\ntrain-dev = 0.1\ntrain_dev = 0.1",
            "data.split: has both train-dev and train_dev; keep train-dev",
        ),
        (
            "[model]\ndropout = [0.1]",
            "model: dropout has 1 numbers for 2 hidden layers; must be one number, or one a layer",
        ),
        (
            "[model]\nname = 'mlp'\nfactory = 'net.py:f'",
            "model: has both name and factory; keep one",
        ),
        (
            "[model]\nfactory = 'net.py:f'\nmy-width = 3",
            'model: "my-width" cannot be the name of a Python argument',
        ),
        (
            "[model]\nname = 'factory'",
            'model.factory: missing; give "file.py:function", relative to the recipe',
        ),
    ],
)
def test_message(text: str, message: str) -> None:
    assert any(line.startswith(message) for line in mistakes(DATA + text)), mistakes(DATA + text)


def test_a_recipe_needs_a_source_and_nothing_else() -> None:
    give = 'give a file ("housing.csv"), "sklearn:digits", or "file.py:load"'
    assert mistakes("") == [f"data.source: missing; {give}"]
    assert mistakes("[data]") == [f"data.source: missing; {give}"]
    assert parse_recipe(DATA, folder=".").config().model.name == "mlp"  # type: ignore[union-attr]


def test_all_mistakes_are_told_at_once_and_once() -> None:
    text = """
    [data]
    source = 3
    [model]
    hidden = [{int = [1, 8]}, {int = [1, 8]}]
    [optim]
    lrr = 0.1
    lr = {log = [0, 1]}
    weight_decay = {choice = [0, -1, -2]}
    [train]
    epochs = "20"
    """
    assert mistakes(text) == [
        "optim.lr: log = [0, 1]: a log range needs low > 0; bounds are values, not exponents",
        "data.source = 3: must be text in quotes",
        "optim.lrr: unknown key; did you mean optim.lr?",
        'train.epochs = "20": must be a whole number; drop the quotes',
        "optim.weight_decay = -1: must be at least 0",
        "optim.weight_decay = -2: must be at least 0",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lr = ", "line 1, column 6: not valid TOML: Invalid value"),
        (
            "[optim]\nlr = .9\n",
            "line 2, column 6: not valid TOML: Invalid value; numbers start with a digit, "
            "as in 0.9",
        ),
        (
            "[optim]\nname = adam\n",
            "line 2, column 8: not valid TOML: Invalid value; text needs quotes",
        ),
        (
            "[optim]\namsgrad = True\n",
            "line 2, column 11: not valid TOML: Invalid value; write true",
        ),
        (
            "[data]\na = 1\na = 2\n",
            "line 3, column 6: not valid TOML: Cannot overwrite a value",
        ),
    ],
)
def test_broken_toml_names_line_and_column(text: str, message: str) -> None:
    assert mistakes(text) == [message]


@pytest.mark.parametrize(
    ("typed", "text"),
    [
        (
            "data.target=2021",
            "data.target = 2021: must be text in quotes, as in --set 'data.target=\"2021\"'",
        ),
        (
            "data.drop=[a, b]",
            'data.drop = "[a, b]": must be a list, as in --set \'data.drop=["a", "b"]\'',
        ),
        ("data.drop=a", 'data.drop = "a": must be a list, as in --set \'data.drop=["a"]\''),
        (
            "data.categorical=[2021]",
            "data.categorical.0 = 2021: must be text in quotes, as in "
            "--set 'data.categorical=[\"2021\"]'",
        ),
    ],
)
def test_names_of_columns_as_a_shell_leaves_them(typed: str, text: str) -> None:
    with pytest.raises(RecipeError) as refused:
        parse_recipe(DATA, folder=".", overrides=[typed])
    assert text in str(refused.value)
    advised = shlex.split(text[text.index("--set ") :])[1]
    parse_recipe(DATA, folder=".", overrides=[advised])
