"""One update at a time, alone and in a stack, against plain torch."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from dltune.data.device import DeviceData
from dltune.lr.steppers import Look, LoopedStepper, StackedStepper, Stepper, look_at
from dltune.training.learner import Learner
from tests.lr.configs import make_config, make_trials

HERE = Path()
DOUBLE = {"precision": "float64", "batch_size": 32}


def steppers(
    data: DeviceData, *optimizers: str, hidden: tuple[int, ...] = (8,), **train: object
) -> tuple[list[LoopedStepper], StackedStepper]:
    """The same models one by one, and as a stack."""
    trials = make_trials(
        *(
            make_config(
                model={"hidden": list(hidden)}, optim={"name": name}, train={**DOUBLE, **train}
            )
            for name in optimizers
        )
    )
    alone = [LoopedStepper(trial, data=data, folder=HERE) for trial in trials]
    return alone, StackedStepper(trials, data=data, folder=HERE)


def looks_of(stepper: Stepper, rates: list[float]) -> list[list[Look]]:
    looks = []
    with stepper.running():
        looks.append(stepper.look())
        for rate in rates:
            stepper.update(rate)
            looks.append(stepper.look())
    return looks


@pytest.mark.parametrize("stacked", [False, True])
def test_a_look_and_an_update_are_those_of_plain_torch(wine: DeviceData, stacked: bool) -> None:
    (alone,), together = steppers(wine, "sgd", hidden=())
    looks = looks_of(together if stacked else alone, [0.1, 0.2])
    (trial,) = make_trials(make_config(model={"hidden": []}, train=DOUBLE))
    learner = Learner(trial.config, seed=trial.seed, data=wine, folder=HERE)
    weights = [weight.detach().clone().requires_grad_() for weight in learner.parameters]
    features = wine.train.features.double()
    for (look,), (batch,), rate in zip(
        looks, learner.update_batches(), [0.1, 0.2, 0.0], strict=False
    ):
        outputs = features[batch] @ weights[0].T + weights[1]
        loss = F.cross_entropy(outputs, wine.train.targets[batch])
        gradients = torch.autograd.grad(loss, weights)
        largest = [max(v.abs().max().item() for v in some) for some in (weights, gradients)]
        assert look == pytest.approx((loss.item(), *largest), rel=1e-12)
        with torch.no_grad():
            for weight, gradient in zip(weights, gradients, strict=True):
                weight -= rate * gradient


def test_a_stack_looks_in_the_order_of_its_trials(wine: DeviceData) -> None:
    """Inside, rows with the same optimizer stand next to each other."""
    alone, together = steppers(wine, "sgd", "adam", "sgd", "adagrad", "adam")
    rates = [0.01, 0.02, 0.04, 0.08, 0.16]
    expected = [looks_of(one, rates) for one in alone]
    for number, looks in enumerate(looks_of(together, rates)):
        for row, look in enumerate(looks):
            assert look == pytest.approx(expected[row][number][0], rel=1e-10), (row, number)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_batches_go_on_after_an_epoch_in_a_new_order(wine: DeviceData, accumulate: int) -> None:
    """106 wines in batches of 32 are four updates, or two of two batches."""
    alone, together = steppers(wine, "sgd", "sgd", accumulate=accumulate)
    per_epoch = 4 // accumulate
    for stepper in (*alone, together):
        assert stepper.updates_per_epoch == per_epoch
        looks = looks_of(stepper, [0.0] * (3 * per_epoch - 1))
        losses = [look[0].loss for look in looks]
        epochs = [losses[start : start + per_epoch] for start in range(0, len(losses), per_epoch)]
        # Weights that do not move: the same examples, in other batches.
        sizes = [32, 32, 32, 10] if accumulate == 1 else [64, 42]
        means = [
            sum(size * loss for size, loss in zip(sizes, epoch, strict=True)) / 106
            for epoch in epochs
        ]
        assert means == pytest.approx([means[0]] * 3, rel=1e-12)
        assert epochs[0] != pytest.approx(epochs[1], rel=1e-6)


@pytest.mark.parametrize("stacked", [False, True])
def test_models_are_in_train_mode(wine: DeviceData, stacked: bool) -> None:
    """Without a step, dropout gives the same batch another loss at every look."""
    trials = make_trials(
        *[make_config(model={"hidden": [16], "dropout": 0.5}, train={"batch_size": "full"})] * 2
    )
    stepper = (
        StackedStepper(trials, data=wine, folder=HERE)
        if stacked
        else LoopedStepper(trials[0], data=wine, folder=HERE)
    )
    looks = looks_of(stepper, [0.0] * 5)
    assert len({look[0].loss for look in looks}) == 6


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("where", ["weight", "gradient"])
def test_one_broken_value_is_seen(where: str, value: float) -> None:
    weights = [nn.Parameter(torch.ones(300)), nn.Parameter(torch.ones(7, 5))]
    for weight in weights:
        weight.grad = torch.full_like(weight, 0.5)
    broken = weights[1].data if where == "weight" else weights[1].grad
    assert broken is not None
    broken[3, 2] = value
    look = look_at(torch.tensor(2.0), weights)
    assert look.loss == 2.0
    assert not math.isfinite(getattr(look, where))
    assert {"weight": look.gradient, "gradient": look.weight}[where] in (0.5, 1.0)


def test_huge_values_do_not_overflow() -> None:
    """The sum of their squares would."""
    weight = nn.Parameter(torch.full((10,), -3e38))
    weight.grad = torch.full((10,), 2e38)
    assert look_at(torch.tensor(1.0), [weight]) == pytest.approx((1.0, 3e38, 2e38))


def test_a_parameter_that_took_no_part_has_no_gradient() -> None:
    weights = [nn.Parameter(torch.ones(2)), nn.Parameter(torch.full((2,), 4.0))]
    weights[0].grad = torch.tensor([0.5, -2.0])
    assert look_at(torch.tensor(1.0), weights) == (1.0, 4.0, 2.0)
