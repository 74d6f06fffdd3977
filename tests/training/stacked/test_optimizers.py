"""Every row of a stack against the optimizer that would train it alone."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter

from dltune.recipe.schema import OptimConfig
from dltune.training.optimizers import CLASSES, build_optimizer, set_rate
from dltune.training.stacked.fused_rows import FusedRows
from dltune.training.stacked.optimizers import (
    BLOCK_VALUES,
    FORMULAS,
    FUSED_NAMES,
    FUSED_VALUES,
    StackedOptimizer,
    stack_order,
)

CPU = torch.device("cpu")
DOUBLE = torch.float64
UPDATES = 30

# Rows with every setting of the recipe, each with other values than the others have.
ROWS: dict[str, list[dict[str, Any]]] = {
    "sgd": [{}, {"weight_decay": 0.1}, {"weight_decay": 0.3}],
    "momentum": [
        {"momentum": 0.8},
        {"momentum": 0.5, "dampening": 0.2, "weight_decay": 0.1},
        {"momentum": 0.9, "dampening": 0.7},
        {"momentum": 0.0, "dampening": 0.5},
    ],
    "nesterov": [{"momentum": 0.7}, {"momentum": 0.95, "weight_decay": 0.2}, {}],
    "adagrad": [
        {},
        {"lr_decay": 0.1, "initial_accumulator_value": 0.2, "eps": 1e-6},
        {"lr_decay": 0.3, "weight_decay": 0.1, "eps": 1e-3},
    ],
    "rmsprop": [
        {},
        {"alpha": 0.9, "momentum": 0.5, "centered": True, "eps": 1e-5},
        {"alpha": 0.5, "momentum": 0.8, "centered": True, "weight_decay": 0.1},
        {"alpha": 0.0, "eps": 1e-2},
        {"alpha": 0.95, "momentum": 0.9, "weight_decay": 0.2},
    ],
    "adadelta": [{}, {"rho": 0.8, "eps": 1e-4}, {"rho": 0.5, "weight_decay": 0.1}],
    "adam": [
        {},
        {"betas": [0.8, 0.95], "eps": 1e-6, "amsgrad": True, "weight_decay": 0.01},
        {"betas": [0.5, 0.9], "amsgrad": True},
        {"betas": [0.95, 0.99], "eps": 1e-3, "weight_decay": 0.2},
        {"betas": [0.0, 0.0]},
    ],
    "adamax": [{}, {"betas": [0.8, 0.95], "eps": 1e-4}, {"weight_decay": 0.1}],
    "nadam": [
        {},
        {"momentum_decay": 0.01, "betas": [0.8, 0.95], "weight_decay": 0.1},
        {"momentum_decay": 0.1, "decoupled_weight_decay": True, "weight_decay": 0.3},
        {"decoupled_weight_decay": True, "eps": 1e-3},
    ],
    "adamw": [
        {"weight_decay": 0.0},
        {"weight_decay": 0.3, "betas": [0.7, 0.9]},
        {"amsgrad": True, "eps": 1e-4},
    ],
}


def rows_of(name: str) -> list[OptimConfig]:
    return [TypeAdapter(OptimConfig).validate_python({"name": name, **row}) for row in ROWS[name]]


def everything() -> list[OptimConfig]:
    """Rows of all kinds, those of one kind apart from each other."""
    return [rows_of(name)[number] for number in range(3) for name in ROWS]


class Course:
    """Weights, and gradients, rates and momenta for every update, row by row.

    Every third row follows one-cycle's momentum. A gradient in ten is zero all the time.
    """

    def __init__(self, rows: int, values: int, *, updates: int = UPDATES) -> None:
        random = torch.Generator().manual_seed(0)
        self.weights = torch.randn(rows, values, generator=random, dtype=DOUBLE)
        self.gradients = torch.randn(updates, rows, values, generator=random, dtype=DOUBLE)
        self.gradients[:, :, ::10] = 0
        self.rates = 0.1 * torch.rand(updates, rows, generator=random, dtype=DOUBLE)
        self.rates[updates // 2] = 0  # where a schedule touches zero
        self.momenta = 0.5 + 0.4 * torch.rand(updates, rows, generator=random, dtype=DOUBLE)
        self.momenta[:, [row for row in range(rows) if row % 3 != 1]] = math.nan

    def select(self, rows: list[int], dtype: torch.dtype = DOUBLE) -> Course:
        """The same for some of the rows."""
        part = object.__new__(Course)
        part.weights = self.weights[rows].to(dtype)
        part.gradients = self.gradients[:, rows].to(dtype)
        part.rates, part.momenta = self.rates[:, rows].to(dtype), self.momenta[:, rows].to(dtype)
        return part

    def stacked(
        self, optims: list[OptimConfig], device: torch.device = CPU, form: Any = StackedOptimizer
    ) -> torch.Tensor:
        weights = self.weights.clone().to(device)
        optimizer = form(optims, weights)
        for gradient, lr, momentum in zip(self.gradients, self.rates, self.momenta, strict=True):
            optimizer.step(gradient.clone().to(device), lr.to(device), momentum.to(device))
        return weights.to(CPU)

    def looped(self, optims: list[OptimConfig]) -> torch.Tensor:
        # NAdam's product of momenta has the default type: in single precision it loses what is
        # compared here.
        default = torch.get_default_dtype()
        torch.set_default_dtype(DOUBLE)
        try:
            return torch.stack([self._alone(row, optim) for row, optim in enumerate(optims)])
        finally:
            torch.set_default_dtype(default)

    def _alone(self, row: int, optim: OptimConfig) -> torch.Tensor:
        weight = torch.nn.Parameter(self.weights[row].clone())
        optimizer = build_optimizer(optim, [weight], device=CPU)
        for update, gradient in enumerate(self.gradients[:, row]):
            momentum = self.momenta[update, row].item()
            rate = self.rates[update, row].item()
            set_rate(optimizer, rate, None if math.isnan(momentum) else momentum)
            weight.grad = gradient.clone()
            optimizer.step()
        return weight.detach()


def assert_close(ours: torch.Tensor, theirs: torch.Tensor) -> None:
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-13)


def test_every_optimizer_of_the_recipe_is_here() -> None:
    assert set(ROWS) == set(FORMULAS) == set(CLASSES)


@pytest.mark.parametrize("name", sorted(ROWS))
def test_thirty_updates_of_every_row_equal_torch(name: str) -> None:
    optims = rows_of(name)
    course = Course(len(optims), 37)
    assert_close(course.stacked(optims), course.looped(optims))


def test_single_precision_equals_torchs() -> None:
    """1 - 0.999 and 1 - 0.999^t must not be computed from single-precision betas."""
    optims = everything()
    course = Course(len(optims), 37, updates=5).select(list(range(len(optims))), torch.float32)
    course.weights.zero_()  # so that the steps are all that is compared
    torch.testing.assert_close(course.stacked(optims), course.looped(optims), rtol=5e-6, atol=1e-7)


@pytest.mark.parametrize("name", FUSED_NAMES)
def test_large_rows_equal_torch(name: str) -> None:
    optims = rows_of(name)
    course = Course(len(optims), FUSED_VALUES, updates=6)
    assert_close(course.stacked(optims), course.looped(optims))


@pytest.mark.parametrize("name", FUSED_NAMES)
def test_the_two_forms_agree(name: str) -> None:
    optims = [optim for optim in rows_of(name) if not getattr(optim, "amsgrad", False)]
    course = Course(len(optims), 37)

    class Fused(FusedRows):
        def step(self, gradient: Any, lr: Any, momentum: Any) -> None:
            super().step(gradient, lr.unsqueeze(1), momentum.unsqueeze(1), torch.empty(0))

    assert_close(course.stacked(optims, form=Fused), course.stacked(optims))


def test_all_kinds_in_one_stack_in_any_order() -> None:
    optims = everything()
    course = Course(len(optims), 23)
    apart = course.stacked(optims)
    assert_close(apart, course.looped(optims))
    order = stack_order(optims)
    assert order != sorted(order)
    together = course.select(order).stacked([optims[row] for row in order])
    assert torch.equal(together, apart[order])


def test_no_momentum_is_each_rows_own() -> None:
    optims = everything()
    course = Course(len(optims), 5)
    course.momenta[:] = math.nan
    weights = course.weights.clone()
    optimizer = StackedOptimizer(optims, weights)
    for gradient, lr in zip(course.gradients, course.rates, strict=True):
        optimizer.step(gradient.clone(), lr)
    assert torch.equal(weights, course.stacked(optims))


@pytest.mark.parametrize("dtype", [torch.float32, DOUBLE], ids=["single", "double"])
@pytest.mark.parametrize("values", [131, FUSED_VALUES])
def test_a_row_does_not_depend_on_the_others(values: int, dtype: torch.dtype) -> None:
    """Bit for bit, in a stack of 1, of 7 and of 30, whatever the others' momentum and decay."""
    optims = everything()
    course = Course(len(optims), values, updates=5).select(list(range(len(optims))), dtype)
    whole = course.stacked(optims)
    for first in range(0, len(optims), 7):
        rows = list(range(first, min(first + 7, len(optims))))
        some = course.select(rows, dtype).stacked([optims[row] for row in rows])
        assert torch.equal(some, whole[rows])
        alone = course.select(rows[:1], dtype).stacked([optims[first]])
        assert torch.equal(alone, whole[rows[:1]])


def test_a_row_does_not_depend_on_the_blocks() -> None:
    optims = rows_of("adamax") + rows_of("sgd")
    course = Course(len(optims), BLOCK_VALUES // 2, updates=3)  # two rows a block
    whole = course.stacked(optims)
    for row, optim in enumerate(optims):
        assert torch.equal(course.select([row]).stacked([optim])[0], whole[row])


@pytest.mark.parametrize("values", [17, FUSED_VALUES])
def test_the_rows_that_stay_go_on(values: int) -> None:
    optims = everything()
    course = Course(len(optims), values, updates=6)
    whole = course.stacked(optims)
    weights, rows = course.weights.clone(), torch.arange(len(optims))
    optimizer = StackedOptimizer(optims, weights)
    for update, gradient in enumerate(course.gradients):
        if update in (2, 4):  # twice, so that some blocks vanish and some shrink
            stay = torch.tensor([row for row in range(len(rows)) if row % 3 != 0])
            rows, weights = rows[stay], weights[stay]
            optimizer.keep(stay, weights)
        optimizer.step(
            gradient[rows].clone(), course.rates[update, rows], course.momenta[update, rows]
        )
    assert 0 < len(rows) < len(optims) / 2
    assert torch.equal(weights, whole[rows])


def test_rows_out_of_order_are_refused() -> None:
    optimizer = StackedOptimizer(rows_of("sgd"), torch.zeros(3, 2))
    with pytest.raises(ValueError, match=r"^rows \[2, 0\] must ascend$"):
        optimizer.keep(torch.tensor([2, 0]), torch.zeros(2, 2))


@pytest.mark.parametrize("values", [17, FUSED_VALUES])
@pytest.mark.parametrize("poison", [math.nan, math.inf])
def test_a_broken_gradient_stays_in_its_row(values: int, poison: float) -> None:
    optims = everything()
    course = Course(len(optims), values, updates=4)
    healthy = course.stacked(optims)
    course.gradients[1, 4:14, 3] = poison
    broken = course.stacked(optims)
    rest = [*range(4), *range(14, len(optims))]
    assert torch.equal(broken[rest], healthy[rest])
    assert not broken[4:14].isfinite().all()


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@pytest.mark.parametrize("values", [37, FUSED_VALUES])
def test_thirty_updates_equal_torch_on_cuda(values: int) -> None:
    optims = everything()
    course = Course(len(optims), values)
    ours = course.stacked(optims, device=torch.device("cuda"))
    torch.testing.assert_close(ours, course.looped(optims), rtol=1e-8, atol=1e-10)
