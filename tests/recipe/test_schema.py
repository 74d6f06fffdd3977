"""The sections: torch's defaults, and a description for every setting."""

from __future__ import annotations

import inspect

import pytest
import torch
from pydantic import ValidationError

from dltune.recipe.schema import Config, DataConfig, SplitConfig, flatten
from dltune.recipe.schema_keys import (
    SUBTABLES,
    known_paths,
    section_names,
    section_variants,
    setting_keys,
)

TORCH_OPTIMIZERS = {
    "adagrad": torch.optim.Adagrad,
    "rmsprop": torch.optim.RMSprop,
    "adadelta": torch.optim.Adadelta,
    "adam": torch.optim.Adam,
    "adamax": torch.optim.Adamax,
    "nadam": torch.optim.NAdam,
    "adamw": torch.optim.AdamW,
}
# How a step is computed, and its sign; decoupled Adam is a name of its own (adamw).
NOT_HYPERPARAMETERS = {
    "self",
    "params",
    "foreach",
    "maximize",
    "capturable",
    "differentiable",
    "fused",
}


@pytest.mark.parametrize("name", TORCH_OPTIMIZERS)
def test_optimizers_have_torchs_hyperparameters_and_defaults(name: str) -> None:
    parameters = inspect.signature(TORCH_OPTIMIZERS[name]).parameters
    expected = {key: p.default for key, p in parameters.items() if key not in NOT_HYPERPARAMETERS}
    if name == "adam":
        expected.pop("decoupled_weight_decay", None)
    defaults = section_variants("optim")[name]().model_dump(exclude={"name"})
    assert defaults == expected


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("sgd", {"lr": 1e-3, "weight_decay": 0.0}),
        ("momentum", {"lr": 1e-3, "weight_decay": 0.0, "momentum": 0.9, "dampening": 0.0}),
        ("nesterov", {"lr": 1e-3, "weight_decay": 0.0, "momentum": 0.9}),
    ],
)
def test_torchs_sgd_has_three_names(name: str, settings: dict[str, float]) -> None:
    assert section_variants("optim")[name]().model_dump(exclude={"name"}) == settings


def test_every_setting_is_described() -> None:
    silent = [
        f"{section}.{key}"
        for section in (*section_names(), *SUBTABLES)
        for model in section_variants(section).values()
        for key, field in setting_keys(model).items()
        if not field.description
    ]
    assert silent == []


def test_sections_and_variants() -> None:
    assert section_names() == (
        "data",
        "model",
        "optim",
        "schedule",
        "regularize",
        "train",
        "objective",
    )
    assert list(section_variants("model")) == ["mlp", "cnn", "factory"]
    assert len(section_variants("optim")) == 10
    assert known_paths()["data.split.train-dev"] == ("",)


@pytest.mark.parametrize(
    ("table", "path", "value"),
    [
        ({"optim": {"lr": 1}}, "optim.lr", 1.0),
        ({"model": {"dropout": [0, 0.5]}}, "model.dropout", [0.0, 0.5]),
        ({"train": {"batch_size": "full"}}, "train.batch_size", "full"),
        ({"model": {"name": "cnn", "padding": 2}}, "model.padding", 2),
        ({"optim": {"betas": [0.8, 0.9]}}, "optim.betas", [0.8, 0.9]),
        ({"data": {"source": "a", "split": {"train-dev": 0.1}}}, "data.split.train-dev", 0.1),
        ({"model": {"factory": "n.py:f", "width": {"deep": 3}}}, "model.width.deep", 3),
        ({"regularize": {"clip_norm": 1}}, "regularize.clip_norm", 1.0),
        ({"regularize": {"max_norm": 3}}, "regularize.max_norm", 3.0),
    ],
)
def test_values_as_they_are_kept(table: dict[str, object], path: str, value: object) -> None:
    config = Config.model_validate({"data": {"source": "a.csv"}} | table)
    assert flatten(config)[path] == value


def test_flat_configs_name_every_setting_once_with_the_kind_first() -> None:
    flat = flatten(Config(data=DataConfig(source="a.csv")))
    assert [path for path in flat if path.startswith("schedule.")] == [
        "schedule.name",
        "schedule.warmup",
    ]
    assert [path for path in flat if path not in known_paths()] == []


def test_a_config_is_frozen() -> None:
    config = Config(data=DataConfig(source="a.csv"))
    with pytest.raises(ValidationError, match="frozen"):
        config.train.epochs = 3  # type: ignore[misc]


def test_shares_that_add_up_to_one_in_decimal_leave_nothing_to_train_on() -> None:
    assert SplitConfig(dev=0.7, test=0.2, train_dev=0.05).train == 0.05
    with pytest.raises(ValidationError, match=r"dev 0\.7 \+ test 0\.2 \+ train-dev 0\.1 must be"):
        SplitConfig(dev=0.7, test=0.2, train_dev=0.1)
