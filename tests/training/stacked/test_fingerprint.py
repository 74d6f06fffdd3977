"""Which of a user's models may share a stack: no value is shared silently."""

from __future__ import annotations

import dataclasses
import functools
import math
import os
import random
import re
import subprocess
import sys
import threading
import types
from collections import defaultdict, deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from dltune.training.stacked.description import describe
from dltune.training.stacked.fingerprint import fingerprint
from dltune.training.stacked.parameters import StackedParameters
from dltune.training.stacked.vmapped import VmappedNetwork
from tests.training.stacked.own_nets import (
    INPUTS,
    STACKABLE,
    Recurrent,
    Scaled,
    Tied,
    closing_over,
    weight_norm,
)


@pytest.mark.parametrize("build", STACKABLE.values(), ids=list(STACKABLE))
def test_other_weights_same_fingerprint(build: Callable[[], nn.Module]) -> None:
    assert fingerprint(build()) == fingerprint(build())


def make_function(number: float) -> Callable[[torch.Tensor], torch.Tensor]:
    return lambda x: x * number


def make_function_with_default(number: float) -> Callable[[torch.Tensor], torch.Tensor]:
    def scale(x: torch.Tensor, *, by: float = number) -> torch.Tensor:
        return x * by

    return scale


def make_function_of_functions(doubles: bool) -> Callable[[torch.Tensor], torch.Tensor]:
    if doubles:
        return lambda x: (lambda y: y * 2)(x)
    return lambda x: (lambda y: y * 3)(x)


def make_recursive(depth: int) -> Callable[..., torch.Tensor]:
    def halve(x: torch.Tensor, times: int = depth) -> torch.Tensor:
        return halve(x / 2, times - 1) if times else x

    return halve


def make_hooked(factor: float) -> nn.Module:
    module = nn.Linear(2, 1)
    module.register_forward_hook(lambda module, inputs, output: output * factor)
    return module


def make_with_parent(width: int) -> nn.Module:
    module = nn.Sequential(nn.Linear(2, width))
    module[0].parent = [module]  # type: ignore[assignment]
    return module


def make_class(base: type, **attributes: object) -> object:
    return type("Made", (base,), attributes)()


@dataclasses.dataclass
class Settings:
    width: int
    names: tuple[str, ...] = ("a",)


class Slotted:
    __slots__ = ("width",)

    def __init__(self, width: int) -> None:
        self.width = width


class Scale:
    def __init__(self, factor: float) -> None:
        self.factor = factor

    def apply(self, x: torch.Tensor) -> torch.Tensor:
        return self.factor * x


class Options(dict[str, int]):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width


# A value of a module's, by its one argument: equal arguments are equal values, others are not.
COMPARED: dict[str, Callable[[Any], object]] = {
    "closure": make_function,
    "default of a keyword": make_function_with_default,
    "function that calls itself": make_recursive,
    "partial": lambda number: functools.partial(F.leaky_relu, negative_slope=number),
    "method": lambda number: Scale(number).apply,
    "method of a dictionary": lambda number: {"a": number}.get,
    "dataclass": Settings,
    "slots": Slotted,
    "namespace": lambda number: types.SimpleNamespace(width=number),
    "attribute of a dictionary": Options,
    "default dictionary": lambda number: defaultdict([None, list, dict][number]),
    "bounded queue": lambda number: deque([1], maxlen=number),
    "class made in a function": lambda number: make_class(nn.ReLU, factor=number),
    "path": lambda number: Path(f"{number}.csv"),
    "array": lambda number: np.array([number]),
    "number of NumPy": np.float64,
    "plain tensor": lambda number: torch.tensor([[number]]).t(),
    "list that holds itself": lambda number: holds_itself([number]),
}


def holds_itself(values: list[object]) -> list[object]:
    values.append(values)
    return values


# Which of two such values a module holds cannot be told.
NOT_COMPARED: dict[str, Callable[[], object]] = {
    "unknown thing": object,
    "generator": lambda: (number for number in range(3)),
    "random numbers": lambda: random.Random(0),
    "random numbers of NumPy": lambda: np.random.default_rng(0),
    "random numbers of torch": torch.Generator,
    "pattern": lambda: re.compile("a"),
    "lock": threading.Lock,
    "sparse tensor": lambda: torch.zeros(2, 2).to_sparse(),
    "array of objects": lambda: np.array([object()]),
    "set of functions": lambda: {make_function(1), make_function(2)},
}


@pytest.mark.parametrize("make", COMPARED.values(), ids=list(COMPARED))
def test_values_are_compared(make: Callable[[Any], object]) -> None:
    one = fingerprint(with_attribute(make(1)))
    assert one == fingerprint(with_attribute(make(1)))
    assert one != fingerprint(with_attribute(make(2)))


@pytest.mark.parametrize("make", NOT_COMPARED.values(), ids=list(NOT_COMPARED))
def test_what_cannot_be_compared_is_different(make: Callable[[], object]) -> None:
    module = with_attribute(make())
    assert fingerprint(module) != fingerprint(module)
    assert describe(module).incomparable == ("self.attribute",)


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
        pytest.param(closing_over(1.0), closing_over(2.0), id="class in a function"),
        pytest.param(make_hooked(1.0), make_hooked(2.0), id="hook"),
        pytest.param(make_with_parent(1), make_with_parent(2), id="parent"),
        pytest.param(
            with_attribute(make_function_of_functions(True)),
            with_attribute(make_function_of_functions(False)),
            id="function in a function",
        ),
        pytest.param(with_attribute([1, 2]), with_attribute([2, 1]), id="list"),
        pytest.param(with_attribute({"a": 1}), with_attribute({"a": 2}), id="dictionary"),
        pytest.param(with_attribute(1), with_attribute(1.0), id="type of a number"),
    ],
)
def test_different(one: nn.Module, other: nn.Module) -> None:
    assert fingerprint(one) != fingerprint(other)


def test_tied_weights_are_not_equal_weights() -> None:
    untied = Tied()
    untied.second.weight = nn.Parameter(untied.first.weight.detach().clone())
    assert fingerprint(Tied()) != fingerprint(untied)


@pytest.mark.parametrize(
    "make",
    [
        lambda: with_attribute([{3, 1}, {"a": {1, 3}}, nn.ReLU, torch.tanh, F.gelu, math.sin]),
        lambda: make_hooked(2.0),
        lambda: make_with_parent(2),
        weight_norm,
        lambda: Recurrent(nn.LSTM),
        lambda: with_attribute(make_class(nn.ReLU)),
    ],
    ids=["values", "hook", "parent", "weight norm", "recurrent", "class"],
)
def test_made_alike_same_fingerprint(make: Callable[[], nn.Module]) -> None:
    assert fingerprint(make()) == fingerprint(make())


def test_two_passes_of_one_layer_are_not_two_layers() -> None:
    layer = nn.ReLU()
    shared, apart = nn.Sequential(layer, layer), nn.Sequential(nn.ReLU(), nn.ReLU())
    assert fingerprint(shared) != fingerprint(apart)
    assert fingerprint(shared) == fingerprint(nn.Sequential(*[nn.ReLU()] * 2))


@pytest.mark.parametrize("make", [Scaled, closing_over], ids=["attribute", "closure"])
def test_each_trial_keeps_its_own_value(make: Callable[[float], nn.Module]) -> None:
    """Two scales never share a stack; in stacks of their own each row has its own value."""
    groups: dict[str, list[tuple[float, nn.Module]]] = {}
    for scale in (2.0, 3.0, 2.0):
        module = make(scale).double()
        groups.setdefault(fingerprint(module), []).append((scale, module))
    assert [[scale for scale, _ in group] for group in groups.values()] == [[2.0, 2.0], [3.0]]
    inputs = torch.randn(4, INPUTS, dtype=torch.float64)
    for group in groups.values():
        stack = StackedParameters([module for _, module in group])
        outputs = VmappedNetwork(group[0][1]).forward(stack.leaves, {}, inputs, dropout=None)
        for row, (scale, module) in enumerate(group):
            expected = scale * F.linear(inputs, module.head.weight, module.head.bias)
            torch.testing.assert_close(outputs[row].t(), expected, rtol=1e-12, atol=1e-12)


def test_the_same_in_every_process() -> None:
    code = (
        "from dltune.training.stacked.fingerprint import fingerprint; from torch import nn;"
        "from tests.training.stacked.own_nets import closing_over;"
        "module = nn.Sequential(closing_over(0.5), nn.Dropout(0.3), nn.ReLU());"
        "module.names = {'one', 'two', 'three', 'four'};"
        "print(fingerprint(module))"
    )
    root = Path(__file__).parents[3]
    environment = {**os.environ, "PYTHONPATH": str(root), "PYTHONHASHSEED": "7"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    module = nn.Sequential(closing_over(0.5), nn.Dropout(0.3), nn.ReLU())
    module.names = {"four", "three", "two", "one"}  # type: ignore[assignment]
    assert done.stdout.strip() == fingerprint(module)
