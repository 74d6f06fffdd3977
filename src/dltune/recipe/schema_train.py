"""The `[regularize]`, `[train]` and `[objective]` sections."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, PlainValidator

from dltune.recipe.section import (
    BelowOne,
    Count,
    NotNegative,
    NotNegativeInt,
    Positive,
    Section,
    refusal,
)


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
    clip_norm: Positive | None = Field(
        default=None, description="gradients are scaled down to this total norm; absent: never"
    )
    clip_value: Positive | None = Field(
        default=None, description="each gradient is cut to plus or minus this; absent: never"
    )
    max_norm: Positive | None = Field(
        default=None,
        description="the weights into each unit are scaled down to this norm; absent: never",
    )
    early_stop: Count | None = Field(
        default=None,
        description="stop after this many epochs without a better objective; absent: never",
    )


def _check_batch_size(value: Any) -> int | str:
    # One check instead of a union, whose errors would name both arms.
    whole = isinstance(value, int) and not isinstance(value, bool) and value >= 1
    if whole or (isinstance(value, str) and value == "full"):
        return value  # type: ignore[no-any-return]
    raise refusal('must be a whole number, at least 1, or "full"')


class TrainConfig(Section):
    """How long and with which batches one model is trained."""

    epochs: Count = Field(default=20, description="passes over the training set")
    batch_size: Annotated[int | Literal["full"], PlainValidator(_check_batch_size)] = Field(
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
