"""The `[data]` section: where the examples come from and how they are split and scaled."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from dltune.recipe.section import BelowOne, NotNegativeInt, Section, Text, refusal


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
