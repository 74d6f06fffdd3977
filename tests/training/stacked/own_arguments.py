"""What a user's factory may do with one argument, by name."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import random
import types
from collections import defaultdict, deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from tests.training.stacked.own_nets import INPUTS, OUTPUTS, Linear, Scaled, closing_over

Act = Callable[[Any, torch.Tensor], torch.Tensor]


class Holding(Linear):
    """Keeps a value, and may do something with it."""

    def __init__(self, value: object, act: Act | None) -> None:
        super().__init__()
        self.value, self.act = value, act

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        outputs = self.head(x)
        return outputs if self.act is None else self.act(self.value, outputs)


def make_function(number: float) -> Callable[[torch.Tensor], torch.Tensor]:
    return lambda x: x * number


def make_function_with_default(number: float) -> Callable[[torch.Tensor], torch.Tensor]:
    def scale(x: torch.Tensor, *, by: float = number) -> torch.Tensor:
        return x * by

    return scale


def make_function_of_functions(number: int) -> Callable[[torch.Tensor], torch.Tensor]:
    if number == 1:
        return lambda x: (lambda y: y * 2)(x)
    return lambda x: (lambda y: y * 3)(x)


def make_recursive(depth: int) -> Callable[..., torch.Tensor]:
    def halve(x: torch.Tensor, times: int = depth) -> torch.Tensor:
        return halve(x / 2, times - 1) if times else x

    return halve


def holds_itself(values: list[object]) -> list[object]:
    values.append(values)
    return values


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


def call(value: Any, x: torch.Tensor) -> torch.Tensor:
    return value(x)


def by_width(value: Any, x: torch.Tensor) -> torch.Tensor:
    return x * value.width


def by_entry(value: Any, x: torch.Tensor) -> torch.Tensor:
    return x * float(value[0])


# How a module may keep a number from 1 on, and what it may do with it.
KEPT: dict[str, tuple[Callable[[Any], object], Act]] = {
    "closure": (make_function, call),
    "default of a keyword": (make_function_with_default, call),
    "function in a function": (make_function_of_functions, call),
    "function that calls itself": (make_recursive, call),
    "partial": (lambda n: functools.partial(F.leaky_relu, negative_slope=0.1 * n), call),
    "method": (lambda n: Scale(n).apply, call),
    "method of a dictionary": (lambda n: {"a": n}.get, lambda get, x: x * get("a")),
    "dataclass": (Settings, by_width),
    "slots": (Slotted, by_width),
    "namespace": (lambda n: types.SimpleNamespace(width=n), by_width),
    "attribute of a dictionary": (Options, by_width),
    "dictionary": (lambda n: {0: n}, by_entry),
    "default dictionary": (lambda n: defaultdict(lambda: n), by_entry),
    "list": (lambda n: [n, 3 - n], by_entry),
    "list that holds itself": (lambda n: holds_itself([n]), by_entry),
    "bounded queue": (lambda n: deque([1], maxlen=n), lambda queue, x: x * queue.maxlen),
    "class made in a function": (lambda n: type("Made", (nn.ReLU,), {"width": n})(), by_width),
    "path": (lambda n: Path(f"{n}.csv"), lambda path, x: x * int(path.stem)),
    "array": (lambda n: np.array([n]), by_entry),
    "array of objects": (lambda n: np.array([n], dtype=object), by_entry),
    "number of NumPy": (np.float64, lambda number, x: x * float(number)),
    "plain tensor": (lambda n: torch.tensor([[n]]).t(), lambda tensor, x: x * tensor),
    "sparse tensor": (
        lambda n: torch.full((1, 1), float(n)).to_sparse(),
        lambda tensor, x: x * tensor.to_dense(),
    ),
    "set": (lambda n: {n}, lambda values, x: x * sum(values)),
    "generator": (itertools.count, lambda numbers, x: x * next(numbers)),
    "random numbers": (random.Random, lambda numbers, x: x * numbers.random()),
    "random numbers of NumPy": (np.random.default_rng, lambda numbers, x: x * numbers.random()),
    "random numbers of torch": (
        lambda n: torch.Generator().manual_seed(n),
        lambda numbers, x: x * torch.rand((), generator=numbers),
    ),
}


def then(*layers: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Linear(INPUTS, OUTPUTS), *layers)


def activation(name: str) -> nn.Module:
    return then(getattr(nn, name)())


def wide(width: int) -> nn.Module:
    return nn.Sequential(nn.Linear(INPUTS, width), nn.Linear(width, OUTPUTS))


def typed(name: str) -> nn.Module:
    module = Holding("", lambda _, x: x + module.shift.to(x.dtype))
    module.shift = nn.Parameter(torch.zeros(OUTPUTS, dtype=getattr(torch, name)))
    return module


def frozen(is_frozen: bool) -> nn.Module:
    module = wide(4)
    module[0].requires_grad_(not is_frozen)  # type: ignore[index]
    return module


def tied(is_tied: bool) -> nn.Module:
    module = nn.Sequential(nn.Linear(INPUTS, INPUTS), nn.Linear(INPUTS, INPUTS), then())
    if is_tied:
        module[1].weight = module[0].weight
    return module


def shared_layer(is_shared: bool) -> nn.Module:
    layer = nn.ReLU()
    return then(layer, layer if is_shared else nn.ReLU())


def hooked(factor: float) -> nn.Module:
    module = nn.Linear(INPUTS, OUTPUTS)
    module.register_forward_hook(lambda module, inputs, output: output * factor)
    return module


def hooked_backward(factor: float) -> nn.Module:
    module = then()
    module[0].weight.register_hook(lambda gradient: gradient * factor)  # type: ignore[index]
    return module


def clipped_gradient(bound: float) -> nn.Module:
    """Of the outputs, on their way back."""

    class Clipping(Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            outputs = super().forward(x)
            if outputs.requires_grad:
                outputs.register_hook(lambda gradient: gradient.clamp(-bound, bound))
            return outputs

    return Clipping()


def clamped(bound: float) -> nn.Module:
    return Holding(bound, lambda value, x: x.clamp(-value, value))


def far_branch(bound: float) -> nn.Module:
    """Another function of what is small."""
    return Holding(bound, lambda value, x: torch.where(x.abs() < value, 2 * x, x))


def shrinking(factor: float) -> nn.Module:
    """Shrinks its weights in training."""

    class Shrinking(Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            outputs = super().forward(x)
            if self.training:
                with torch.no_grad():
                    self.head.weight.mul_(factor)
            return outputs

    return Shrinking()


def behind_zeros(share: float) -> nn.Module:
    """A branch that adds nothing as long as its weights are as they start."""
    module = Holding(nn.Dropout(share), None)
    module.branch = nn.Linear(OUTPUTS, OUTPUTS, bias=False)
    nn.init.zeros_(module.branch.weight)
    module.act = lambda drop, x: x + module.branch(drop(x))
    return module


def warm_up(passes: int) -> nn.Module:
    """Another function in its first passes."""

    class Warming(Linear):
        done = 0

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.done += self.training
            return super().forward(x) * min(1.0, self.done / passes)

    return Warming()


def counting_buffer(passes: int) -> nn.Module:
    class Warming(Linear):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("done", torch.tensor(0))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x) * torch.where(self.done < passes, 1.0, 2.0)

    return Warming()


def drops_examples(share: float) -> nn.Module:
    """Without a factor for those that it keeps."""
    return Holding(share, lambda p, x: x * (torch.rand(len(x), 1) >= p))


def in_parts(size: int) -> nn.Module:
    """Subtracts the mean of so many examples at a time."""
    return Holding(size, lambda size, x: torch.cat([part - part.mean(0) for part in x.split(size)]))


# What the argument does can be seen in numbers or shapes: name, factory, two arguments.
ACT: list[tuple[str, Callable[[Any], nn.Module], Any, Any]] = [
    ("share of a dropout", lambda p: then(nn.Dropout(p)), 0.1, 0.2),
    ("nearly equal shares", lambda p: then(nn.Dropout(p)), 0.1, 0.1 + 1e-6),
    ("share behind zeros", behind_zeros, 0.1, 0.2),
    ("share of examples", drops_examples, 0.1, 0.3),
    ("slope", lambda slope: then(nn.LeakyReLU(slope)), 0.1, 0.2),
    ("activation", activation, "ReLU", "Tanh"),
    ("shape", wide, 3, 4),
    ("bias", lambda bias: nn.Linear(INPUTS, OUTPUTS, bias=bias), True, False),
    ("type", typed, "float32", "float64"),
    ("frozen", frozen, True, False),
    ("tied", tied, True, False),
    ("one layer twice", shared_layer, True, False),
    ("number of layers", lambda depth: then(*[nn.ReLU()] * depth), 1, 2),
    ("not saved", lambda saved: not_saved(saved), True, False),
    ("scale as an attribute", Scaled, 1.0, 2.0),
    ("scale in a class in a function", closing_over, 1.0, 2.0),
    ("hook", hooked, 1.0, 2.0),
    ("hook of a gradient", hooked_backward, 1.0, 2.0),
    ("bound of a gradient", clipped_gradient, 3.0, 4.0),
    ("bound", clamped, 1.0, 2.0),
    ("far bound", clamped, 1e4, 2e4),
    ("near branch", far_branch, 1e-4, 2e-4),
    ("far branch", far_branch, 1e4, 2e4),
    ("eps", lambda eps: then(nn.LayerNorm(OUTPUTS, eps=eps)), 1e-5, 2e-5),
    ("tiny eps", lambda eps: then(nn.LayerNorm(OUTPUTS, eps=eps)), 1e-12, 1e-10),
    ("momentum", lambda share: then(nn.BatchNorm1d(OUTPUTS, momentum=share)), 0.1, 0.2),
    ("weights that shrink", shrinking, 0.9, 0.8),
    ("counter", warm_up, 2, 5),
    ("counter in a buffer", counting_buffer, 500, 2000),
    ("parts of a batch", in_parts, 8, 16),
]


def not_saved(is_saved: bool) -> nn.Module:
    module = then()
    module.register_buffer("spare", torch.zeros(2), persistent=is_saved)
    return module


def scaled_start(gain: float) -> nn.Module:
    module = wide(4)
    for weight in module.parameters():
        nn.init.normal_(weight, std=gain)
    return module


def scale_in_buffer(scale: float) -> nn.Module:
    module = Holding("", lambda _, x: x * module.scale)
    module.register_buffer("scale", torch.tensor(scale))
    return module


# The argument acts through the numbers in parameters and buffers alone, or not at all.
DO_NOT_ACT: list[tuple[str, Callable[[Any], nn.Module], Any, Any]] = [
    ("gain of the initial weights", scaled_start, 0.5, 2.0),
    ("start at zero", scaled_start, 0.0, 1.0),
    ("start of a trained slope", lambda start: then(nn.PReLU(init=start)), 0.1, 0.2),
    ("scale in a buffer", scale_in_buffer, 0.5, 2.0),
    ("stored and not used", lambda label: Holding(label, None), "one", "another"),
    ("share that is never reached", lambda p: Holding(nn.Dropout(p), None), 0.1, 0.2),
    ("type of a number", Scaled, 1, 1.0),
    ("label, beside dropout", lambda label: then(nn.Dropout(0.3)), "one", "another"),
    ("gain, beside batch norm", lambda gain: gained(gain), 0.5, 2.0),
]


def gained(gain: float) -> nn.Module:
    module = then(nn.BatchNorm1d(OUTPUTS), nn.ReLU(), nn.Dropout(0.2), nn.Linear(OUTPUTS, OUTPUTS))
    nn.init.xavier_normal_(module[0].weight, gain=gain)  # type: ignore[index]
    return module


FACTORIES: dict[str, Callable[[Any], nn.Module]] = {
    **{name: factory for name, factory, _, _ in (*ACT, *DO_NOT_ACT)},
    **{
        f"kept: {name}": lambda n, make=make: Holding(make(n), None)
        for name, (make, _) in KEPT.items()
    },
    **{
        f"used: {name}": lambda n, make=make, act=act: Holding(make(n), act)
        for name, (make, act) in KEPT.items()
    },
}
