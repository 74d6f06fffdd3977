"""Hostile models: what a user's code may do to the process that trains it."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

SLOW_SECONDS = 0.02  # of every pass: trials then last for seconds, so that a kill finds them
LOADERS: list[Any] = []


class Net(nn.Module):
    """A small network that does something odd in every training pass.

    odd  "sleeps"; "holds" Python's lock in one call; "loads" by a process of its own;
         "threads" that are never joined; "swallows" every exception.
    """

    def __init__(self, inputs: int, outputs: int, width: int, odd: str) -> None:
        super().__init__()
        self.hidden, self.out, self.odd = nn.Linear(inputs, width), nn.Linear(width, outputs), odd
        self.passes = 0

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        if self.training:
            self.passes += 1
            getattr(self, f"_{self.odd}")()
        return self.out(torch.relu(self.hidden(features.flatten(1))))

    def _sleeps(self) -> None:
        time.sleep(SLOW_SECONDS)

    def _holds(self) -> None:
        pow(3, 300_000)  # in C, some 10 ms without a switch to another thread

    def _loads(self) -> None:
        time.sleep(SLOW_SECONDS)
        if not LOADERS:  # the processes of a loader must end with the worker
            numbers = TensorDataset(torch.arange(64))
            LOADERS.append(iter(DataLoader(numbers, num_workers=1, persistent_workers=True)))
            next(LOADERS[0])

    def _threads(self) -> None:
        time.sleep(SLOW_SECONDS)
        if self.passes == 1:
            threading.Thread(target=time.sleep, args=(600,), daemon=True).start()

    def _swallows(self) -> None:
        try:
            time.sleep(SLOW_SECONDS)
        except BaseException:
            return


class Raises(nn.Module):
    """Ends the training of every third width, each time by something else."""

    ENDS = (asyncio.CancelledError, KeyboardInterrupt, GeneratorExit, SystemExit, MemoryError)

    def __init__(self, inputs: int, outputs: int, width: int) -> None:
        super().__init__()
        self.layer, self.width = nn.Linear(inputs, outputs), width

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        if self.training:
            time.sleep(SLOW_SECONDS)
            if self.width % 3 == 0:
                raise self.ENDS[self.width % len(self.ENDS)]
        return self.layer(features.flatten(1))


class Exits(Raises):
    """Takes its process with it at every fifth width."""

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        if self.training:
            time.sleep(SLOW_SECONDS)
            if self.width % 5 == 0:
                os._exit(3)
        return self.layer(features.flatten(1))


def build(inputs: tuple[int, ...], outputs: int, width: int = 8, odd: str = "sleeps") -> nn.Module:
    """A network for the recipes of `kills.py`."""
    if odd == "raises":
        return Raises(inputs[0], outputs, width)
    if odd == "exits":
        return Exits(inputs[0], outputs, width)
    return Net(inputs[0], outputs, width, odd)
