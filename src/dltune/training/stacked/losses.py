"""Losses and errors of all rows of a stack, each with its own settings."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch.nn import functional as F

from dltune.recipe.schema import Config
from dltune.training.losses import DEFAULT_LOSS, build_loss

# (outputs, targets, delta) → (S, n) or (S, K, n)
Pointwise = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


class StackedLoss:
    """The mean loss of every row over a batch: see `build_stacked_loss`.

    Called with outputs (S, K, n) and targets, gives (S,). Targets are (S, n) classes or (S, K, n)
    numbers; (n,) or (K, n) where all rows have the same. `plain` is the loss that is reported.
    """

    def __init__(self, name: str, *, smoothing: Sequence[float], huber_delta: Sequence[float]):
        self._name = name
        self._settings = list(smoothing), list(huber_delta)
        self._smooths = any(smoothing)
        self._on_device: tuple[torch.Tensor, torch.Tensor] | None = None

    def __call__(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """With label smoothing."""
        if self._name != "cross-entropy":
            return self.plain(outputs, targets)
        log_shares = F.log_softmax(outputs, dim=1)
        losses = _surprise(log_shares, targets)
        if not self._smooths:
            return losses
        smoothing, _ = self._columns(outputs)
        smoothed = (1 - smoothing) * losses - smoothing * row_means(log_shares)
        # A row without smoothing must not meet the infinity of a class it holds impossible.
        return torch.where(smoothing > 0, smoothed, losses)

    def plain(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Without label smoothing."""
        if self._name == "cross-entropy":
            return _surprise(F.log_softmax(outputs, dim=1), targets)
        difference = outputs - targets
        if self._name == "mse":
            return row_means(difference.square())
        size = difference.abs()
        if self._name == "mae":
            return row_means(size)
        _, delta = self._columns(outputs)
        # The size squared by half below delta, and above it delta (size - delta / 2).
        inner = torch.minimum(size, delta[:, None, None])
        return row_means(inner * (size - 0.5 * inner))

    def _columns(self, like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Smoothing and delta, each (S,): brought to the device once."""
        if self._on_device is None:
            smoothing, delta = (
                torch.tensor(values, dtype=like.dtype).to(like.device) for values in self._settings
            )
            self._on_device = smoothing, delta
        return self._on_device


def build_stacked_loss(configs: Sequence[Config], *, task: str) -> StackedLoss:
    """The loss of a stack: `training.losses.build_loss` for every row, which has the formulas.

    configs  of the rows; `objective.loss` is the same in all, label smoothing and huber's delta are
             each row's own.
    task     "classification" or "regression".

    Raises TrainingError if the loss does not belong to the task.

    >>> from dltune.recipe.files import parse_recipe
    >>> from pathlib import Path
    >>> config = parse_recipe('[data]\\nsource = "sklearn:digits"', folder=Path(".")).config()
    >>> loss = build_stacked_loss([config, config], task="classification")
    >>> loss(torch.zeros(2, 4, 1), torch.tensor([[2], [3]]))  # ln 4
    tensor([1.3863, 1.3863])
    """
    for config in configs:
        build_loss(config, task=task)  # its checks
    return StackedLoss(
        configs[0].objective.loss or DEFAULT_LOSS[task],
        smoothing=[config.regularize.label_smoothing for config in configs],
        huber_delta=[config.objective.huber_delta for config in configs],
    )


def stacked_error(outputs: torch.Tensor, targets: torch.Tensor, *, task: str) -> torch.Tensor:
    """The error of every row on a whole split, (S,): see `training.losses.error_of`.

    outputs  (S, K, n).
    targets  as for a `StackedLoss`.

    >>> logits = torch.tensor([[[2.0, 2.0], [1.0, 1.0]], [[2.0, 1.0], [1.0, 2.0]]])
    >>> stacked_error(logits, torch.tensor([0, 1]), task="classification")
    tensor([0.5000, 0.0000])
    """
    if task == "classification":
        # The first of several largest, as argmax; on the CPU in a fifth of its time.
        chosen = outputs.max(dim=1).indices
        return (chosen != targets).sum(dim=1) / outputs.shape[2]
    rows, numbers, _ = outputs.shape
    squares = (outputs - targets).square().flatten(0, 1)
    residual = row_means(squares).view(rows, numbers)  # (S, K, n) → (S, K)
    spread = (targets - targets.mean(dim=-1, keepdim=True)).square().mean(dim=-1)
    return (residual / spread).mean(dim=1)


def row_means(values: torch.Tensor) -> torch.Tensor:
    """The mean of every row, (S, ...) → (S,).

    torch cuts the sum of a single row into one piece a thread, but never that of several rows: one
    row is doubled, so that its mean does not depend on whether it has neighbours.

    >>> row_means(torch.tensor([[1.0, 2.0], [3.0, 5.0]])).tolist()
    [1.5, 4.0]
    """
    rows = values.flatten(1)
    if len(rows) > 1:
        return rows.mean(dim=1)
    return rows.expand(2, -1).mean(dim=1)[:1]


def _surprise(log_shares: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Mean of -log p of the target class, (S, K, n) → (S,)."""
    rows, _, examples = log_shares.shape
    losses = F.nll_loss(log_shares, targets.expand(rows, examples), reduction="none")
    return row_means(losses)
