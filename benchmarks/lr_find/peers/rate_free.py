"""Optimizers that claim to need no learning rate, through the whole training of a task.

Prodigy                lr = 1 times the recipe's schedule. Its README asks for `safeguard_warmup`
                       with a warmup; its other values are its defaults.
schedule-free AdamW    its default rate, the recipe's warmup and no other schedule. With batch norm
                       its README has the statistics taken anew from up to 50 train batches at the
                       averaged weights before every measurement.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterator

import torch
from prodigyopt import Prodigy
from schedulefree import AdamWScheduleFree
from torch import nn
from torch.utils.data import DataLoader

from dltune.data.device import DeviceData
from dltune.recipe.schema import Config
from dltune.training.measure import measure_model
from dltune.training.schedules import lr_factor, warmup_updates
from peers.plain import fresh_model, loss_of, train_loader
from peers.result import measured, quiet

NORM_BATCHES = 50  # of schedule-free's README


@dataclasses.dataclass(frozen=True, kw_only=True)
class RateFreeResult:
    """Of one training.

    best, final  dev loss at the best epoch and after the last one; infinite for both if it
                 diverged, as in `oracle.py`.
    updates      of the optimizer.
    seconds      of wall time, with the measurements on dev.
    error        class of the exception that ended it, if one did: then it counts as diverged.
    """

    best: float
    final: float
    updates: int
    seconds: float
    error: str = ""


def train_prodigy(config: Config, data: DeviceData, seed: int) -> RateFreeResult:
    """Prodigy under the recipe's schedule."""

    def dev_losses() -> Iterator[float]:
        loss, loader = loss_of(data), train_loader(config, data)
        model = fresh_model(config, data, seed)
        warms_up = config.schedule.warmup > 0
        optimizer = Prodigy(model.parameters(), lr=1.0, safeguard_warmup=warms_up)
        counts = {"updates": len(loader) * config.train.epochs, "updates_per_epoch": len(loader)}
        factors = (lr_factor(config.schedule, n, **counts) for n in itertools.count())
        for _ in range(config.train.epochs):
            model.train()
            for batch, factor in zip(loader, factors, strict=False):
                optimizer.param_groups[0]["lr"] = factor
                _update(model, optimizer, loss, batch)
            yield measure_model(model, data.dev, loss=loss, task=data.task).loss

    return _train(dev_losses)


def train_schedule_free(config: Config, data: DeviceData, seed: int) -> RateFreeResult:
    """Schedule-free AdamW at its default rate."""

    def dev_losses() -> Iterator[float]:
        loss, loader = loss_of(data), train_loader(config, data)
        model = fresh_model(config, data, seed)
        warmup = warmup_updates(config.schedule, updates=len(loader) * config.train.epochs)
        optimizer = AdamWScheduleFree(model.parameters(), warmup_steps=warmup)
        for _ in range(config.train.epochs):
            model.train()
            optimizer.train()
            for batch in loader:
                _update(model, optimizer, loss, batch)
            optimizer.eval()
            _renew_norms(model, loader)
            yield measure_model(model, data.dev, loss=loss, task=data.task).loss

    return _train(dev_losses)


def _update(
    model: nn.Module, optimizer: torch.optim.Optimizer, loss: nn.Module, batch: list[torch.Tensor]
) -> None:
    features, targets = batch
    optimizer.zero_grad()
    loss(model(features), targets).backward()
    optimizer.step()


def _renew_norms(model: nn.Module, loader: DataLoader) -> None:
    """Statistics of batch norm at the weights as they are; the model is in train mode."""
    if not any(isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d) for layer in model.modules()):
        return
    with torch.no_grad():
        for features, _ in itertools.islice(loader, NORM_BATCHES):
            model(features)


def _train(dev_losses: Callable[[], Iterator[float]]) -> RateFreeResult:
    losses, error = [math.inf], ""
    with quiet(), measured() as clock:
        try:
            losses = list(dev_losses())
        except Exception as problem:  # whatever a peer may raise
            error = type(problem).__name__
    if not all(map(math.isfinite, losses)):
        losses = [math.inf]
    return RateFreeResult(
        best=min(losses),
        final=losses[-1],
        updates=clock.updates,
        seconds=clock.seconds,
        error=error,
    )
