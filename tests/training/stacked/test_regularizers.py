"""Penalties, clipping and max-norm of a stack against those of each row alone."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import nn

from dltune.recipe.schema import RegularizeConfig
from dltune.training import regularizers as looped
from dltune.training.stacked.parameters import StackedParameters
from dltune.training.stacked.regularizers import (
    Regularizers,
    add_penalty_gradients,
    apply_max_norm,
    clip_gradients,
)

# Norms of the gradients below are about 7, of what leads into a unit 0.3 to 1.
SETTINGS = {
    "nothing": [{}, {}, {}, {}],
    "l1 and l2": [{"l1": 0.3}, {}, {"l2": 0.7}, {"l1": 0.1, "l2": 0.2}],
    "clip_value": [{"clip_value": 0.5}, {}, {"clip_value": 1.5}, {"clip_value": 100.0}],
    "clip_norm": [{"clip_norm": 0.5}, {"clip_norm": 100.0}, {}, {"clip_norm": 2.0}],
    "max_norm": [{"max_norm": 0.2}, {}, {"max_norm": 0.5}, {"max_norm": 50.0}],
    "all": [
        {"l1": 0.3, "clip_value": 0.5, "clip_norm": 0.5},
        {},
        {"l2": 0.7, "max_norm": 0.3, "clip_norm": 1.0},
        {"max_norm": 0.4, "clip_value": 1.0},
    ],
}


def make_models() -> list[nn.Module]:
    models = []
    for seed in range(4):
        torch.manual_seed(seed)
        model = nn.Sequential(
            nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 4), nn.Linear(4, 1)
        ).double()
        for weight in model.parameters():
            weight.grad = torch.randn_like(weight)
        models.append(model)
    return models


def make_stack(models: list[nn.Module]) -> StackedParameters:
    stack = StackedParameters(models)
    gradients = zip(*[[w.grad for w in model.parameters()] for model in models], strict=True)
    stack.gather([torch.stack(list(rows)) for rows in gradients])
    return stack


def move(stack: StackedParameters, settings: list[RegularizeConfig]) -> None:
    """A plain step between what comes before it and what comes after."""
    regularizers = Regularizers(settings, stack)
    regularizers.before_update()
    stack.weights -= 0.1 * stack.gradient
    regularizers.after_update()


def move_alone(model: nn.Module, settings: RegularizeConfig) -> None:
    weights = looped.penalized_weights(model)
    looped.add_penalty_gradients(weights, settings)
    looped.clip_gradients(list(model.parameters()), settings)
    with torch.no_grad():
        for weight in model.parameters():
            weight -= 0.1 * weight.grad
    looped.apply_max_norm(weights, settings)


@pytest.mark.parametrize("case", SETTINGS)
def test_every_row_equals_the_looped_form(case: str) -> None:
    settings = [RegularizeConfig(**table) for table in SETTINGS[case]]
    models = make_models()
    stack = make_stack(models)
    move(stack, settings)
    for row, (model, own) in enumerate(zip(models, settings, strict=True)):
        move_alone(model, own)
        for leaf, weight in zip(stack.leaves.values(), model.parameters(), strict=True):
            torch.testing.assert_close(leaf[row], weight, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("case", SETTINGS)
def test_a_row_alone_gets_the_same_numbers_bit_by_bit(case: str) -> None:
    settings = [RegularizeConfig(**table) for table in SETTINGS[case]]
    models = [model.float() for model in make_models()]
    whole = make_stack(models)
    move(whole, settings)
    for row, model in enumerate(models):
        alone = make_stack([model])
        move(alone, settings[row : row + 1])
        assert torch.equal(alone.weights[0], whole.weights[row])


@pytest.mark.parametrize("poison", [math.nan, math.inf])
@pytest.mark.parametrize("case", SETTINGS)
def test_a_broken_row_leaves_the_others_alone(case: str, poison: float) -> None:
    settings = [RegularizeConfig(**table) for table in SETTINGS[case]]
    healthy, broken = make_stack(make_models()), make_stack(make_models())
    broken.gradient[1, 3] = broken.weights[2, 3] = poison
    move(healthy, settings)
    move(broken, settings)
    assert torch.equal(healthy.weights[[0, 3]], broken.weights[[0, 3]])
    # A row without any setting keeps its finite values, as it would alone.
    if settings[1] == RegularizeConfig():
        others = torch.arange(healthy.weights.shape[1]) != 3
        assert torch.equal(healthy.weights[1, others], broken.weights[1, others])


def test_clip_norm_equals_torchs() -> None:
    rows = torch.randn(3, 50, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    limits = [0.3, 1e6, 2.0]
    clipped = rows.clone()
    clip_gradients(clipped, clip_value=None, clip_norm=torch.tensor(limits, dtype=torch.float64))
    for row, limit in enumerate(limits):
        weight = nn.Parameter(torch.zeros(50, dtype=torch.float64))
        weight.grad = rows[row].clone()
        nn.utils.clip_grad_norm_([weight], limit)
        torch.testing.assert_close(clipped[row], weight.grad, rtol=1e-14, atol=0)


def test_nothing_is_touched_where_no_row_has_a_setting() -> None:
    """Not even read: the tensors have no memory."""
    weight = torch.empty(2, 3, 3, device="meta")
    add_penalty_gradients([weight], [weight], l1=None, l2=None)
    clip_gradients(weight, clip_value=None, clip_norm=None)
    apply_max_norm([weight], max_norm=None)
    assert weight._version == 0  # torch counts what writes into a tensor


def test_settings_may_be_looked_up_again_after_the_stack_has_shrunk() -> None:
    settings = [RegularizeConfig(**table) for table in SETTINGS["all"]]
    whole, shrunk = make_stack(make_models()), make_stack(make_models())
    gradient = shrunk.gradient.clone()
    shrunk.keep(torch.tensor([0, 3]))
    shrunk.gradient.copy_(gradient[[0, 3]])
    move(whole, settings)
    move(shrunk, [copy.deepcopy(settings[row]) for row in (0, 3)])
    assert torch.equal(shrunk.weights, whole.weights[[0, 3]])
