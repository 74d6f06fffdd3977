"""The multilayer perceptron."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import nn

from dltune.models.activations import build_activation
from dltune.models.dropout import Dropout
from dltune.recipe.schema import MlpConfig


def dense_layers(
    width: int,
    hidden: Sequence[int],
    *,
    activation: str,
    dropouts: Sequence[float],
    batch_norm: bool,
) -> list[nn.Module]:
    """Hidden layers from `width` inputs on: linear, batch norm, activation, dropout.

    Batch norm stands before the activation and replaces the bias, which it would cancel
    (Ioffe & Szegedy 2015, section 3.2). Dropout stands there even where its share is 0, so that
    models that differ in it alone have the same layers.

    >>> layers = dense_layers(4, [3], activation="relu", dropouts=[0.5], batch_norm=False)
    >>> [type(layer).__name__ for layer in layers]
    ['Linear', 'ReLU', 'Dropout']
    """
    layers: list[nn.Module] = []
    for units, dropout in zip(hidden, dropouts, strict=True):
        layers.append(nn.Linear(width, units, bias=not batch_norm))
        if batch_norm:
            layers.append(nn.BatchNorm1d(units))
        layers.append(build_activation(activation))
        layers.append(Dropout(dropout))
        width = units
    return layers


def dropout_per_layer(dropout: float | Sequence[float], layers: int) -> list[float]:
    """One share a layer; a single number holds for all.

    >>> dropout_per_layer(0.5, 2)
    [0.5, 0.5]
    """
    if isinstance(dropout, int | float):
        return [float(dropout)] * layers
    return [float(share) for share in dropout]


def build_mlp(model: MlpConfig, *, inputs: tuple[int, ...], outputs: int) -> nn.Module:
    """A multilayer perceptron over the flattened example.

    model    `hidden` widths (an empty list gives a linear model), activation, dropout, batch norm.
    inputs   shape of one example; (64,) and (1, 8, 8) are the same to it.
    outputs  classes or targets.

    Weights start as torch's `nn.Linear` starts them: U(-1/sqrt(inputs), 1/sqrt(inputs)).
    """
    width = math.prod(inputs)
    dropouts = dropout_per_layer(model.dropout, len(model.hidden))
    hidden = dense_layers(
        width,
        model.hidden,
        activation=model.activation,
        dropouts=dropouts,
        batch_norm=model.batch_norm,
    )
    last = model.hidden[-1] if model.hidden else width
    return nn.Sequential(nn.Flatten(), *hidden, nn.Linear(last, outputs))
