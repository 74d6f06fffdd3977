"""Modules as users write them, by name."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

INPUTS, OUTPUTS = 8, 3


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(INPUTS, INPUTS), nn.Linear(INPUTS, OUTPUTS)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(x + torch.tanh(self.first(x)))


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(INPUTS, INPUTS), nn.Linear(INPUTS, INPUTS)
        self.second.weight = self.first.weight
        self.head = nn.Linear(INPUTS, OUTPUTS)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.second(self.first(x)))


class Words(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words, self.head = nn.Embedding(5, 2), nn.Linear(2 * INPUTS, OUTPUTS)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.words(x.long().clamp(0, 4)).flatten(1))


class Encoder(nn.Module):
    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.encoder = nn.TransformerEncoderLayer(4, 2, 8, dropout, batch_first=True)
        self.head = nn.Linear(INPUTS, OUTPUTS)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.encoder(x.reshape(len(x), 2, 4)).flatten(1))


class Recurrent(nn.Module):
    def __init__(self, kind: type[nn.RNNBase]) -> None:
        super().__init__()
        self.cells = kind(4, 5, batch_first=True)
        self.head = nn.Linear(5, OUTPUTS)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.cells(x.reshape(len(x), 2, 4))[0][:, -1])


class Linear(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(INPUTS, OUTPUTS)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(x)


class NoGradientInEval(Linear):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with torch.set_grad_enabled(self.training):
            return self.head(x)


class WritesInput(Linear):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x /= 255
        return self.head(x)


class Item(Linear):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(x) * self.head.bias.sum().item()


class Decides(Linear):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        outputs = self.head(x)
        return outputs if outputs.sum() > 0 else -outputs


class Unused(Linear):
    def __init__(self) -> None:
        super().__init__()
        self.spare = nn.Parameter(torch.zeros(2))


class KeepsTensor(Linear):
    def __init__(self) -> None:
        super().__init__()
        self.table = torch.rand(OUTPUTS)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(x) * self.table


class DrawsNumpy(Linear):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(x) * float(np.random.rand())


class ExtraState(Linear):
    def get_extra_state(self) -> dict[str, int]:
        return {}

    def set_extra_state(self, state: dict[str, int]) -> None:
        pass


class Broken(Linear):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if len(x) == 4:  # the check of the factory's module has two examples
            raise KeyError("four")
        return self.head(x)


class RunningMean(Linear):
    """Assigns its buffer anew instead of changing it in place."""

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.drop = nn.Dropout(dropout)
        self.register_buffer("mean", torch.zeros(INPUTS))
        self.register_buffer("passes", torch.zeros((), dtype=torch.int64), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training:
            self.mean = 0.9 * self.mean + 0.1 * self.head.weight.detach().sum() * x.mean(0)
            self.passes = self.passes + 1
        return self.head(self.drop(x - self.mean))


class OneRectifier(nn.Module):
    """Uses one rectifier twice at one width and once at another."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(INPUTS, 6), nn.Linear(6, 6)
        self.third, self.head = nn.Linear(6, 5), nn.Linear(5, OUTPUTS)
        self.relu = nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = self.relu(self.second(self.relu(self.first(x))) - 0.3)
        return self.head(self.relu(self.third(hidden)))


class ShrinksWeights(Linear):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training:
            with torch.no_grad():
                self.head.weight.mul_(0.9)
        return self.head(x)


class CountsPasses(Linear):
    def __init__(self) -> None:
        super().__init__()
        self.passes = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.passes += 1
        return self.head(x)


class KeepsOutputs(Linear):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        outputs = self.head(x)
        if self.training:  # not in the check of the factory's module, which is in eval mode
            self.last = {"outputs": outputs}
        return outputs


class KeepsLayers(Linear):
    def __init__(self) -> None:
        super().__init__()
        self.layers = [nn.Linear(INPUTS, INPUTS)]  # a plain list: its layers are not registered

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.layers[0](x))


class KeepsGenerator(Linear):
    def __init__(self) -> None:
        super().__init__()
        self.generator = np.random.default_rng(0)


class UsesGenerator(KeepsGenerator):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(x) * float(self.generator.random())


class KeepsConstant(Linear):
    """A tensor that stays where the module is made, and the same."""

    def __init__(self) -> None:
        super().__init__()
        self.table = {"scale": torch.arange(OUTPUTS) + 1}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(x) * self.table["scale"]


class KeepsFirstShape(Linear):
    """Makes a table in the first pass, from the shape alone."""

    def __init__(self) -> None:
        super().__init__()
        self.table: torch.Tensor | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.table is None:
            self.table = torch.linspace(0, 1, x.shape[1])
        return self.head(x + self.table)


def counts_in_a_closure() -> nn.Module:
    """A model whose outputs fade pass by pass, by a number that is no attribute."""
    passes = 0

    class Counting(Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            nonlocal passes
            passes += 1
            return super().forward(x) / (1.0 + passes)

    return Counting()


def remembers_in_a_closure() -> nn.Module:
    """A model that adds the mean of the batch before."""
    last: list[torch.Tensor] = []

    class Remembering(Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            before = last.pop() if last else torch.zeros(INPUTS)
            last.append(x.detach().mean(0))
            return super().forward(x + before)

    return Remembering()


def random_scale() -> nn.Module:
    """A number of its own for every seed, which is no attribute."""
    return closing_over(float(torch.rand(())))


def hooked_gradient() -> nn.Module:
    module = Linear()
    module.head.weight.register_hook(lambda gradient: 2 * gradient)
    return module


def hooked_after_gradient() -> nn.Module:
    module = Linear()

    def double(weight: torch.Tensor) -> None:
        assert weight.grad is not None
        weight.grad.mul_(2)

    module.head.weight.register_post_accumulate_grad_hook(double)
    return module


class NoisyAlways(Linear):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(x + torch.randn_like(x))


class NoisyInTraining(Linear):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(x + torch.randn_like(x) if self.training else x)


class RandomDepth(nn.Sequential):
    def __init__(self) -> None:
        hidden = [nn.Linear(INPUTS, INPUTS) for _ in range(int(torch.randint(1, 1000, ())))]
        super().__init__(*hidden, nn.Linear(INPUTS, OUTPUTS))


class WritesOutputsIntoInput(Linear):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        outputs = self.head(x.clone())
        with torch.no_grad():
            x[:, :OUTPUTS] += outputs
        return outputs


class FirstOfAll(torch.autograd.Function):
    """Twice its input; its rule for vmap gives every row what the first one gets."""

    @staticmethod
    def forward(x: torch.Tensor) -> torch.Tensor:
        return 2 * x

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        return 2 * gradient

    @staticmethod
    def vmap(info: Any, in_dims: Any, x: torch.Tensor) -> tuple[torch.Tensor, int]:
        rows = x.movedim(in_dims[0], 0)
        return (2 * rows[:1]).expand_as(rows), 0


class WrongRule(Linear):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return FirstOfAll.apply(self.head(x))


class WrongInTraining(Linear):
    """Wrong only where a dropout layer hides it: its outputs in train mode are random."""

    def __init__(self) -> None:
        super().__init__()
        self.drop = nn.Dropout(0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        outputs = self.head(self.drop(x))
        return FirstOfAll.apply(outputs) if self.training else 2 * outputs


class NoRule(Linear):
    class Twice(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
            return 2 * x

        @staticmethod
        def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
            return 2 * gradient

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.Twice.apply(self.head(x))


class Scaled(Linear):
    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.scale * self.head(x)


def dense() -> nn.Module:
    return nn.Sequential(
        nn.Linear(INPUTS, 6), nn.ReLU(), nn.LayerNorm(6), nn.PReLU(), nn.Linear(6, OUTPUTS)
    )


def images() -> nn.Module:
    return nn.Sequential(
        nn.Unflatten(1, (2, 2, 2)),
        nn.Conv2d(2, 4, 2, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(4, OUTPUTS),
    )


def closing_over(scale: float) -> nn.Module:
    """A class of its own at every call, with a number that is no attribute."""

    class Closing(Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return scale * super().forward(x)

    return Closing()


def cumulative() -> nn.Module:
    return nn.Sequential(nn.Linear(INPUTS, OUTPUTS), nn.BatchNorm1d(OUTPUTS, momentum=None))


def weight_norm() -> nn.Module:
    return nn.utils.parametrizations.weight_norm(nn.Linear(INPUTS, OUTPUTS))


def frozen() -> nn.Module:
    model = nn.Sequential(nn.Linear(INPUTS, 4), nn.Linear(4, OUTPUTS))
    model[0].requires_grad_(False)
    return model


STACKABLE = {
    "dense": dense,
    "images with batch norm": images,
    "residual": Residual,
    "tied": Tied,
    "words": Words,
    "transformer": Encoder,
    "frozen": frozen,
    "writes into its input": WritesInput,
    "assigns a buffer": RunningMean,
    "one rectifier": OneRectifier,
    "shrinks its weights": ShrinksWeights,
    "class in a function": lambda: closing_over(2.0),
    "keeps a generator": KeepsGenerator,
    "keeps a constant": KeepsConstant,
    "makes a table in its first pass": KeepsFirstShape,
}
