"""Penalties, clipping and the max-norm constraint, with each row's own strength.

The formulas are those of `training.regularizers`. Where no row has a setting, nothing is computed
for it; a row without it gets the numbers that it would get alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from dltune.recipe.schema import RegularizeConfig
from dltune.training.regularizers import RENORM_EPS
from dltune.training.stacked.parameters import StackedParameters

# Added to the norm by torch.nn.utils.clip_grad_norm_, whose results these are.
CLIP_EPS = 1e-6


class Regularizers:
    """What is done to the gradient before an update and to the weights after it.

    regularize  one a row.
    parameters  of the stack; looked at afresh in every call.
    """

    def __init__(
        self, regularize: Sequence[RegularizeConfig], parameters: StackedParameters
    ) -> None:
        self._parameters = parameters
        # Of two dimensions or more in each row: see `training.regularizers.penalized_weights`.
        self._names = [name for name, leaf in parameters.leaves.items() if leaf.ndim >= 3]
        like = parameters.weights
        self._l1 = row_values([one.l1 for one in regularize], like, none=0.0)
        self._l2 = row_values([one.l2 for one in regularize], like, none=0.0)
        self._clip_value = row_values([one.clip_value for one in regularize], like, none=math.inf)
        self._clip_norm = row_values([one.clip_norm for one in regularize], like, none=math.inf)
        self._max_norm = row_values([one.max_norm for one in regularize], like, none=math.inf)

    def before_update(self) -> None:
        """Penalties and clipping, on the gradient."""
        leaves, gradients = self._parameters.leaves, self._parameters.gradients
        add_penalty_gradients(
            [leaves[name] for name in self._names],
            [gradients[name] for name in self._names],
            l1=self._l1,
            l2=self._l2,
        )
        clip_gradients(
            self._parameters.gradient, clip_value=self._clip_value, clip_norm=self._clip_norm
        )

    def after_update(self) -> None:
        """The max-norm constraint, on the weights."""
        leaves = self._parameters.leaves
        apply_max_norm([leaves[name] for name in self._names], max_norm=self._max_norm)


def row_values(
    values: Sequence[float | None], like: torch.Tensor, *, none: float
) -> torch.Tensor | None:
    """A setting of every row as (S,), dtype and device of `like`; None where no row has it.

    none  what stands for a row without the setting, and is itself no setting.

    >>> row_values([None, 2.0], torch.empty(0), none=float("inf"))
    tensor([inf, 2.])
    >>> row_values([None, None], torch.empty(0), none=float("inf")) is None
    True
    """
    filled = [none if value is None else value for value in values]
    if all(value == none for value in filled):
        return None
    return torch.tensor(filled, dtype=like.dtype).to(like.device)


def add_penalty_gradients(
    weights: Sequence[torch.Tensor],
    gradients: Sequence[torch.Tensor],
    *,
    l1: torch.Tensor | None,
    l2: torch.Tensor | None,
) -> None:
    """Add l2 w + l1 sign(w) to each weight's gradient, in place.

    weights    what penalties act on, each (S, *shape); gradients likewise.
    l1, l2     (S,), 0 for a row without; None where no row has one.

    >>> gradient = torch.zeros(2, 1, 1)
    >>> l2 = torch.tensor([0.5, 0.0])
    >>> add_penalty_gradients([torch.full((2, 1, 1), -2.0)], [gradient], l1=None, l2=l2)
    >>> gradient.flatten().tolist()
    [-1.0, 0.0]
    """
    if l1 is None and l2 is None:
        return
    with torch.no_grad():
        for weight, gradient in zip(weights, gradients, strict=True):
            if l2 is not None:
                gradient.addcmul_(weight, _beside(l2, weight))
            if l1 is not None:
                gradient.addcmul_(weight.sign(), _beside(l1, weight))


def clip_gradients(
    gradient: torch.Tensor, *, clip_value: torch.Tensor | None, clip_norm: torch.Tensor | None
) -> None:
    """Clip by value, then by the norm of each row, in place.

    gradient               (S, P).
    clip_value, clip_norm  (S,), inf for a row without; None where no row has one.

    Source: Pascanu, Mikolov & Bengio 2013 (1211.5063), algorithm 1, for the norm.

    >>> gradient = torch.tensor([[3.0, 4.0], [3.0, 4.0]])
    >>> clip_gradients(gradient, clip_value=None, clip_norm=torch.tensor([1.0, torch.inf]))
    >>> gradient[0].norm().round(decimals=4).item(), gradient[1].norm().item()
    (1.0, 5.0)
    """
    if clip_value is not None:
        # Two passes: torch.clamp with tensors for bounds takes six times as long.
        high = clip_value.unsqueeze(1)
        torch.minimum(gradient, high, out=gradient)
        torch.maximum(gradient, -high, out=gradient)
    if clip_norm is not None:
        norms = torch.linalg.vector_norm(gradient, dim=1)
        scale = (clip_norm / (norms + CLIP_EPS)).clamp_(max=1.0)
        # A row without clipping keeps its finite values beside an infinite one.
        scale = torch.where(clip_norm.isinf(), torch.ones_like(scale), scale)
        gradient.mul_(scale.unsqueeze(1))


def apply_max_norm(weights: Sequence[torch.Tensor], *, max_norm: torch.Tensor | None) -> None:
    """Scale down, in place, what leads into a unit where its norm exceeds the row's limit.

    weights   each (S, units, *inputs).
    max_norm  (S,), inf for a row without; None where no row has one.

    >>> weight = torch.tensor([[[3.0, 4.0], [0.3, 0.4]]])
    >>> apply_max_norm([weight], max_norm=torch.tensor([1.0]))
    >>> weight
    tensor([[[0.6000, 0.8000],
             [0.3000, 0.4000]]])
    """
    if max_norm is None:
        return
    with torch.no_grad():
        for weight in weights:
            inputs = list(range(2, weight.ndim))
            norms = torch.linalg.vector_norm(weight, dim=inputs, keepdim=True)
            limit = _beside(max_norm, weight)
            weight.mul_(torch.where(norms > limit, limit / (norms + RENORM_EPS), 1.0))


def _beside(values: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """(S,) → (S, 1, ...), to be combined with (S, *shape)."""
    return values.view(-1, *[1] * (weight.ndim - 1))
