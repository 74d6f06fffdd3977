"""The losses and errors of a stack against those of each row alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from dltune.errors import TrainingError
from dltune.recipe.schema import Config
from dltune.training.losses import build_loss, error_of
from dltune.training.stacked.losses import build_stacked_loss, row_means, stacked_error
from tests.training.configs import make_config

ROWS, EXAMPLES = 4, 21
SMOOTHED = [{"regularize": {"label_smoothing": share}} for share in (0.0, 0.1, 0.5, 0.0)]
CASES: dict[str, tuple[str, list[dict[str, Any]]]] = {
    "cross-entropy": ("classification", [{}] * ROWS),
    "label smoothing": ("classification", SMOOTHED),
    "mse": ("regression", [{"objective": {"loss": "mse"}}] * ROWS),
    "mae": ("regression", [{"objective": {"loss": "mae"}}] * ROWS),
    "huber": (
        "regression",
        [{"objective": {"loss": "huber", "huber_delta": d}} for d in (0.1, 1.0, 2.0, 50.0)],
    ),
}


def configs_of(case: str) -> list[Config]:
    return [make_config(**sections) for sections in CASES[case][1]]


def make_outputs(units: int) -> torch.Tensor:
    random = torch.Generator().manual_seed(1)
    return 3 * torch.randn(ROWS, units, EXAMPLES, generator=random, dtype=torch.float64)


def make_targets(task: str, units: int, *, shared: bool) -> torch.Tensor:
    random = torch.Generator().manual_seed(2)
    if task == "classification":
        targets = torch.randint(0, units, (ROWS, EXAMPLES), generator=random)
    else:
        targets = torch.randn(ROWS, units, EXAMPLES, generator=random, dtype=torch.float64)
    return targets[0] if shared else targets


def of_row(targets: torch.Tensor, row: int, *, task: str, shared: bool) -> torch.Tensor:
    """In the layout of a single model: examples first."""
    mine = targets if shared else targets[row]
    return mine if task == "classification" else mine.t()


@pytest.mark.parametrize("shared", [False, True], ids=["own targets", "shared targets"])
@pytest.mark.parametrize("plain", [False, True], ids=["trained on", "reported"])
@pytest.mark.parametrize("case", CASES)
def test_losses_and_gradients_equal_each_rows_own(case: str, plain: bool, shared: bool) -> None:
    task, _ = CASES[case]
    configs = configs_of(case)
    outputs = make_outputs(5).requires_grad_()
    targets = make_targets(task, 5, shared=shared)
    loss = build_stacked_loss(configs, task=task)
    losses = (loss.plain if plain else loss)(outputs, targets)
    (gradients,) = torch.autograd.grad(losses.sum(), outputs)
    for row, config in enumerate(configs):
        alone = outputs[row].detach().t().requires_grad_()
        of_one = build_loss(config, task=task, smoothing=not plain)
        expected = of_one(alone, of_row(targets, row, task=task, shared=shared))
        expected.backward()
        torch.testing.assert_close(losses[row], expected, rtol=1e-12, atol=0)
        torch.testing.assert_close(gradients[row], alone.grad.t(), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("case", CASES)
def test_a_row_alone_has_the_same_loss_bit_by_bit(case: str) -> None:
    task, _ = CASES[case]
    configs, targets = configs_of(case), make_targets(task, 5, shared=False)
    outputs = make_outputs(5).float()
    targets = targets if task == "classification" else targets.float()
    together = build_stacked_loss(configs, task=task)(outputs, targets)
    for row, config in enumerate(configs):
        rows = slice(row, row + 1)
        alone = build_stacked_loss([config], task=task)(outputs[rows], targets[rows])
        assert torch.equal(alone, together[rows])


def test_the_mean_of_a_long_row_does_not_depend_on_its_neighbours() -> None:
    values = torch.randn(3, 200_001, generator=torch.Generator().manual_seed(0))
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert torch.equal(row_means(values[:1]), row_means(values)[:1])
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("case", CASES)
def test_a_broken_row_leaves_the_others_alone(case: str) -> None:
    task, _ = CASES[case]
    loss = build_stacked_loss(configs_of(case), task=task)
    targets = make_targets(task, 5, shared=False)
    healthy, broken = make_outputs(5).requires_grad_(), make_outputs(5)
    broken[1] = torch.nan
    broken.requires_grad_()
    rest = [0, 2, 3]
    losses = loss(healthy, targets), loss(broken, targets)
    assert losses[1].isnan().tolist() == [False, True, False, False]
    assert torch.equal(losses[0][rest], losses[1][rest])
    first, second = (
        torch.autograd.grad(one.sum(), outputs)[0]
        for one, outputs in zip(losses, (healthy, broken), strict=True)
    )
    assert torch.equal(first[rest], second[rest])


def test_a_row_without_smoothing_may_rule_a_class_out() -> None:
    configs = [make_config(**sections) for sections in SMOOTHED[:2]]
    outputs = torch.tensor([[[0.0], [-torch.inf]], [[0.0], [0.0]]], requires_grad=True)
    losses = build_stacked_loss(configs, task="classification")(outputs, torch.tensor([[0], [0]]))
    assert losses[0].item() == 0.0
    (gradient,) = torch.autograd.grad(losses.sum(), outputs)
    assert gradient[0].flatten().tolist() == [0.0, 0.0]


@pytest.mark.parametrize("shared", [False, True], ids=["own targets", "shared targets"])
def test_shares_of_mistakes_equal_exactly(shared: bool) -> None:
    outputs = make_outputs(3)
    outputs[:, :, :5] = 0.0  # all classes alike: the first one counts
    targets = make_targets("classification", 3, shared=shared)
    errors = stacked_error(outputs, targets, task="classification")
    for row in range(ROWS):
        own = of_row(targets, row, task="classification", shared=shared)
        assert errors[row] == error_of(outputs[row].t(), own, task="classification")


@pytest.mark.parametrize("shared", [False, True], ids=["own targets", "shared targets"])
@pytest.mark.parametrize("units", [1, 3])
def test_shares_of_spread_equal(units: int, shared: bool) -> None:
    outputs = make_outputs(units).float()
    targets = make_targets("regression", units, shared=shared).float()
    errors = stacked_error(outputs, targets, task="regression")
    for row in range(ROWS):
        own = of_row(targets, row, task="regression", shared=shared)
        expected = error_of(outputs[row].t(), own, task="regression")
        torch.testing.assert_close(errors[row], expected, rtol=1e-6, atol=0)


def test_what_does_not_fit_the_task_is_refused() -> None:
    configs = [make_config(), make_config(regularize={"label_smoothing": 0.2})]
    with pytest.raises(TrainingError) as caught:
        build_stacked_loss(configs, task="regression")
    assert str(caught.value) == (
        "regularize.label_smoothing = 0.2: regression has no labels to smooth\n"
        "Try --set regularize.label_smoothing=0."
    )
