from __future__ import annotations

from typing import Any

import pytest

from dltune.diagnosis import remedies
from dltune.diagnosis.finding import Edit
from dltune.diagnosis.remedies import edits_for_bias, edits_for_divergence, edits_for_variance
from dltune.diagnosis.settings import Settings
from dltune.recipe.files import parse_recipe
from dltune.recipe.schema import Config, flatten

MLP = {"model": {"name": "mlp", "hidden": [128, 64], "dropout": 0.1}}
CNN = {"model": {"name": "cnn", "filters": [8, 16], "hidden": [32], "dropout": [0.0, 0.4, 0.5]}}
FACTORY = {"model": {"factory": "net.py:build", "units": 40, "layers": 3, "gate": "glu"}}
DATA = {"data": {"source": "sklearn:digits"}}


def config_of(*tables: dict[str, Any]) -> dict[str, Any]:
    merged: dict[str, Any] = dict(DATA)
    for table in tables:
        merged |= table
    return flatten(Config.model_validate(merged))


def settings_of(*tables: dict[str, Any], **more: Any) -> Settings:
    return Settings(config=config_of(*tables), **{"task": "classification"} | more)


def changes(edits: tuple[Edit, ...]) -> dict[str, tuple[Any, Any]]:
    assert len({edit.key for edit in edits}) == len(edits)
    return {edit.key: (edit.before, edit.after) for edit in edits}


def test_bias_of_a_plain_network() -> None:
    assert changes(edits_for_bias(settings_of(MLP), variance_high=False)) == {
        "model.hidden": ([128, 64], [256, 128]),
        "train.epochs": (20, 40),
        "optim.lr": (1e-3, {"log": [1e-4, 1e-2]}),
        "model.batch_norm": (False, True),
    }


def test_variance_of_a_plain_network() -> None:
    assert changes(edits_for_variance(settings_of(MLP))) == {
        "optim.weight_decay": (0.0, 1e-4),
        "model.dropout": (0.1, 0.3),
        "regularize.label_smoothing": (0.0, 0.1),
        "regularize.early_stop": (None, 3),
        "data.split.train-dev": (0.0, 0.1),
    }


def test_one_cycle_has_its_own_warm_up() -> None:
    """It is refused with another, so none is advised."""
    settings = settings_of(MLP, {"schedule": {"name": "one-cycle"}})
    assert "schedule.warmup" not in changes(edits_for_divergence(settings))


def test_divergence_of_a_plain_network() -> None:
    assert changes(edits_for_divergence(settings_of(MLP))) == {
        "optim.lr": (1e-3, 1e-4),
        "regularize.clip_norm": (None, 1.0),
        "schedule.warmup": (0.0, 0.1),
    }


def test_a_training_that_tried_a_tenth_itself_is_not_told_to() -> None:
    settings = settings_of(MLP, {"train": {"on_divergence": "lr/10"}})
    assert list(changes(edits_for_divergence(settings))) == [
        "regularize.clip_norm",
        "schedule.warmup",
    ]


def test_a_convolutional_network_has_filters_and_a_dropout_a_layer() -> None:
    bias = changes(edits_for_bias(settings_of(CNN), variance_high=False))
    assert bias["model.filters"] == ([8, 16], [16, 32])
    assert bias["model.hidden"] == ([32], [64])
    assert bias["model.dropout"] == ([0.0, 0.4, 0.5], [0.0, 0.2, 0.3])
    variance = changes(edits_for_variance(settings_of(CNN)))
    assert variance["model.dropout"] == ([0.0, 0.4, 0.5], [0.2, 0.5, 0.5])


def test_a_network_of_the_users_own_gets_edits_of_the_keys_it_has() -> None:
    bias = changes(edits_for_bias(settings_of(FACTORY), variance_high=False))
    assert set(bias) == {"model.units", "train.epochs", "optim.lr"}
    assert bias["model.units"] == (40, 80)
    variance = changes(edits_for_variance(settings_of(FACTORY)))
    assert "model.dropout" not in variance


@pytest.mark.parametrize("model", [MLP, CNN, FACTORY], ids=["mlp", "cnn", "factory"])
@pytest.mark.parametrize(
    "optim",
    [
        {"optim": {"name": name}}
        for name in ("sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "adamw", "nadam")
    ],
    ids=lambda table: table["optim"]["name"],
)
@pytest.mark.parametrize("task", ["classification", "regression"])
def test_every_edit_gives_a_valid_recipe(
    model: dict[str, Any], optim: dict[str, Any], task: str, tmp_path: Any
) -> None:
    schedule = {"schedule": {"name": "cosine"}}
    settings = settings_of(model, optim, schedule, task=task, epochs=20, best_epoch=20)
    edits = [
        *edits_for_bias(settings, variance_high=False),
        *edits_for_variance(settings),
        *edits_for_divergence(settings),
        *remedies.edits_for_memory(settings),
    ]
    assert len(edits) >= 8
    text = '[data]\nsource = "sklearn:digits"\n'
    overrides = [f"{table}.{key}={value}" for part in (model, optim, schedule)
                 for table, keys in part.items() for key, value in keys.items()]  # fmt: skip
    for edit in edits:
        if isinstance(edit.after, dict):
            low, high = edit.after["log"]
            spaces = [f"{edit.key}=log:{low}:{high}"]
            recipe = parse_recipe(text, folder=tmp_path, overrides=overrides, spaces=spaces)
            assert [dimension.name for dimension in recipe.space.dimensions] == [edit.key]
            assert low < settings.config[edit.key] < high
        else:
            after = str(edit.after).lower() if isinstance(edit.after, bool) else edit.after
            overrides_with = [*overrides, f"{edit.key}={after}"]
            recipe = parse_recipe(text, folder=tmp_path, overrides=overrides_with, spaces=[])
            assert flatten(recipe.config())[edit.key] == edit.after
        assert edit.before == settings.config[edit.key]
        assert edit.after != edit.before
        assert edit.reason


def first_key(settings: Settings, *, variance_high: bool = False) -> str:
    return edits_for_bias(settings, variance_high=variance_high)[0].key


@pytest.mark.parametrize(
    ("tables", "more", "key"),
    [
        pytest.param([MLP], {}, "model.hidden", id="nothing known of the epochs"),
        pytest.param([MLP], {"epochs": 20, "best_epoch": 10}, "model.hidden", id="best halfway"),
        pytest.param([MLP], {"epochs": 20, "best_epoch": 17}, "model.hidden", id="before the end"),
        pytest.param([MLP], {"epochs": 20, "best_epoch": 18}, "train.epochs", id="best at the end"),
        pytest.param([MLP], {"epochs": 5, "best_epoch": 5}, "train.epochs", id="the last of few"),
        pytest.param(
            [{"model": {"dropout": 0.5}}], {}, "model.dropout", id="heavy dropout comes off first"
        ),
        pytest.param(
            [{"optim": {"name": "adam", "weight_decay": 0.01}}], {}, "optim.weight_decay",
            id="heavy decay comes off first",
        ),
        pytest.param(
            [{"optim": {"name": "adamw"}}], {}, "model.hidden", id="adamw defaults"
        ),
        pytest.param(
            [{"optim": {"name": "adamw", "weight_decay": 0.1}}], {}, "optim.weight_decay",
            id="heavy for adamw",
        ),
        pytest.param(
            [{"regularize": {"early_stop": 3}}], {"epochs": 7, "best_epoch": 4},
            "regularize.early_stop", id="stopped by its patience",
        ),
    ],
)  # fmt: skip
def test_what_to_try_first_against_bias(
    tables: list[dict[str, Any]], more: dict[str, Any], key: str
) -> None:
    assert first_key(settings_of(*tables, **more)) == key


def test_regularisation_stays_where_variance_is_high_too() -> None:
    heavy = settings_of({"model": {"dropout": 0.5}})
    assert first_key(heavy, variance_high=True) == "model.hidden"


def test_patience_grows_where_it_cut_the_training_short() -> None:
    stopped = settings_of({"regularize": {"early_stop": 3}}, epochs=7, best_epoch=4)
    edit = edits_for_bias(stopped, variance_high=False)[0]
    assert (edit.before, edit.after) == (3, 6)
    assert edit.reason == "early stopping ended the training after 7 of 20 epochs"


@pytest.mark.parametrize(
    ("hidden", "after"),
    [([], [128]), ([64], [128]), ([1024, 8], [2048, 16]), ([2000, 10], [2000, 10, 10])],
)
def test_wider_up_to_a_bound_then_deeper(hidden: list[int], after: list[int]) -> None:
    edits = changes(edits_for_bias(settings_of({"model": {"hidden": hidden}}), variance_high=False))
    assert edits["model.hidden"] == (hidden, after)


def test_a_single_width_past_the_bound_stays() -> None:
    wide = {"model": {"factory": "net.py:build", "width": 2000}}
    assert "model.width" not in changes(edits_for_bias(settings_of(wide), variance_high=False))


@pytest.mark.parametrize(
    ("activation", "hidden", "after"),
    [
        ("sigmoid", [8, 8], ("sigmoid", "relu")),
        ("tanh", [8, 8], ("tanh", "relu")),
        ("tanh", [8], None),
        ("gelu", [8, 8], None),
    ],
)
def test_a_saturating_activation_in_depth(
    activation: str, hidden: list[int], after: tuple[str, str] | None
) -> None:
    settings = settings_of({"model": {"activation": activation, "hidden": hidden}})
    assert changes(edits_for_bias(settings, variance_high=False)).get("model.activation") == after


def test_plain_descent_gets_momentum() -> None:
    settings = settings_of({"optim": {"name": "sgd"}})
    bias = changes(edits_for_bias(settings, variance_high=False))
    assert bias["optim.name"] == ("sgd", "momentum")


@pytest.mark.parametrize(
    ("decay", "after"),
    [(0.0, 1e-4), (1e-6, 1e-4), (1e-5, 1e-4), (1e-4, 1e-3), (0.003, 0.03), (0.1, 1.0), (0.2, None)],
)
def test_ten_times_the_decay_within_bounds(decay: float, after: float | None) -> None:
    settings = settings_of({"optim": {"name": "adam", "weight_decay": decay}})
    edit = changes(edits_for_variance(settings)).get("optim.weight_decay")
    assert edit == (None if after is None else (decay, after))


@pytest.mark.parametrize(("dropout", "after"), [(0.0, 0.2), (0.3, 0.5), (0.45, 0.5), (0.5, None)])
def test_more_dropout_within_bounds(dropout: float, after: float | None) -> None:
    edit = changes(edits_for_variance(settings_of({"model": {"dropout": dropout}})))
    assert edit.get("model.dropout") == (None if after is None else (dropout, after))


@pytest.mark.parametrize(("epochs", "patience"), [(3, None), (4, 3), (30, 3), (31, 4), (200, 20)])
def test_patience_is_a_tenth_of_the_epochs(epochs: int, patience: int | None) -> None:
    edits = changes(edits_for_variance(settings_of({"train": {"epochs": epochs}})))
    assert edits.get("regularize.early_stop") == (None if patience is None else (None, patience))


def test_a_regression_has_no_labels_to_smooth_and_may_have_outliers() -> None:
    settings = settings_of(MLP, task="regression")
    assert "regularize.label_smoothing" not in changes(edits_for_variance(settings))
    bias = changes(edits_for_bias(settings, variance_high=False))
    assert bias["objective.loss"] == (None, "huber")


def test_what_is_set_already_is_left_alone() -> None:
    settings = settings_of(
        {
            "model": {"batch_norm": True, "dropout": 0.5},
            "regularize": {"clip_norm": 1.0, "early_stop": 5, "label_smoothing": 0.1},
            "schedule": {"warmup": 0.05},
            "data": {"source": "sklearn:digits", "split": {"train-dev": 0.1}},
        }
    )
    assert set(changes(edits_for_variance(settings))) == {"optim.weight_decay"}
    assert set(changes(edits_for_divergence(settings))) == {"optim.lr"}
    assert "model.batch_norm" not in changes(edits_for_bias(settings, variance_high=True))


@pytest.mark.parametrize(("batch", "after"), [(64, 32), (3, 1), (1, None), ("full", None)])
def test_half_the_batch_for_memory(batch: int | str, after: int | None) -> None:
    edits = changes(remedies.edits_for_memory(settings_of({"train": {"batch_size": batch}})))
    assert edits.get("train.batch_size") == (None if after is None else (batch, after))
