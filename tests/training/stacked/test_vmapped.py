"""A user's module with the weights of all rows: each row as its own module alone."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from dltune.training.measure import DeadUnits
from dltune.training.stacked.dropout import DropoutMasks
from dltune.training.stacked.parameters import StackedParameters
from dltune.training.stacked.vmapped import VmappedNetwork, named_tensors, row_state
from tests.training.stacked.own_nets import (
    INPUTS,
    STACKABLE,
    Encoder,
    OneRectifier,
    RunningMean,
    Tied,
    dense,
    images,
)

TRAINS = DropoutMasks([], [], torch.zeros(1))


def made(build: Callable[[], nn.Module], rows: int = 3) -> list[nn.Module]:
    torch.manual_seed(0)
    return [build().double() for _ in range(rows)]


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("build", STACKABLE.values(), ids=list(STACKABLE))
def test_each_row_is_its_module(build: Callable[[], nn.Module], training: bool) -> None:
    modules = made(build)
    stack = StackedParameters(modules)
    network = VmappedNetwork(modules[0])
    inputs = torch.randn(3, 5, INPUTS, dtype=torch.float64)
    if not training:
        inputs = inputs[0]
    kept = inputs.clone()
    outputs = network.forward(
        stack.leaves, stack.buffers, inputs.clone(), dropout=TRAINS if training else None
    )
    gradients = torch.autograd.grad(outputs.square().sum(), list(stack.leaves.values()))
    for row, module in enumerate(modules):
        module.train(training)
        alone = module((kept[row] if training else kept).clone())
        torch.testing.assert_close(outputs[row].t(), alone, rtol=1e-12, atol=1e-12)
        weights = [weight for weight in module.parameters() if weight.requires_grad]
        mine = torch.autograd.grad(alone.square().sum(), weights)
        for one, other in zip(mine, gradients, strict=True):
            torch.testing.assert_close(other[row], one, rtol=1e-10, atol=1e-12)
        tensors = {**stack.leaves, **stack.buffers}
        for name, tensor in named_tensors(module):
            torch.testing.assert_close(tensors[name][row], tensor)


def test_shared_inputs_are_not_written_into() -> None:
    modules = made(STACKABLE["writes into its input"])
    stack, inputs = StackedParameters(modules), torch.ones(2, INPUTS, dtype=torch.float64)
    VmappedNetwork(modules[0]).forward(stack.leaves, stack.buffers, inputs, dropout=None)
    assert torch.equal(inputs, torch.ones_like(inputs))


def test_a_row_of_nan_stays_alone() -> None:
    modules = made(dense)
    stack = StackedParameters(modules)
    inputs = torch.randn(2, INPUTS, dtype=torch.float64)
    network = VmappedNetwork(modules[0])
    before = network.forward(stack.leaves, stack.buffers, inputs, dropout=None)
    stack.weights[1] = torch.nan
    after = network.forward(stack.leaves, stack.buffers, inputs, dropout=None)
    assert torch.equal(after[[0, 2]], before[[0, 2]])
    assert bool(after[1].isnan().all())


def test_living_units() -> None:
    modules = made(images)
    stack = StackedParameters(modules)
    stack.leaves["2.bias"].detach()[1] = -100.0  # batch norm's shift: nothing gets through
    watch: list[torch.Tensor] = []
    inputs = torch.randn(6, INPUTS, dtype=torch.float64)
    network = VmappedNetwork(modules[0])
    network.forward(stack.leaves, stack.buffers, inputs, dropout=None, watch=watch)
    (alive,) = watch
    assert alive.shape == (3, 4)
    assert alive.any(dim=1).tolist() == [True, False, True]
    assert not modules[0][3]._forward_hooks


def test_a_rectifier_used_again_counts_as_alone() -> None:
    modules = made(OneRectifier)
    stack, inputs = StackedParameters(modules), torch.randn(4, INPUTS, dtype=torch.float64)
    watch: list[torch.Tensor] = []
    VmappedNetwork(modules[0]).forward(
        stack.leaves, stack.buffers, inputs, dropout=None, watch=watch
    )
    assert [tuple(alive.shape) for alive in watch] == [(3, 6), (3, 5)]
    shares = []
    for module in modules:
        dead = DeadUnits(module)
        with dead.watching():
            module.eval()(inputs)
        shares.append(dead.share())
    assert (1.0 - torch.cat(watch, dim=1).float().mean(dim=1)).tolist() == pytest.approx(shares)
    assert any(shares)


def test_dropout_differs_between_rows() -> None:
    modules = [nn.Sequential(nn.Dropout(0.5), nn.Linear(INPUTS, 3)) for _ in range(2)]
    modules[1].load_state_dict(modules[0].state_dict())
    stack = StackedParameters(modules)
    inputs = torch.ones(2, 50, INPUTS)
    outputs = VmappedNetwork(modules[0]).forward(
        stack.leaves, stack.buffers, inputs, dropout=TRAINS
    )
    assert not torch.equal(outputs[0], outputs[1])


def test_attention_is_left_as_it_was() -> None:
    modules = made(Encoder)
    stack = StackedParameters(modules)
    VmappedNetwork(modules[0]).forward(
        stack.leaves, stack.buffers, torch.zeros(2, INPUTS, dtype=torch.float64), dropout=None
    )
    assert torch.backends.mha.get_fastpath_enabled()
    assert torch.backends.cuda.flash_sdp_enabled()


def test_rows_beside_dropout_keep_buffers_of_their_own() -> None:
    """Those of batch norm do not depend on a dropout that comes after it."""
    modules = made(
        lambda: nn.Sequential(
            nn.Linear(INPUTS, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 3)
        )
    )
    stack, network = StackedParameters(modules), VmappedNetwork(modules[0])
    inputs = torch.randn(2, 3, 5, INPUTS, dtype=torch.float64)
    for batch in inputs:
        network.forward(stack.leaves, stack.buffers, batch, dropout=TRAINS)
    for row, module in enumerate(modules):
        state = row_state(modules[0], stack.leaves, stack.buffers, row)
        module.train()
        for batch in inputs:
            module(batch[row])
        for name, expected in module.state_dict().items():
            torch.testing.assert_close(state[name], expected)
        assert state["1.num_batches_tracked"] == 2


@pytest.mark.parametrize("build", [Tied, images, RunningMean], ids=["tied", "buffers", "not saved"])
def test_the_state_of_a_row_loads_into_its_module(build: Callable[[], nn.Module]) -> None:
    modules = made(build)
    stack = StackedParameters(modules)
    state = row_state(modules[0], stack.leaves, stack.buffers, 2)
    assert list(state) == list(modules[2].state_dict())
    assert all(torch.equal(value, state[name]) for name, value in modules[2].state_dict().items())
    modules[1].load_state_dict(state)
    stack.weights.zero_()  # it is a copy
    assert all(torch.equal(value, state[name]) for name, value in modules[2].state_dict().items())
