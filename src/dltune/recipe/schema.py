"""The whole config: the seven sections of a recipe with every range replaced by a value."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from dltune.recipe.schema_data import DataConfig, SplitConfig
from dltune.recipe.schema_model import (
    Activation,
    CnnConfig,
    FactoryConfig,
    MlpConfig,
    ModelConfig,
)
from dltune.recipe.schema_optim import (
    AdadeltaConfig,
    AdagradConfig,
    AdamaxConfig,
    AdamConfig,
    AdamwConfig,
    MomentumConfig,
    NadamConfig,
    NesterovConfig,
    OptimConfig,
    RmspropConfig,
    SgdConfig,
)
from dltune.recipe.schema_schedule import (
    ConstantConfig,
    CosineConfig,
    ExponentialConfig,
    OneCycleConfig,
    ScheduleConfig,
    StepConfig,
)
from dltune.recipe.schema_train import ObjectiveConfig, RegularizeConfig, TrainConfig
from dltune.recipe.section import Section

__all__ = [
    "Activation",
    "AdadeltaConfig",
    "AdagradConfig",
    "AdamConfig",
    "AdamaxConfig",
    "AdamwConfig",
    "CnnConfig",
    "Config",
    "ConstantConfig",
    "CosineConfig",
    "DataConfig",
    "ExponentialConfig",
    "FactoryConfig",
    "MlpConfig",
    "ModelConfig",
    "MomentumConfig",
    "NadamConfig",
    "NesterovConfig",
    "ObjectiveConfig",
    "OneCycleConfig",
    "OptimConfig",
    "RegularizeConfig",
    "RmspropConfig",
    "ScheduleConfig",
    "Section",
    "SgdConfig",
    "SplitConfig",
    "StepConfig",
    "TrainConfig",
    "flatten",
]


class Config(Section):
    """One complete set of hyperparameters; frozen. Only `data` has no default.

    >>> config = Config(data=DataConfig(source="sklearn:digits"))
    >>> config.optim.name, config.optim.lr, config.model.hidden
    ('adam', 0.001, [128, 128])
    """

    data: DataConfig = Field(description="the examples")
    model: ModelConfig = Field(default_factory=MlpConfig, description="the network")
    optim: OptimConfig = Field(default_factory=AdamConfig, description="the optimizer")
    schedule: ScheduleConfig = Field(
        default_factory=ConstantConfig, description="the learning rate over time"
    )
    regularize: RegularizeConfig = Field(
        default_factory=RegularizeConfig, description="what keeps a model from fitting noise"
    )
    train: TrainConfig = Field(default_factory=TrainConfig, description="one training")
    objective: ObjectiveConfig = Field(
        default_factory=ObjectiveConfig, description="what is minimised"
    )


def flatten(config: BaseModel) -> dict[str, Any]:
    """Every hyperparameter by dotted path, in the order of the sections; lists stay lists.

    config  a `Config`, or one section of it. Keys are spelled as in the TOML file ("train-dev").

    >>> flat = flatten(Config(data=DataConfig(source="sklearn:digits")))
    >>> flat["optim.betas"], flat["data.split.train-dev"]
    ([0.9, 0.999], 0.0)
    """
    flat: dict[str, Any] = {}
    _flatten_into(flat, config.model_dump(by_alias=True), "")
    return flat


def _flatten_into(flat: dict[str, Any], table: dict[str, Any], prefix: str) -> None:
    if "name" in table:  # comes first, wherever it stands in the schema
        flat[prefix + "name"] = table["name"]
    for key, value in table.items():
        if isinstance(value, dict):
            _flatten_into(flat, value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = list(value) if isinstance(value, tuple) else value
