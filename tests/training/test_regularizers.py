"""Penalties against autograd on the penalty itself; clipping against the definition."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from dltune.recipe.schema import RegularizeConfig
from dltune.training.regularizers import (
    add_penalty_gradients,
    apply_max_norm,
    clip_gradients,
    penalized_weights,
)


def make_model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 4), nn.Linear(4, 1)
    )


@pytest.mark.parametrize(("l1", "l2"), [(0.0, 0.0), (0.3, 0.0), (0.0, 0.7), (0.3, 0.7)])
def test_penalty_gradient_equals_autograd(l1: float, l2: float) -> None:
    ours, theirs = make_model(), make_model()
    batch = torch.randn(5, 1, 4, 4, generator=torch.Generator().manual_seed(1))
    ours(batch).square().mean().backward()
    add_penalty_gradients(penalized_weights(ours), RegularizeConfig(l1=l1, l2=l2))
    weights = [theirs[0].weight, theirs[3].weight, theirs[4].weight]
    penalty = sum(0.5 * l2 * w.square().sum() + l1 * w.abs().sum() for w in weights)
    (theirs(batch).square().mean() + penalty).backward()
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, other.grad)


def test_frozen_and_unused_weights_are_left_alone() -> None:
    model = make_model()
    model[3].weight.requires_grad_(False)
    assert len(penalized_weights(model)) == 2
    add_penalty_gradients(penalized_weights(model), RegularizeConfig(l2=1.0))
    assert model[4].weight.grad is None


def test_clip_by_norm_and_by_value() -> None:
    def clipped(**settings: float) -> list[float]:
        weight = nn.Parameter(torch.zeros(2))
        weight.grad = torch.tensor([3.0, -4.0])
        clip_gradients([weight], RegularizeConfig(**settings))
        return weight.grad.tolist()

    assert clipped() == [3.0, -4.0]
    assert clipped(clip_value=2.0) == [2.0, -2.0]
    assert clipped(clip_norm=1.0) == pytest.approx([0.6, -0.8], rel=1e-5)
    assert clipped(clip_norm=10.0) == pytest.approx([3.0, -4.0])
    assert clipped(clip_value=2.0, clip_norm=1.0) == pytest.approx([0.5**0.5, -(0.5**0.5)])


def test_max_norm_holds_for_every_unit_and_touches_no_other() -> None:
    model = make_model()
    before = [weight.detach().clone() for weight in model.parameters()]
    apply_max_norm(penalized_weights(model), RegularizeConfig(max_norm=0.55))
    touched = 0
    for old, new in zip(before, model.parameters(), strict=True):
        if new.ndim < 2:
            assert torch.equal(old, new)
            continue
        norms = old.flatten(1).norm(dim=1)
        scale = (0.55 / norms).clamp(max=1.0).view(-1, *[1] * (old.ndim - 1))
        torch.testing.assert_close(new.detach(), old * scale)
        touched += int((norms > 0.55).sum())
    assert 0 < touched < 7  # of 2 filters, 4 units and 1 output


def test_without_max_norm_weights_are_left_alone() -> None:
    model = make_model()
    before = model[3].weight.detach().clone()
    apply_max_norm(penalized_weights(model), RegularizeConfig())
    assert torch.equal(model[3].weight, before)
