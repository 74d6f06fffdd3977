"""Histories of one trial in closed form, to draw and to read."""

from __future__ import annotations

import math
from collections.abc import Callable

from dltune.training.history import EpochRecord


def history_of(
    epochs: int,
    *,
    train: Callable[[int], float],
    dev: Callable[[int], float],
    error: float = 0.25,
    norm: Callable[[int], float] = lambda epoch: 0.5,
) -> list[EpochRecord]:
    """As many epochs, whose losses are given; the errors are a share of them."""
    return [
        EpochRecord(
            trial=0,
            epoch=epoch,
            lr=0.003,
            train_loss=train(epoch),
            train_error=error * train(epoch),
            dev_loss=dev(epoch),
            dev_error=error * dev(epoch),
            grad_norm=norm(epoch),
            update_ratio=1e-3,
            dead_units=None,
            seconds=0.1,
        )
        for epoch in range(1, epochs + 1)
    ]


def overfit(epochs: int) -> list[EpochRecord]:
    """The train loss falls by half in four epochs, the dev loss is lowest in epoch 12."""
    return history_of(
        epochs,
        train=lambda epoch: 2.0 * 2 ** (-epoch / 4),
        dev=lambda epoch: 0.3 + 0.05 * abs(math.log2(epoch / 12)) ** 2,
    )


def blown_up(epochs: int) -> list[EpochRecord]:
    """The losses grow, leave the finite numbers for an epoch in between, and then for good."""
    odd = {4: math.nan, epochs - 1: math.inf, epochs: math.nan}
    return history_of(
        epochs,
        train=lambda epoch: odd.get(epoch, 2.0**epoch),
        dev=lambda epoch: odd.get(epoch, 3.0**epoch),
        norm=lambda epoch: odd.get(epoch, 4.0**epoch),
    )
