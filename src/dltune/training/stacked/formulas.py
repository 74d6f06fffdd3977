"""The updates of SGD, Adagrad, RMSprop and Adadelta for many rows at once, and what all share.

Each is torch's formula with a column (rows, 1) in the place of every hyperparameter, computed in
place and, where it can be, inside the gradient's own memory. Only operations whose result for an
element does not depend on where in a tensor it stands are used, so that a row gets the same numbers
whatever its neighbours; `torch.pow` is not one of them on the CPU (its vector code and its code for
the remainder differ in the last bit), `expm1`, `exp`, `log` and the arithmetic are.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar

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
    slots: ClassVar[Mapping[str, str]] = {}
    """torch's name of every state, and the attribute that has it, (rows, P) or (rows, 1)."""

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

    def state(self, row: int) -> dict[str, torch.Tensor]:
        """A row's state by torch's names: (P,), or a number for the whole row."""
        there = {
            slot: getattr(self, name) for slot, name in self.slots.items() if name in vars(self)
        }
        return {slot: self._as_torch(slot, one[row], row) for slot, one in there.items()}

    def load(self, row: int, state: Mapping[str, torch.Tensor], updates: float) -> None:
        """Give a row the state that `state` has taken, or an optimizer of torch's has.

        updates  that it has had.
        """
        self._updates[row] = updates
        for slot, value in state.items():
            # What these settings do not ask for, such as a velocity without momentum, is let go.
            if self.slots.get(slot) in vars(self):
                getattr(self, self.slots[slot])[row] = self._as_kept(slot, value, row)

    def _as_torch(self, slot: str, value: torch.Tensor, row: int) -> torch.Tensor:
        """What torch would have in the place of what is kept."""
        return value

    def _as_kept(self, slot: str, value: torch.Tensor, row: int) -> torch.Tensor:
        return value

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

    slots = MappingProxyType({"momentum_buffer": "_velocity"})

    def __init__(self, optims: Sequence[OptimConfig], weights: torch.Tensor) -> None:
        super().__init__(optims, weights)
        self._nesterov = optims[0].name == "nesterov"
        self._has_velocity = bool(getattr(optims[0], "momentum", 0.0))
        if self._has_velocity:
            self._momentum = self._column(optims, "momentum")
            dampening = [getattr(optim, "dampening", 0.0) for optim in optims]
            self._dampens = any(dampening)
            self._undamped = self._column_of(1 - share for share in dampening)
            self._velocity = torch.zeros_like(weights)

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
            if self._dampens:  # but for the first gradient, as torch has it
                gradient.mul_(torch.where(self._updates > 0, self._undamped, self._one))
                self._updates.add_(self._one)
            torch.addcmul(gradient, self._velocity, share, out=self._velocity)
            change = gradient.addcmul_(self._velocity, share) if self._nesterov else self._velocity
        self._weights.addcmul_(change, lr, value=-1)


class Adagrad(Formula):
    """torch.optim.Adagrad."""

    needs_scratch = True
    slots = MappingProxyType({"sum": "_sum"})

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
    slots = MappingProxyType(
        {"square_avg": "_square", "grad_avg": "_mean", "momentum_buffer": "_velocity"}
    )

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
    slots = MappingProxyType({"square_avg": "_gradients", "acc_delta": "_changes"})

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

    def _as_torch(self, slot: str, value: torch.Tensor, row: int) -> torch.Tensor:
        # In double precision, from which single precision comes back as it was.
        return value.double() - self._eps[row].double()

    def _as_kept(self, slot: str, value: torch.Tensor, row: int) -> torch.Tensor:
        return value.to(self._eps.device).double() + self._eps[row].double()
