"""Rows updated one by one with torch's fused kernel: fastest for large models on the CPU."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from dltune.recipe.schema import AdagradConfig, OptimConfig
from dltune.training.optimizers import bare_class, settings_of


class FusedRows:
    """One torch optimizer with a parameter group for every row.

    optims   one a row, all of one name.
    weights  (rows, P).

    Takes the place of a `Formula`, where one pass over memory is worth the time that a group costs
    (about 15 us).
    """

    needs_scratch = False

    def __init__(self, optims: Sequence[OptimConfig], weights: torch.Tensor) -> None:
        self._rows = [nn.Parameter(row) for row in weights.unbind(0)]
        groups = [
            {"params": [row], **settings_of(optim)}
            for row, optim in zip(self._rows, optims, strict=True)
        ]
        self._optimizer = bare_class(optims[0].name)(groups, fused=True)
        self._own_betas: list[Any] = [group.get("betas") for group in self._optimizer.param_groups]
        for row, optim in zip(self._rows, optims, strict=True):
            if isinstance(optim, AdagradConfig):  # torch heeds the constructor's, not the group's
                self._optimizer.state[row]["sum"].fill_(optim.initial_accumulator_value)

    def step(
        self,
        gradient: torch.Tensor,
        lr: torch.Tensor,
        momentum: torch.Tensor | None,
        scratch: torch.Tensor,
    ) -> None:
        """Update the weights: see `Formula.step`."""
        for row, of_row in zip(self._rows, gradient.unbind(0), strict=True):
            row.grad = of_row
        groups = self._optimizer.param_groups
        for group, rate in zip(groups, lr.squeeze(1).tolist(), strict=True):
            group["lr"] = rate
        if "betas" in groups[0]:
            given = [math.nan] * len(groups) if momentum is None else momentum.squeeze(1).tolist()
            for group, own, first in zip(groups, self._own_betas, given, strict=True):
                group["betas"] = own if math.isnan(first) else (first, own[1])
        self._optimizer.step()

    def state(self, row: int) -> dict[str, torch.Tensor]:
        """See `Formula.state`."""
        state = self._optimizer.state.get(self._rows[row], {})
        return {slot: value for slot, value in state.items() if slot != "step"}

    def load(self, row: int, state: Mapping[str, torch.Tensor], updates: float) -> None:
        """See `Formula.load`."""
        like = self._rows[row]
        self._optimizer.state[like] = {
            "step": torch.tensor(updates, device=like.device),
            **{slot: value.to(like.device, like.dtype, copy=True) for slot, value in state.items()},
        }

    def keep(self, rows: torch.Tensor, weights: torch.Tensor) -> None:
        """Go on with these rows alone; `weights` are theirs."""
        kept = rows.tolist()
        for number in set(range(len(self._rows))) - set(kept):
            self._optimizer.state.pop(self._rows[number], None)
        groups = self._optimizer.param_groups
        self._optimizer.param_groups = [groups[number] for number in kept]
        self._own_betas = [self._own_betas[number] for number in kept]
        self._rows = [self._rows[number] for number in kept]
        for row, values in zip(self._rows, weights.unbind(0), strict=True):
            row.data = values  # the same parameter for torch, which finds its state by it
            row.grad = None
