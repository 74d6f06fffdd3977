"""Which of a user's models may share a stack: no value is shared silently."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest
import torch
from torch import nn

from dltune.training.stacked.fingerprint import fingerprint
from dltune.training.stacked.parameters import StackedParameters
from dltune.training.stacked.vmapped import VmappedNetwork
from tests.training.stacked.own_nets import INPUTS, STACKABLE, Scaled, Tied


@pytest.mark.parametrize("build", STACKABLE.values(), ids=list(STACKABLE))
def test_other_weights_same_fingerprint(build: Callable[[], nn.Module]) -> None:
    assert fingerprint(build()) == fingerprint(build())


def make_function(number: float) -> Callable[[torch.Tensor], torch.Tensor]:
    return lambda x: x * number


def with_attribute(value: object) -> nn.Module:
    module = nn.Linear(2, 1)
    module.attribute = value  # type: ignore[assignment]
    return module


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param(nn.Dropout(0.1), nn.Dropout(0.2), id="share of a dropout"),
        pytest.param(nn.LeakyReLU(0.1), nn.LeakyReLU(0.2), id="slope"),
        pytest.param(nn.ReLU(), nn.Tanh(), id="kind"),
        pytest.param(nn.Linear(2, 3), nn.Linear(3, 2), id="shape"),
        pytest.param(nn.Linear(2, 3), nn.Linear(2, 3, bias=False), id="bias"),
        pytest.param(nn.Linear(2, 2), nn.Linear(2, 2).double(), id="type"),
        pytest.param(nn.Linear(2, 2), nn.Linear(2, 2).requires_grad_(False), id="frozen"),
        pytest.param(
            nn.Sequential(nn.ReLU()), nn.Sequential(nn.ReLU(), nn.ReLU()), id="number of layers"
        ),
        pytest.param(Scaled(1.0), Scaled(2.0), id="a number of the user's"),
        pytest.param(
            with_attribute(make_function(1)), with_attribute(make_function(2)), id="closure"
        ),
        pytest.param(with_attribute([1, 2]), with_attribute([2, 1]), id="list"),
        pytest.param(with_attribute({"a": 1}), with_attribute({"a": 2}), id="dictionary"),
        pytest.param(
            with_attribute(torch.zeros(1)), with_attribute(torch.ones(1)), id="plain tensor"
        ),
        pytest.param(with_attribute(1), with_attribute(1.0), id="type of a number"),
        pytest.param(with_attribute(object()), with_attribute(object()), id="unknown things"),
    ],
)
def test_different(one: nn.Module, other: nn.Module) -> None:
    assert fingerprint(one) != fingerprint(other)


def test_tied_weights_are_not_equal_weights() -> None:
    untied = Tied()
    untied.second.weight = nn.Parameter(untied.first.weight.detach().clone())
    assert fingerprint(Tied()) != fingerprint(untied)


def test_same_attributes_same_fingerprint() -> None:
    values = [make_function(1), {"b": (1, None), "a": {3, 4}}, nn.ReLU, torch.tanh]
    assert fingerprint(with_attribute(values)) == fingerprint(
        with_attribute([make_function(1), {"a": {4, 3}, "b": (1, None)}, nn.ReLU, torch.tanh])
    )


def test_each_trial_keeps_its_own_value() -> None:
    """Two scales never share a stack; in stacks of their own each row has its own value."""
    groups: dict[str, list[Scaled]] = {}
    for scale in (2.0, 3.0, 2.0):
        module = Scaled(scale)
        groups.setdefault(fingerprint(module), []).append(module)
    assert [[module.scale for module in group] for group in groups.values()] == [[2.0, 2.0], [3.0]]
    inputs = torch.randn(4, INPUTS)
    for group in groups.values():
        stack = StackedParameters(group)
        outputs = VmappedNetwork(group[0]).forward(stack.leaves, {}, inputs, dropout=None)
        for row, module in enumerate(group):
            expected = module.scale * module.head(inputs)
            torch.testing.assert_close(outputs[row].t(), expected)


def test_the_same_in_every_process() -> None:
    code = (
        "from dltune.training.stacked.fingerprint import fingerprint; from torch import nn;"
        "print(fingerprint(nn.Sequential(nn.Linear(3, 2), nn.Dropout(0.3), nn.ReLU())))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    here = fingerprint(nn.Sequential(nn.Linear(3, 2), nn.Dropout(0.3), nn.ReLU()))
    assert done.stdout.strip() == here
