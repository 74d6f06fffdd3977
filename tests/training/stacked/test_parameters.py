"""One matrix, and views of it."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from dltune.training.stacked.parameters import ALIGNED_VALUES, StackedParameters


def modules(count: int) -> list[nn.Module]:
    torch.manual_seed(0)
    return [nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2), nn.PReLU()) for _ in range(count)]


def test_rows_are_the_modules_and_leaves_are_views() -> None:
    made = modules(3)
    stack = StackedParameters(made)
    assert stack.count == 6 + 2 + 2 + 2 + 1
    assert stack.weights.shape == (3, 5 * ALIGNED_VALUES)
    assert stack.weights.count_nonzero(dim=1).max() <= stack.count
    assert list(stack.leaves) == [name for name, _ in made[0].named_parameters()]
    for row, module in enumerate(made):
        for name, weight in module.named_parameters():
            assert torch.equal(stack.leaves[name][row], weight)
    stack.weights.fill_(7.0)
    assert all(bool((leaf == 7.0).all()) for leaf in stack.leaves.values())


def test_gradients_land_in_the_matrix() -> None:
    stack = StackedParameters(modules(2))
    loss = sum((leaf * leaf).sum() for leaf in stack.leaves.values())
    gradients = torch.autograd.grad(loss, list(stack.leaves.values()))
    stack.gather(gradients)
    torch.testing.assert_close(stack.gradient, 2 * stack.weights)
    stack.add(gradients)
    torch.testing.assert_close(stack.gradient, 4 * stack.weights)


def test_every_parameter_begins_a_line_of_the_cache() -> None:
    stack = StackedParameters(modules(3))
    starts = {leaf[row].data_ptr() % 64 for leaf in stack.leaves.values() for row in range(3)}
    assert starts == {0}


def test_what_is_between_parameters_stays_zero() -> None:
    stack = StackedParameters(modules(2))
    used = torch.zeros_like(stack.weights)
    for view in stack.views(used).values():
        view.fill_(1.0)
    stack.gradient.fill_(9.0)  # an optimizer works in it
    stack.gather([torch.ones_like(leaf) for leaf in stack.leaves.values()])
    assert torch.equal(stack.gradient, used)


def test_keeping_rows_makes_new_views() -> None:
    stack = StackedParameters(modules(4))
    before, mean = stack.weights.clone(), stack.buffers["1.running_mean"]
    mean[2] = 5.0
    stack.keep(torch.tensor([2, 3]))
    assert torch.equal(stack.weights, before[2:])
    assert stack.buffers["1.running_mean"].tolist() == [[5.0, 5.0], [0.0, 0.0]]
    stack.weights.zero_()
    assert all(bool((leaf == 0.0).all()) for leaf in stack.leaves.values())


def test_frozen_parameters_are_buffers() -> None:
    made = modules(2)
    for module in made:
        module[0].weight.requires_grad_(False)
    stack = StackedParameters(made)
    assert stack.count == 7
    assert torch.equal(stack.buffers["0.weight"][1], made[1][0].weight)


def test_a_parameter_without_dimensions() -> None:
    class Scale(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.tensor(2.0))

    stack = StackedParameters([Scale(), Scale(), Scale()])
    assert stack.leaves["scale"].tolist() == [2.0, 2.0, 2.0]


def test_the_largest_values_of_every_row() -> None:
    """Of weights and gradients, without their signs; not of buffers."""
    made = modules(3)
    stack = StackedParameters(made)
    stack.buffers["1.running_mean"].fill_(1e9)
    stack.weights.zero_()
    stack.leaves["0.weight"].data[0, 1, 2] = -7.0
    stack.leaves["2.weight"].data[2, 0] = 3e38  # whose square is more than float32 holds
    stack.gradients["0.bias"][1, 0] = -0.5
    assert stack.largest().tolist() == [[7.0, 0.0, pytest.approx(3e38)], [0.0, 0.5, 0.0]]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("matrix", [0, 1])
def test_one_broken_value_is_seen_in_its_row_alone(matrix: int, value: float) -> None:
    stack = StackedParameters(modules(3))
    views = (stack.leaves, stack.gradients)[matrix]
    views["0.weight"].data[1, 0, 1] = value
    finite = stack.largest().isfinite().tolist()
    assert finite[matrix] == [True, False, True]
    assert finite[1 - matrix] == [True, True, True]


def test_the_stack_is_made_where_the_modules_are_and_moved() -> None:
    """To the device without values here: all that a training uses must be there, once."""
    made, meta = modules(3), torch.device("meta")
    stack = StackedParameters(made, device=meta)
    tensors = [stack.weights, stack.gradient, *stack.leaves.values(), *stack.buffers.values()]
    assert {one.device for one in tensors} == {meta}
    assert {weight.device.type for module in made for weight in module.parameters()} == {"cpu"}
    stack.gather([torch.ones_like(leaf) for leaf in stack.leaves.values()])
    stack.keep(torch.tensor([0, 2]))
    assert stack.weights.device == meta
    shares = {leaf.untyped_storage()._cdata for leaf in stack.leaves.values()}
    assert shares == {stack.weights.untyped_storage()._cdata}


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_the_stack_on_cuda_is_that_of_modules_on_cuda() -> None:
    made, cuda = modules(3), torch.device("cuda")
    moved = StackedParameters(made, device=cuda)
    there = StackedParameters([module.to(cuda) for module in made])
    assert torch.equal(moved.weights, there.weights)
    assert moved.weights.device == there.weights.device
    for name, buffer in there.buffers.items():
        assert torch.equal(moved.buffers[name], buffer)
    moved.gather([torch.ones_like(leaf) for leaf in moved.leaves.values()])
    assert moved.gradient.count_nonzero() == 3 * moved.count
