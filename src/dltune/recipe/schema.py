"""The whole config: the seven sections of a recipe with every range replaced by a value.

The sections of one kind are here; those of several kinds, told apart by their `name`, are in
`schema_model`, `schema_optim` and `schema_schedule`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from dltune.recipe.replay import Replay, changed, values_at
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
    NewbobConfig,
    OneCycleConfig,
    PiecewiseConfig,
    PlateauConfig,
    ScheduleConfig,
    StepConfig,
)
from dltune.recipe.section import (
    BatchSize,
    BelowOne,
    Count,
    CountOrNever,
    NotNegative,
    NotNegativeInt,
    Positive,
    PositiveOrNever,
    Section,
    Text,
    refusal,
)

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
    "NewbobConfig",
    "ObjectiveConfig",
    "OneCycleConfig",
    "OptimConfig",
    "PiecewiseConfig",
    "PlateauConfig",
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


class SplitConfig(Section):
    """Shares of the examples; what is left is the training set.

    >>> SplitConfig(dev=0.1, test=0.1).train
    0.8
    """

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True)

    dev: Annotated[float, Field(gt=0, lt=1)] = Field(
        default=0.2, description="share on which hyperparameters are chosen"
    )
    test: BelowOne = Field(default=0.2, description="share that is looked at once, at the end")
    train_dev: BelowOne = Field(
        default=0.0,
        validation_alias="train-dev",
        serialization_alias="train-dev",
        description="share of training-like data kept aside, to tell variance from mismatch",
    )
    stratify: bool = Field(
        default=True, description="keep the shares of the classes (classification only)"
    )

    @model_validator(mode="before")
    @classmethod
    def _one_spelling(cls, table: Any) -> Any:
        if isinstance(table, dict) and "train_dev" in table and "train-dev" in table:
            raise refusal("has both train-dev and train_dev; keep train-dev")
        return table

    @model_validator(mode="after")
    def _leaves_training_data(self) -> Self:
        if self.train <= 0:
            taken = f"dev {self.dev:g} + test {self.test:g} + train-dev {self.train_dev:g}"
            raise refusal(f"{taken} must be less than 1, so that training data is left")
        return self

    @property
    def train(self) -> float:
        """Share of the examples to train on, in (0, 1)."""
        # Rounded where decimal shares stop adding up in binary: 1 - (0.7 + 0.2 + 0.1) is not 0.
        return round(1.0 - (self.dev + self.test + self.train_dev), 12)


class DataConfig(Section):
    """The examples: a file, a bundled set or a Python function."""

    source: Text = Field(description='a file ("housing.csv"), "sklearn:digits", or "file.py:load"')
    target: Text | None = Field(default=None, description="column to predict; for tables")
    task: Literal["classification", "regression"] | None = Field(
        default=None,
        description="what is predicted; inferred from the target when absent, and said",
    )
    normalize: Literal["zscore", "minmax", "none"] = Field(
        default="zscore", description="scaling of the features, fitted on the training set only"
    )
    normalize_target: Literal["zscore", "none"] = Field(
        default="zscore", description="scaling of a regression target; losses are in these units"
    )
    split: SplitConfig = Field(default_factory=SplitConfig, description="shares of the examples")
    seed: NotNegativeInt = Field(default=0, description="seed of the split")
    categorical: list[Text] = Field(
        default_factory=list, description="columns to read as categories though they hold numbers"
    )
    drop: list[Text] = Field(default_factory=list, description="columns to leave out")


class RegularizeConfig(Section):
    """What keeps a model from fitting noise, beside dropout (model) and weight decay (optim)."""

    l1: NotNegative = Field(
        default=0.0, description="l1 * sum |w| added to the loss; weights only, no biases, no norms"
    )
    l2: NotNegative = Field(
        default=0.0,
        description="l2 / 2 * sum w^2 added to the loss; weights only, no biases, no norms",
    )
    label_smoothing: BelowOne = Field(
        default=0.0,
        description="share of each label spread evenly over all classes (classification)",
    )
    clip_norm: PositiveOrNever = Field(
        default=None,
        description='gradients are scaled down to this total norm; absent, false or "none": never',
    )
    clip_value: PositiveOrNever = Field(
        default=None,
        description='each gradient is cut to plus or minus this; absent, false or "none": never',
    )
    max_norm: PositiveOrNever = Field(
        default=None,
        description="the weights into each unit are scaled down to this norm; "
        'absent, false or "none": never',
    )
    early_stop: CountOrNever = Field(
        default=None,
        description="stop after this many epochs without a better objective; "
        'absent, false or "none": never',
    )


class TrainConfig(Section):
    """How long and with which batches one model is trained."""

    epochs: Count = Field(default=20, description="passes over the training set")
    batch_size: BatchSize = Field(
        default=64, description='examples a batch, or "full" for the whole training set'
    )
    accumulate: Count = Field(default=1, description="batches whose gradients make one step")
    seed: NotNegativeInt = Field(default=0, description="seed of weights, batches and dropout")
    device: Literal["auto", "cpu", "cuda", "mps"] = Field(
        default="auto", description="where to train; auto takes an accelerator if there is one"
    )
    precision: Literal["float32", "float64", "bfloat16"] = Field(
        default="float32",
        description="of the arithmetic; bfloat16 is autocast, the weights stay float32",
    )
    on_divergence: Literal["stop", "lr/10"] = Field(
        default="stop",
        description="where loss or error is not finite: end, or go on from the last good epoch at "
        "a tenth of the rate",
    )
    compile: bool = Field(
        default=False,
        description="torch.compile the forward pass: minutes at the start, for long trainings",
    )


class ObjectiveConfig(Section):
    """What is minimised, and how good it could get."""

    metric: Literal["dev_error", "dev_loss"] = Field(
        default="dev_error", description="what a search minimises and early stopping watches"
    )
    loss: Literal["cross-entropy", "mse", "mae", "huber"] | None = Field(
        default=None, description="training loss; absent: cross-entropy or mse, by the task"
    )
    huber_delta: Positive = Field(
        default=1.0, description="where huber turns from squared to absolute"
    )
    target_error: NotNegative = Field(
        default=0.0, description="human-level or best known error, for the diagnosis"
    )


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
    replay: Replay = Field(default_factory=dict, description="what changes after given epochs")

    def at(self, epochs: int) -> Config:
        """What a training goes on with once so many epochs are over: see `recipe.replay`."""
        values = values_at(self.replay, epochs)
        return self.model_copy(update=changed(dict(self), values)) if values else self


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
            flat[prefix + key] = _listed(value)


def _listed(value: Any) -> Any:
    return [_listed(one) for one in value] if isinstance(value, (tuple, list)) else value
