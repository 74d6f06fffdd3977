"""Dropout that is cheap on the CPU, and whose masks belong to one trial and one layer."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

LEVELS = 2**16  # of a 16-bit number: a probability is rounded to 1 / 65 536
NUMBERS_A_DRAW = 4  # 16-bit numbers in one raw draw of the generator


class DropoutBits:
    """The stream of random numbers of one dropout layer of one trial.

    seed  decides all of them; nothing else does.

    Dropout needs a comparison a value, for which 16 bits are enough: four numbers come out of one
    64-bit draw of SFC64. On the CPU that takes a sixth of the time of torch's uniform numbers
    (10 against 60 us for two layers of 64 x 128), which were a fifth of a small network's update.

    Source: SFC64 is Doty-Humphrey's small fast chaotic generator, PractRand 2010, as in NumPy.
    """

    def __init__(self, seed: int) -> None:
        self._generator = np.random.SFC64(seed)

    @property
    def state(self) -> torch.Tensor:
        """Where the stream stands: the generator's four 64-bit words, as int64 (4,).

        >>> bits, twin = DropoutBits(1), DropoutBits(2)
        >>> _ = bits.draw(8); twin.state = bits.state
        >>> bool((bits.draw(8) == twin.draw(8)).all())
        True
        """
        words: np.ndarray = self._generator.state["state"]["state"]
        return torch.from_numpy(words.view(np.int64).copy())

    @state.setter
    def state(self, words: torch.Tensor) -> None:
        state = self._generator.state
        state["state"]["state"] = words.numpy().view(np.uint64)
        self._generator.state = state

    def draw(self, count: int) -> torch.Tensor:
        """The next int16 numbers, (count,), uniform over all 65 536 values.

        Draws are whole: what is left of the last 64 bits is thrown away, so that one call for many
        passes gives what a call for each gives, if every count is first rounded with `drawn`.
        """
        raw = self._generator.random_raw(drawn(count) // NUMBERS_A_DRAW)
        return torch.from_numpy(raw.view(np.int16))[:count]


def drawn(count: int) -> int:
    """How many numbers a draw of `count` takes from the stream.

    >>> drawn(1), drawn(8)
    (4, 8)
    """
    return -(-count // NUMBERS_A_DRAW) * NUMBERS_A_DRAW


def threshold(p: float) -> tuple[int, float]:
    """The smallest 16-bit number that keeps a value, and what a kept value is multiplied by.

    p  probability of zeroing a value, in [0, 1); rounded to a multiple of 1 / 65 536, for which
       the factor 1 / (1 - p) is exact, so that the mean stays.

    >>> threshold(0.5)
    (0, 2.0)
    """
    zeroed = min(round(p * LEVELS), LEVELS - 1)
    return zeroed - LEVELS // 2, LEVELS / (LEVELS - zeroed)


class Dropout(nn.Module):
    """Inverted dropout: in training zeroes values and scales the rest by 1 / (1 - p).

    p         probability of zeroing a value, in [0, 1).
    channels  True drops whole channels of (n, channels, height, width).
    bits      the stream that masks are drawn from on the CPU; None, as a module starts, takes
              torch's global numbers instead. On an accelerator torch's fused kernel is used.

    Source: Srivastava et al. 2014; for channels Tompson et al. 2015 (1411.4280), section 3.1.

    >>> layer = Dropout(0.5).eval()
    >>> layer(torch.ones(2)).tolist()
    [1.0, 1.0]
    """

    def __init__(self, p: float, *, channels: bool = False) -> None:
        super().__init__()
        self.p = p
        self.channels = channels
        self.bits: DropoutBits | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The same shape."""
        if not self.training or self.p == 0.0:
            return x
        if self.bits is None or x.device.type != "cpu":
            return F.dropout2d(x, self.p) if self.channels else F.dropout(x, self.p)
        examples = x.shape[0]
        shape = x.shape[1:2] if self.channels else x.shape[1:]
        least, factor = threshold(self.p)
        # Units first, examples last, as a stack of trials has them (training/stacked).
        bits = self.bits.draw(examples * shape.numel()).view(shape.numel(), examples)
        mask = bits.to(x.dtype).ge_(least).mul_(factor).t().reshape(examples, *shape)
        return x * (mask[:, :, None, None] if self.channels else mask)

    def extra_repr(self) -> str:
        """What torch prints in brackets."""
        return f"p={self.p}" + (", channels=True" if self.channels else "")


def seed_dropout(model: nn.Module, seeds: list[int]) -> None:
    """Give every dropout layer of a model a stream of its own, in the order of the layers."""
    for layer, seed in zip(dropout_layers(model), seeds, strict=True):
        layer.bits = DropoutBits(seed)


def dropout_layers(model: nn.Module) -> list[Dropout]:
    """The dropout layers of a built-in model, in the order in which they are passed."""
    return [module for module in model.modules() if isinstance(module, Dropout)]
