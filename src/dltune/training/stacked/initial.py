"""What the trials of a stack start from: their models and their streams of dropout."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import nn

from dltune.data.device import DeviceData
from dltune.models.build import build_model
from dltune.models.dropout import dropout_layers
from dltune.models.mlp import dropout_per_layer
from dltune.recipe.schema import FactoryConfig
from dltune.training.history import Trial
from dltune.training.learner import dropout_seeds
from dltune.training.randomness import seed_all
from dltune.training.seeds import derive_seed
from dltune.training.stacked.dropout import DropoutMasks


def initial_models(
    trials: Sequence[Trial], data: DeviceData, *, folder: Path
) -> Iterator[nn.Module]:
    """The freshly initialised model of every trial, on the CPU: its seed decides the weights.

    A module is to be read before the next one is asked for. The built-in ones are one module with
    other weights, in single precision: to make a small perceptron takes four times as long as to
    draw its weights. A user's module is in the precision of the data.
    """
    model: nn.Module | None = None
    for trial in trials:
        config = trial.config.model
        seed_all(derive_seed(trial.seed, "model"), data.device)
        if model is None or isinstance(config, FactoryConfig):
            model = build_model(config, inputs=data.inputs, outputs=data.outputs, folder=folder)
        else:
            draw_anew(model)
        if isinstance(config, FactoryConfig):
            model.to(data.train.features.dtype)
        yield model


def draw_anew(model: nn.Module) -> None:
    """Give a built-in model the weights that `build_model` would now give it.

    Its layers stand in the order in which they are made, and each one draws when it is made.

    >>> _ = torch.manual_seed(0)
    >>> one, other = nn.Linear(2, 1), nn.Linear(2, 1)
    >>> _ = torch.manual_seed(0)
    >>> draw_anew(other)
    >>> torch.equal(one.weight, other.weight), torch.equal(one.bias, other.bias)
    (True, True)
    """
    for layer in model.modules():
        if callable(reset := getattr(layer, "reset_parameters", None)):
            reset()


def initial_masks(trials: Sequence[Trial], model: nn.Module, like: torch.Tensor) -> DropoutMasks:
    """The dropout of built-in models, each trial with its own share; a user's modules have theirs.

    model  any of the trials'.
    like   a tensor of the stack.
    """
    layers = len(dropout_layers(model))
    shares, seeds = [], []  # by row
    for trial in trials:
        config = trial.config.model
        if not isinstance(config, FactoryConfig):
            shares.append(dropout_per_layer(config.dropout, layers))
            seeds.append(dropout_seeds(trial.seed, layers))
    return DropoutMasks([*zip(*shares, strict=True)], [*zip(*seeds, strict=True)], like)
