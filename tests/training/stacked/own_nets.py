"""Modules as users write them, by name."""

from __future__ import annotations

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
}
