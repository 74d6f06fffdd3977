"""The updates of Adam, AdamW, Adamax and NAdam for many rows at once: see `formulas`.

The bias correction 1 - beta^t is taken as -expm1(t ln beta), which keeps its digits where beta^t is
near 1, in single precision too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import MappingProxyType

import torch

from dltune.recipe.schema import OptimConfig
from dltune.training.stacked.formulas import Formula, log_of, scheduled, values_of, write_root


class _Moments(Formula):
    """What the family shares: a running mean of the gradient, and two betas."""

    def __init__(self, optims: Sequence[OptimConfig], weights: torch.Tensor) -> None:
        super().__init__(optims, weights)
        betas = values_of(optims, "betas")
        # From double precision, since 1 - 0.999 loses four digits in single.
        self._new1 = self._column_of(1 - first for first, _ in betas)
        self._log1 = self._column_of(log_of(first) for first, _ in betas)
        self._new2 = self._column_of(1 - second for _, second in betas)
        self._log2 = self._column_of(log_of(second) for _, second in betas)
        self._eps = self._column(optims, "eps")
        self._mean = torch.zeros_like(weights)

    def _first(self, momentum: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        """1 - beta1 and ln beta1 at this update."""
        if momentum is None:
            return self._new1, self._log1
        own = momentum.isnan()
        return (
            torch.where(own, self._new1, self._one - momentum),
            torch.where(own, self._log1, momentum.log()),
        )

    def _root_of_correction(self) -> torch.Tensor:
        """sqrt(1 - beta2^t)."""
        return torch.expm1(self._log2 * self._updates).neg_().sqrt_()


class Adam(_Moments):
    """torch.optim.Adam and AdamW, with or without amsgrad.

    lr / c1 m / (sqrt(v) / c2 + eps), c2 = sqrt(1 - beta2^t), is computed as
    (lr c2 / c1) m / (sqrt(v) + eps c2): what depends on the row alone costs no pass over memory.
    """

    slots = MappingProxyType(
        {"exp_avg": "_mean", "exp_avg_sq": "_square", "max_exp_avg_sq": "_largest"}
    )

    def __init__(self, optims: Sequence[OptimConfig], weights: torch.Tensor) -> None:
        super().__init__(optims, weights)
        self._decoupled = optims[0].name == "adamw"
        self._square = torch.zeros_like(weights)
        self._amsgrad = values_of(optims, "amsgrad")[0]
        if self._amsgrad:
            self._largest = torch.zeros_like(weights)

    def step(
        self,
        gradient: torch.Tensor,
        lr: torch.Tensor,
        momentum: torch.Tensor | None,
        scratch: torch.Tensor,
    ) -> None:
        self._updates.add_(self._one)
        new1, log1 = self._first(momentum)
        correction = self._root_of_correction()
        rate = lr / torch.expm1(log1 * self._updates)  # negative: the step goes down
        if self._decoupled:
            self._shrink(lr)
        else:
            self._add_weight_decay(gradient)
        self._mean.lerp_(gradient, new1)
        square = self._square.lerp_(gradient.mul_(gradient), self._new2)
        if self._amsgrad:
            square = torch.maximum(self._largest, square, out=self._largest)
        write_root(square, out=gradient)
        gradient.add_(self._eps * correction)
        torch.div(self._mean, gradient, out=gradient)
        self._weights.addcmul_(gradient, rate.mul_(correction))


class Adamax(_Moments):
    """torch.optim.Adamax."""

    slots = MappingProxyType({"exp_avg": "_mean", "exp_inf": "_largest"})

    def __init__(self, optims: Sequence[OptimConfig], weights: torch.Tensor) -> None:
        super().__init__(optims, weights)
        self._beta2 = self._column_of(second for _, second in values_of(optims, "betas"))
        self._largest = torch.zeros_like(weights)

    def step(
        self,
        gradient: torch.Tensor,
        lr: torch.Tensor,
        momentum: torch.Tensor | None,
        scratch: torch.Tensor,
    ) -> None:
        self._updates.add_(self._one)
        new1, log1 = self._first(momentum)
        self._add_weight_decay(gradient)
        self._mean.lerp_(gradient, new1)
        self._largest.mul_(self._beta2)
        torch.maximum(self._largest, gradient.abs_().add_(self._eps), out=self._largest)
        torch.div(self._mean, self._largest, out=gradient)
        self._weights.addcmul_(gradient, lr / torch.expm1(log1 * self._updates))


class Nadam(_Moments):
    """torch.optim.NAdam; sqrt(1 - beta2^t) is drawn into the numbers of a row as in `Adam`."""

    needs_scratch = True
    slots = MappingProxyType(
        {"exp_avg": "_mean", "exp_avg_sq": "_square", "mu_product": "_product"}
    )

    def __init__(self, optims: Sequence[OptimConfig], weights: torch.Tensor) -> None:
        super().__init__(optims, weights)
        self._decoupled = values_of(optims, "decoupled_weight_decay")[0]
        self._beta1 = self._column_of(first for first, _ in values_of(optims, "betas"))
        # 0.96 is Dozat's constant (2016, section 2.2), as in torch.
        decays = [math.log(0.96) * value for value in values_of(optims, "momentum_decay")]
        self._log_decay = self._column_of(decays)
        self._decay = self._column_of(math.exp(decay) for decay in decays)
        self._half = self._column_of([0.5] * len(optims))
        self._square = torch.zeros_like(weights)
        self._product = torch.ones_like(self._eps)

    def step(
        self,
        gradient: torch.Tensor,
        lr: torch.Tensor,
        momentum: torch.Tensor | None,
        scratch: torch.Tensor,
    ) -> None:
        self._updates.add_(self._one)
        new1, _ = self._first(momentum)
        correction = self._root_of_correction()
        of_gradient, of_mean = self._shares(scheduled(self._beta1, momentum))
        if self._decoupled:
            self._shrink(lr)
        else:
            self._add_weight_decay(gradient)
        self._mean.lerp_(gradient, new1)
        root = scratch[: len(gradient)]
        self._square.lerp_(torch.mul(gradient, gradient, out=root), self._new2)
        write_root(self._square, out=root)
        root.add_(self._eps * correction)
        rate = lr * correction
        gradient.mul_(rate * of_gradient).addcmul_(self._mean, rate * of_mean)
        self._weights.addcdiv_(gradient, root, value=-1)

    def _shares(self, beta1: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Weights of the gradient and of the running mean in the step."""
        half = beta1 * self._half
        faded = torch.exp(self._log_decay * self._updates)
        now = torch.addcmul(beta1, half, faded, value=-1)  # beta1 (1 - 0.96^(t decay) / 2)
        later = torch.addcmul(beta1, half, faded.mul_(self._decay), value=-1)
        self._product.mul_(now)
        next_product = self._product * later
        return (
            (self._one - now).div_(self._one - self._product),
            later.div_(self._one - next_product),
        )
