"""A trial between two epochs, as a value."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch

from dltune.training.history import EpochRecord, Trial

Slots = Mapping[str, Mapping[str, torch.Tensor]]
"""State of an optimizer by torch's name of it ("exp_avg", "step"), then by parameter."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)  # tensors do not compare to a bool
class TrainingState:
    """All that the further epochs of a trial depend on; tensors on the CPU.

    It says nothing of who trained it: a trial may begin in a stack, pause, and go on alone, in
    another stack, in another process.

    trial      its number, config and seed.
    epochs     that it has trained; the place in its schedule.
    weights    its state dict, parameters and buffers; names that share a tensor share one here.
               None: its seed decides them, since it has not begun, or diverged from the start.
    optimizer  as torch's own state, but by the names of the parameters; empty where an optimizer
               has none.
    streams    where its random streams stand, by name: "order", "dropout.0", "torch" and others.
               One that is missing begins anew.
    best       the weights of its best epoch so far; None while there is none.
    history    its epochs.

    >>> from dltune.recipe.schema import Config
    >>> config = Config(data={"source": "sklearn:iris"})
    >>> TrainingState(trial=Trial(number=0, config=config, seed=1)).weights is None
    True
    """

    trial: Trial
    epochs: int = 0
    weights: Mapping[str, Any] | None = None
    optimizer: Slots = dataclasses.field(default_factory=dict)
    streams: Mapping[str, torch.Tensor] = dataclasses.field(default_factory=dict)
    best: Mapping[str, Any] | None = None
    history: tuple[EpochRecord, ...] = ()


def moved(
    weights: Mapping[str, Any], device: torch.device | str, *, copy: bool = False
) -> dict[str, Any]:
    """A state dict on a device; names that share a tensor still do.

    copy  whether tensors are copied though they are there already.

    >>> tied = torch.ones(1)
    >>> twice = moved({"a": tied, "b": tied}, "cpu", copy=True)
    >>> twice["a"] is twice["b"], twice["a"] is tied
    (True, False)
    """
    there = {
        id(one): one.to(device, copy=copy) if torch.is_tensor(one) else one
        for one in weights.values()
    }
    return {name: there[id(one)] for name, one in weights.items()}
