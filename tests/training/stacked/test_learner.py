"""A stack of learners, update by update, against each of them alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from dltune.data.device import DeviceData
from dltune.training.history import Trial
from dltune.training.learner import Learner
from dltune.training.stacked.learner import StackedLearner
from tests.training.configs import make_config

HERE = Path()
DOUBLE = {"precision": "float64", "batch_size": 40, "epochs": 2}
CLOSE = {"rtol": 1e-10, "atol": 1e-12}


def trials_of(*optimizers: str, train: dict[str, Any] | None = None, **more: Any) -> list[Trial]:
    sections = {"model": {"hidden": [6], "batch_norm": True}, "train": DOUBLE | (train or {})}
    return [
        Trial(
            number=number, config=make_config(**sections, optim={"name": name}, **more), seed=seed
        )
        for number, (name, seed) in enumerate(zip(optimizers, range(7, 99), strict=False))
    ]


def both(data: DeviceData, trials: Sequence[Trial]) -> tuple[StackedLearner, list[Learner]]:
    """The stack, and in the order of its rows each one alone."""
    stack = StackedLearner(trials, data, folder=HERE)
    alone = [Learner(one.config, seed=one.seed, data=data, folder=HERE) for one in stack.trials]
    return stack, alone


def assert_rows(
    found: dict[str, torch.Tensor], alone: Sequence[Learner], *, gradients: bool
) -> None:
    for row, learner in enumerate(alone):
        expected = dict(learner.model.named_parameters())
        assert found.keys() == expected.keys()
        for name, weight in expected.items():
            other = weight.grad if gradients else weight.detach()
            torch.testing.assert_close(found[name][row].detach(), other, **CLOSE)


@pytest.mark.parametrize("accumulate", [1, 2, 3])
def test_batches_are_each_rows_own(wine: DeviceData, accumulate: int) -> None:
    """106 wines in batches of 40, 40 and 26; over two epochs."""
    stack, alone = both(wine, trials_of("sgd", "adam", "sgd", train={"accumulate": accumulate}))
    assert stack.updates_per_epoch == {1: 3, 2: 2, 3: 1}[accumulate]
    for _ in range(2):
        updates = list(stack.update_batches())
        assert len(updates) == stack.updates_per_epoch
        theirs = [list(learner.update_batches()) for learner in alone]
        for number, batches in enumerate(updates):
            assert [batch.shape[0] for batch in batches] == [3] * len(batches)
            for row, epoch in enumerate(theirs):
                for mine, other in zip(batches, epoch[number], strict=True):
                    assert torch.equal(mine[row], other)


@pytest.mark.parametrize("accumulate", [1, 3])
def test_losses_and_gradients_are_each_rows_own(wine: DeviceData, accumulate: int) -> None:
    """Batches of unequal size count by their examples."""
    stack, alone = both(wine, trials_of("sgd", "sgd", train={"accumulate": accumulate}))
    with stack.running():
        losses = stack.gradients(next(iter(stack.update_batches())))
    assert losses.shape == (2,)
    assert not losses.requires_grad
    for learner, loss in zip(alone, losses, strict=True):
        with learner.training():
            expected = learner.gradients(next(iter(learner.update_batches())))
        torch.testing.assert_close(loss, expected, **CLOSE)
    assert_rows(stack.parameters.gradients, alone, gradients=True)


@pytest.mark.parametrize("regularize", [{}, {"l2": 0.1, "clip_norm": 0.05}, {"max_norm": 0.2}])
def test_an_update_is_each_rows_own(wine: DeviceData, regularize: dict[str, float]) -> None:
    """At rates that differ, with penalties, clipping and max-norm."""
    trials = trials_of("sgd", "adam", "momentum", "adam", regularize=regularize)
    stack, alone = both(wine, trials)
    rates = torch.tensor([0.3, 0.01, 0.02, 0.05], dtype=torch.float64)
    with stack.running():
        for batches in stack.update_batches():
            stack.gradients(batches)
            stack.apply(rates, None)
    for learner, rate in zip(alone, rates.tolist(), strict=True):
        with learner.training():
            for batches in learner.update_batches():
                learner.gradients(batches)
                learner.apply(rate)
    assert_rows(stack.parameters.leaves, alone, gradients=False)


def test_an_epoch_is_its_updates_one_by_one(wine: DeviceData) -> None:
    trials = trials_of("adam", "adam")
    whole, parts = (StackedLearner(trials, wine, folder=HERE) for _ in range(2))
    with whole.running():
        whole.run_epoch()
    rates = torch.full((2,), trials[0].config.optim.lr, dtype=torch.float64)
    with parts.running():
        for batches in parts.update_batches():
            parts.gradients(batches)
            parts.apply(rates, None)
    assert torch.equal(whole.parameters.weights, parts.parameters.weights)


def test_a_momentum_is_passed_on(wine: DeviceData) -> None:
    """NaN, and none at all, leave each row its own of 0.9."""
    trials = trials_of("momentum", "momentum")

    def after(momentum: list[float] | None) -> torch.Tensor:
        stack = StackedLearner(trials, wine, folder=HERE)
        rates = torch.full((2,), 0.1, dtype=torch.float64)
        values = None if momentum is None else torch.tensor(momentum, dtype=torch.float64)
        with stack.running():
            for batches in stack.update_batches():
                stack.gradients(batches)
                stack.apply(rates, values)
        return stack.parameters.weights.clone()

    own, mixed = after(None), after([float("nan"), 0.5])
    assert torch.equal(own, after([0.9, 0.9]))
    assert torch.equal(own[0], mixed[0])
    assert not torch.equal(own[1], mixed[1])


def test_masks_follow_the_batches(wine: DeviceData) -> None:
    """Dropout at the same place of an epoch, whether it is run or asked for in parts."""
    trials = [
        dataclasses.replace(
            trial, config=make_config(model={"hidden": [8], "dropout": 0.5}, train=DOUBLE)
        )
        for trial in trials_of("sgd", "sgd")
    ]
    stack, alone = both(wine, trials)
    for _ in range(2):
        with stack.running():
            losses = [stack.gradients(batches) for batches in stack.update_batches()]
        for row, learner in enumerate(alone):
            with learner.training():
                expected = [learner.gradients(one) for one in learner.update_batches()]
            for mine, other in zip(losses, expected, strict=True):
                torch.testing.assert_close(mine[row], other, **CLOSE)
