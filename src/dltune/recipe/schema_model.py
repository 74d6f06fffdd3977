"""The `[model]` section: a built-in network by name, or a function of the user's."""

from __future__ import annotations

import datetime
import keyword
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Discriminator, Field, PlainValidator, Tag, model_validator

from dltune.recipe.section import Count, Section, Text, refusal

Activation = Literal[
    "sigmoid",
    "tanh",
    "relu",
    "leaky-relu",
    "prelu",
    "elu",
    "silu",
    "swish",
    "mish",
    "gelu",
]


def _is_share(value: Any) -> bool:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and 0 <= value < 1


def _check_dropout(value: Any) -> float | list[float]:
    # One check instead of a union, whose errors would name both arms.
    if _is_share(value):
        return float(value)
    if isinstance(value, list) and all(_is_share(share) for share in value):
        return [float(share) for share in value]
    raise refusal("must be a number from 0 up to but without 1, or a list of them (one a layer)")


def _check_dropout_count(dropout: float | list[float], layers: int, kind: str) -> None:
    if isinstance(dropout, list) and len(dropout) != layers:
        raise refusal(
            f"dropout has {len(dropout)} numbers for {layers} {kind}; "
            "must be one number, or one a layer"
        )


def _check_padding(value: Any) -> str | int:
    if value in ("same", "valid") and isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    raise refusal('must be "same", "valid" or a whole number of pixels, at least 0')


def _holds_date(value: Any) -> bool:
    if isinstance(value, (list, dict)):
        return any(map(_holds_date, value.values() if isinstance(value, dict) else value))
    return isinstance(value, (datetime.date, datetime.time))


Dropout = Annotated[float | list[float], PlainValidator(_check_dropout)]
Padding = Annotated[Literal["same", "valid"] | int, PlainValidator(_check_padding)]


class MlpConfig(Section):
    """A multi-layer perceptron; inputs of any shape are flattened."""

    name: Literal["mlp"] = Field(default="mlp", description="fully connected layers")
    hidden: list[Count] = Field(
        default_factory=lambda: [128, 128], description="units of each hidden layer; [] is linear"
    )
    activation: Activation = Field(
        default="relu", description="nonlinearity; swish is silu with a learnable slope"
    )
    dropout: Dropout = Field(
        default=0.0,
        description="share of units set to 0 in training; one number, or one a hidden layer",
    )
    batch_norm: bool = Field(default=False, description="batch norm before each activation")

    @model_validator(mode="after")
    def _one_dropout_a_layer(self) -> Self:
        _check_dropout_count(self.dropout, len(self.hidden), "hidden layers")
        return self


class CnnConfig(Section):
    """Convolution blocks, then fully connected layers."""

    name: Literal["cnn"] = Field(default="cnn", description="convolution blocks and a dense head")
    filters: list[Count] = Field(
        default_factory=lambda: [16, 32], min_length=1, description="channels of each block"
    )
    kernel: Count = Field(default=3, description="side of the square kernels, in pixels")
    stride: Count = Field(default=1, description="step of the kernels, in pixels")
    padding: Padding = Field(default="same", description='"same", "valid", or pixels on each side')
    pool: Literal["max", "avg", "none"] = Field(
        default="max", description="pooling after each block"
    )
    pool_size: Count = Field(
        default=2, description="side and step of the pooling window, in pixels"
    )
    hidden: list[Count] = Field(
        default_factory=lambda: [64], description="units of each dense layer before the output"
    )
    activation: Activation = Field(
        default="relu", description="nonlinearity; swish is silu with a learnable slope"
    )
    dropout: Dropout = Field(
        default=0.0, description="share of units set to 0 in training; one number, or one a layer"
    )
    batch_norm: bool = Field(default=False, description="batch norm before each activation")

    @model_validator(mode="after")
    def _one_dropout_a_layer(self) -> Self:
        _check_dropout_count(
            self.dropout, len(self.filters) + len(self.hidden), "convolution and hidden layers"
        )
        return self


class FactoryConfig(Section):
    """A module built by the user's function; every further key is an argument of it.

    >>> FactoryConfig(factory="net.py:build", width=64).arguments()
    {'width': 64}
    """

    model_config = ConfigDict(extra="allow")

    factory: Text = Field(description='"file.py:function", relative to the recipe')

    @model_validator(mode="after")
    def _arguments_can_be_passed_and_kept(self) -> Self:
        for key, value in self.arguments().items():
            if _holds_date(value):
                raise refusal(f"{key} must be no date or time, which JSON cannot say; use text")
            if not key.isidentifier() or keyword.iskeyword(key):
                raise refusal(f'"{key}" cannot be the name of a Python argument')
        if "name" in self.arguments():
            raise refusal("has both name and factory; keep one")
        return self

    def arguments(self) -> dict[str, Any]:
        """Keyword arguments for the factory: all keys of the section but `factory`."""
        return dict(self.__pydantic_extra__ or {})


DEFAULT_MODEL = "mlp"
FACTORY_TAG = "factory"


def _model_tag(value: Any) -> Any:
    if isinstance(value, dict):
        return FACTORY_TAG if "factory" in value else value.get("name", DEFAULT_MODEL)
    return FACTORY_TAG if isinstance(value, FactoryConfig) else getattr(value, "name", None)


ModelConfig = Annotated[
    Annotated[MlpConfig, Tag("mlp")]
    | Annotated[CnnConfig, Tag("cnn")]
    | Annotated[FactoryConfig, Tag(FACTORY_TAG)],
    Discriminator(_model_tag),
]
