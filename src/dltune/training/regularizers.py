"""Penalties and clipping, between backward and update, and the max-norm constraint after it."""

from __future__ import annotations

import torch
from torch import nn

from dltune.recipe.schema import RegularizeConfig

# What torch.renorm adds to a norm before it divides by it.
RENORM_EPS = 1e-7


def penalized_weights(model: nn.Module) -> list[nn.Parameter]:
    """What L1 and L2 act on: weights, but neither biases nor a norm's scale and shift.

    Those are the ones with two dimensions or more, since biases and norm parameters are vectors.

    >>> model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    >>> [tuple(weight.shape) for weight in penalized_weights(model)]
    [(2, 3)]
    """
    return [weight for weight in model.parameters() if weight.requires_grad and weight.ndim >= 2]


def add_penalty_gradients(weights: list[nn.Parameter], regularize: RegularizeConfig) -> None:
    """Add the gradient of 0.5 l2 sum w^2 + l1 sum |w| to each weight's gradient, in place.

    The gradients l2 w and l1 sign(w) are added directly: the penalties never enter the loss, so the
    loss that is recorded stays comparable between trials.

    >>> layer = nn.Linear(1, 1); _ = nn.init.constant_(layer.weight, -2.0)
    >>> layer.weight.grad = torch.zeros(1, 1)
    >>> add_penalty_gradients([layer.weight], RegularizeConfig(l2=0.5, l1=0.25))
    >>> layer.weight.grad.item()
    -1.25
    """
    if not regularize.l1 and not regularize.l2:
        return
    with torch.no_grad():
        for weight in weights:
            if weight.grad is None:
                continue
            if regularize.l2:
                weight.grad.add_(weight, alpha=regularize.l2)
            if regularize.l1:
                weight.grad.add_(weight.sign(), alpha=regularize.l1)


def clip_gradients(parameters: list[nn.Parameter], regularize: RegularizeConfig) -> None:
    """Clip by value, then by the norm over all parameters; nothing where neither is set.

    Source: Pascanu, Mikolov & Bengio 2013 (1211.5063), algorithm 1, for the norm.
    """
    if regularize.clip_value is not None:
        nn.utils.clip_grad_value_(parameters, regularize.clip_value)
    if regularize.clip_norm is not None:
        nn.utils.clip_grad_norm_(parameters, regularize.clip_norm)


def apply_max_norm(weights: list[nn.Parameter], regularize: RegularizeConfig) -> None:
    """Scale down, in place, what leads into a unit where its norm exceeds `max_norm`.

    weights  those of `penalized_weights`; a unit is an index of the first dimension, so that for a
             layer of (outputs, inputs) or (filters, channels, height, width) its inputs are the
             rest.

    ||w_unit||_2 <= max_norm. Source: Srivastava et al. 2014, section 5.1.

    >>> layer = nn.Linear(2, 1); _ = layer.weight.data.copy_(torch.tensor([[3.0, 4.0]]))
    >>> apply_max_norm([layer.weight], RegularizeConfig(max_norm=1.0))
    >>> layer.weight.norm().round(decimals=4).item()
    1.0
    """
    if regularize.max_norm is None:
        return
    with torch.no_grad():
        for weight in weights:
            weight.renorm_(p=2, dim=0, maxnorm=regularize.max_norm)
