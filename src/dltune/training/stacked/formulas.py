"""The updates of SGD, Adagrad, RMSprop and Adadelta for many rows at once, and what all share.

Each is torch's formula with a column (rows, 1) in the place of every hyperparameter, computed in
place and, where it can be, inside the gradient's own memory. Only operations whose result for an
element does not depend on where in a tensor it stands are used, so that a row gets the same numbers
whatever its neighbours; `torch.pow` is not one of them on the CPU (its vector code and its code for
the remainder differ in the last bit), `expm1`, `exp`, `log` and the arithmetic are.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import torch

from dltune.recipe.schema import OptimConfig


class Formula:
    """Rows next to each other that are updated by the same operations.

    optims   one a row, of equal `structure`.
    weights  (rows, P).

    Every tensor that a formula keeps has one row a trial; `keep` relies on it. The count of the
    updates and the number 1 are columns too: for a few values torch takes 1.6 us longer when one
    operand is a number of Python.
    """

    needs_scratch = False

    def __init__(self, optims: Sequence[OptimConfig], weights: torch.Tensor) -> None:
        self._weights = weights
        self._one = self._column_of([1.0] * len(optims))
        self._updates = torch.zeros_like(self._one)
        self._weight_decay = self._column(optims, "weight_decay")
        self._decays = any(optim.weight_decay for optim in optims)

    def step(
        self,
        gradient: torch.Tensor,
        lr: torch.Tensor,
        momentum: torch.Tensor | None,
        scratch: torch.Tensor,
    ) -> None:
        """Update the weights; the gradient's values are used up.

        gradient  (rows, P).
        lr        (rows, 1).
        momentum  (rows, 1), NaN where the row's own value holds; None if it holds everywhere.
        scratch   (rows or more, P), of any content, if `needs_scratch`.
        """
        raise NotImplementedError

    def keep(self, rows: torch.Tensor, weights: torch.Tensor) -> None:
        """Go on with these rows alone; `weights` are theirs."""
        for name, value in vars(self).items():
            if isinstance(value, torch.Tensor):
                setattr(self, name, value.index_select(0, rows))
        self._weights = weights

    def _column(self, optims: Sequence[OptimConfig], key: str) -> torch.Tensor:
        return self._column_of(values_of(optims, key))

    def _column_of(self, values: Iterable[float]) -> torch.Tensor:
        column = torch.tensor(list(values), dtype=self._weights.dtype).unsqueeze(1)
        return column.to(self._weights.device)

    def _add_weight_decay(self, gradient: torch.Tensor) -> None:
        """The L2 penalty's gradient, for every kind that does not shrink the weights directly."""
        if self._decays:
            gradient.addcmul_(self._weights, self._weight_decay)

    def _shrink(self, lr: torch.Tensor) -> None:
        """Decoupled weight decay."""
        if self._decays:
            self._weights.mul_(torch.addcmul(self._one, lr, self._weight_decay, value=-1))


def values_of(optims: Sequence[OptimConfig], key: str) -> list[Any]:
    """A hyperparameter of every row."""
    return [getattr(optim, key) for optim in optims]


def log_of(share: float) -> float:
    """ln share, for a share that may be 0."""
    return math.log(share) if share > 0 else -math.inf


def scheduled(own: torch.Tensor, momentum: torch.Tensor | None) -> torch.Tensor:
    """The schedule's momentum where there is one, else the row's own."""
    return own if momentum is None else torch.where(momentum.isnan(), own, momentum)


def write_root(values: torch.Tensor, *, out: torch.Tensor) -> None:
    """The square root of every value, which may be 0.

    On the CPU torch.sqrt is MKL's, and that takes five times as long for a 0 (2.4 ns against 0.4):
    weights of constant inputs and of dead units have such mean squares. The reciprocal of the
    inverse root has no slow case and takes as long as MKL's root does otherwise.
    """
    if values.device.type == "cpu":
        torch.rsqrt(values, out=out).reciprocal_()
    else:
        torch.sqrt(values, out=out)


class Sgd(Formula):
    """torch.optim.SGD, plain, with heavy-ball momentum, or with Nesterov's."""

    def __init__(self, optims: Sequence[OptimConfig], weights: torch.Tensor) -> None:
        super().__init__(optims, weights)
        self._nesterov = optims[0].name == "nesterov"
        self._has_velocity = bool(getattr(optims[0], "momentum", 0.0))
        if self._has_velocity:
            self._momentum = self._column(optims, "momentum")
            dampening = [getattr(optim, "dampening", 0.0) for optim in optims]
            self._dampens = any(dampening)
            self._undamped = self._column_of(1 - share for share in dampening)
            self._has_started = False
            self._velocity = torch.empty_like(weights)

    def step(
        self,
        gradient: torch.Tensor,
        lr: torch.Tensor,
        momentum: torch.Tensor | None,
        scratch: torch.Tensor,
    ) -> None:
        self._add_weight_decay(gradient)
        change = gradient
        if self._has_velocity:
            share = scheduled(self._momentum, momentum)
            self._accelerate(gradient, share)
            change = gradient.addcmul_(self._velocity, share) if self._nesterov else self._velocity
        self._weights.addcmul_(change, lr, value=-1)

    def _accelerate(self, gradient: torch.Tensor, share: torch.Tensor) -> None:
        if not self._has_started:
            self._has_started = True
            self._velocity.copy_(gradient)  # torch does not dampen the first gradient
            return
        if self._dampens:
            gradient.mul_(self._undamped)
        torch.addcmul(gradient, self._velocity, share, out=self._velocity)


class Adagrad(Formula):
    """torch.optim.Adagrad."""

    needs_scratch = True

    def __init__(self, optims: Sequence[OptimConfig], weights: torch.Tensor) -> None:
        super().__init__(optims, weights)
        self._eps = self._column(optims, "eps")
        self._lr_decay = self._column(optims, "lr_decay")
        start = self._column(optims, "initial_accumulator_value")
        self._sum = start.expand_as(weights).clone()

    def step(
        self,
        gradient: torch.Tensor,
        lr: torch.Tensor,
        momentum: torch.Tensor | None,
        scratch: torch.Tensor,
    ) -> None:
        self._add_weight_decay(gradient)
        self._sum.addcmul_(gradient, gradient)
        root = scratch[: len(gradient)]
        write_root(self._sum, out=root)
        gradient.div_(root.add_(self._eps))
        rate = lr / torch.addcmul(self._one, self._updates, self._lr_decay)
        self._weights.addcmul_(gradient, rate, value=-1)
        self._updates.add_(self._one)


class Rmsprop(Formula):
    """torch.optim.RMSprop, centered or not, with or without momentum."""

    needs_scratch = True

    def __init__(self, optims: Sequence[OptimConfig], weights: torch.Tensor) -> None:
        super().__init__(optims, weights)
        self._eps = self._column(optims, "eps")
        self._new = self._column_of(1 - share for share in values_of(optims, "alpha"))
        self._square = torch.zeros_like(weights)
        self._centered, self._has_velocity = (
            values_of(optims, "centered")[0],
            bool(values_of(optims, "momentum")[0]),
        )
        if self._centered:
            self._mean = torch.zeros_like(weights)
        if self._has_velocity:
            self._momentum = self._column(optims, "momentum")
            self._velocity = torch.zeros_like(weights)

    def step(
        self,
        gradient: torch.Tensor,
        lr: torch.Tensor,
        momentum: torch.Tensor | None,
        scratch: torch.Tensor,
    ) -> None:
        self._add_weight_decay(gradient)
        root = scratch[: len(gradient)]
        self._square.lerp_(torch.mul(gradient, gradient, out=root), self._new)
        if self._centered:
            self._mean.lerp_(gradient, self._new)
            torch.addcmul(self._square, self._mean, self._mean, value=-1, out=root)
            write_root(root, out=root)
        else:
            write_root(self._square, out=root)
        change = gradient.div_(root.add_(self._eps))
        if self._has_velocity:
            share = scheduled(self._momentum, momentum)
            change = torch.addcmul(change, self._velocity, share, out=self._velocity)
        self._weights.addcmul_(change, lr, value=-1)


class Adadelta(Formula):
    """torch.optim.Adadelta; the two mean squares are kept with eps already added.

    mean(g^2) + eps is the running mean of g^2 + eps that starts at eps, which saves two passes.
    """

    needs_scratch = True

    def __init__(self, optims: Sequence[OptimConfig], weights: torch.Tensor) -> None:
        super().__init__(optims, weights)
        self._eps = self._column(optims, "eps")
        self._new = self._column_of(1 - share for share in values_of(optims, "rho"))
        self._gradients = self._eps.expand_as(weights).clone()
        self._changes = self._gradients.clone()

    def step(
        self,
        gradient: torch.Tensor,
        lr: torch.Tensor,
        momentum: torch.Tensor | None,
        scratch: torch.Tensor,
    ) -> None:
        self._add_weight_decay(gradient)
        work = scratch[: len(gradient)]
        self._gradients.lerp_(torch.addcmul(self._eps, gradient, gradient, out=work), self._new)
        torch.div(self._changes, self._gradients, out=work).sqrt_()
        gradient.mul_(work)
        self._changes.lerp_(torch.addcmul(self._eps, gradient, gradient, out=work), self._new)
        self._weights.addcmul_(gradient, lr, value=-1)
