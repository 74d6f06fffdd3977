"""A task in plain torch, as all peers get it: model, loss, loader and optimizer."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from tasks import FOLDER
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from dltune.data.device import DeviceData
from dltune.models.build import build_model
from dltune.recipe.schema import Config
from dltune.training.optimizers import settings_of
from dltune.training.updates import batch_examples

OPTIMIZERS: dict[str, type[torch.optim.Optimizer]] = {
    "sgd": torch.optim.SGD,
    "momentum": torch.optim.SGD,
    "rmsprop": torch.optim.RMSprop,
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
}


def fresh_model(config: Config, data: DeviceData, seed: int) -> nn.Module:
    """The recipe's model with new weights; seeds torch, whose numbers then also shuffle."""
    torch.manual_seed(seed)
    return build_model(config.model, inputs=data.inputs, outputs=data.outputs, folder=FOLDER)


def loss_of(data: DeviceData) -> nn.Module:
    """The usual loss of the data's task."""
    return nn.CrossEntropyLoss() if data.task == "classification" else nn.MSELoss()


def train_loader(config: Config, data: DeviceData) -> DataLoader:
    """The recipe's batches of the train split, in a new order in every epoch."""
    size = batch_examples(config.train, len(data.train))
    # Batch norm cannot learn from one example: dltune leaves such a rest out, too.
    one_left = size > 1 and len(data.train) % size == 1
    train = TensorDataset(data.train.features, data.train.targets)
    return DataLoader(train, batch_size=size, shuffle=True, drop_last=one_left)


def dev_loader(data: DeviceData) -> DataLoader:
    """The dev split in one batch, for peers that ask for a loader of it."""
    dev = TensorDataset(data.dev.features, data.dev.targets)
    return DataLoader(dev, batch_size=len(data.dev))


def plain_optimizer(config: Config, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    """torch's optimizer in its default form, with the recipe's hyperparameters."""
    return OPTIMIZERS[config.optim.name](parameters, **settings_of(config.optim))
