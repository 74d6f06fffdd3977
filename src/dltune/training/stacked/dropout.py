"""The dropout masks of a stack: every row has its own share and its own random numbers."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence

import torch

from dltune.models.dropout import DropoutBits, drawn, threshold

# Numbers that a row draws ahead for one layer: 128 KiB of 16 bits, so that a stack's stay in the
# cache; a draw costs some 3 us beside its numbers.
DRAWN_AHEAD = 65_536


class DropoutMasks:
    """Masks for the dropout layers of a stack.

    shares  by layer, the share p of each row, in [0, 1).
    seeds   by layer, the seed of each row's stream; see `models.dropout.DropoutBits`.
    like    a tensor of the stack: its device and type are the masks'.

    On the CPU the masks of a trial are those that it has when it trains alone, since every layer of
    every trial draws from a stream of its own. On an accelerator one draw serves the whole stack,
    and the masks depend on who is in it.
    """

    def __init__(
        self, shares: Sequence[Sequence[float]], seeds: Sequence[Sequence[int]], like: torch.Tensor
    ) -> None:
        self._layers = [
            _LayerMasks(layer_shares, layer_seeds, like)
            for layer_shares, layer_seeds in zip(shares, seeds, strict=True)
        ]

    def start_epoch(self, batches: Sequence[int]) -> None:
        """Tell the examples of every batch to come: numbers are drawn ahead for them."""
        for layer in self._layers:
            layer.start_epoch(batches)

    def mask(self, layer: int, units: int, examples: int) -> torch.Tensor | None:
        """What the values of a layer are multiplied by, (S, units, examples); None: by nothing."""
        return self._layers[layer].mask(units, examples)

    def streams(self, row: int) -> dict[str, torch.Tensor]:
        """Where a row's streams stand between two epochs, by name: those of the CPU."""
        return {f"dropout.{n}": layer.state(row) for n, layer in enumerate(self._layers)}

    def load_streams(self, row: int, streams: Mapping[str, torch.Tensor]) -> None:
        """Let a row's streams go on where others stood."""
        for number, layer in enumerate(self._layers):
            if (state := streams.get(f"dropout.{number}")) is not None:
                layer.load(row, state)

    def keep(self, rows: Sequence[int]) -> None:
        """Shrink to these rows."""
        for layer in self._layers:
            layer.keep(rows)


class _LayerMasks:
    def __init__(self, shares: Sequence[float], seeds: Sequence[int], like: torch.Tensor) -> None:
        self._like = like
        self._streams = [DropoutBits(seed) for seed in seeds]
        self._shares = list(shares)
        self._take_shares()

    def _take_shares(self) -> None:
        levels = [threshold(share) for share in self._shares]
        self._drawing = [row for row, share in enumerate(self._shares) if share > 0]
        self._least, self._factor = torch.tensor(levels, dtype=torch.float64).t().to(self._like)

    def start_epoch(self, batches: Iterable[int]) -> None:
        self._to_come = list(batches)
        self._drawn: Iterator[torch.Tensor] = iter(())

    def state(self, row: int) -> torch.Tensor:
        return self._streams[row].state

    def load(self, row: int, state: torch.Tensor) -> None:
        self._streams[row].state = state

    def keep(self, rows: Sequence[int]) -> None:
        self._streams = [self._streams[row] for row in rows]
        self._shares = [self._shares[row] for row in rows]
        self._take_shares()

    def mask(self, units: int, examples: int) -> torch.Tensor | None:
        if not self._drawing:
            return None
        # Converted first: to compare whole numbers takes five times as long on the CPU.
        numbers = self._bits(units, examples).to(self._least.dtype)
        return numbers.ge_(self._least[:, None, None]).mul_(self._factor[:, None, None])

    def _bits(self, units: int, examples: int) -> torch.Tensor:
        if self._like.device.type != "cpu":
            shape = (len(self._shares), units, examples)
            return torch.randint(
                -(2**15), 2**15, shape, dtype=torch.int16, device=self._like.device
            )
        bits = next(self._drawn, None)
        if bits is None:
            self._drawn = self._draw_ahead(units)
            bits = next(self._drawn)
        return bits

    def _draw_ahead(self, units: int) -> Iterator[torch.Tensor]:
        """The bits of the next passes, each (S, units * examples), drawn with one call a row."""
        ends = list(itertools.accumulate(drawn(units * batch) for batch in self._to_come))
        passes = max(1, sum(end <= DRAWN_AHEAD for end in ends))
        batches, self._to_come = self._to_come[:passes], self._to_come[passes:]
        # Rows without dropout keep whatever stands there: their threshold lets everything pass.
        numbers = torch.zeros(len(self._shares), ends[passes - 1], dtype=torch.int16)
        for row in self._drawing:
            numbers[row] = self._streams[row].draw(ends[passes - 1])
        starts = [0, *ends]
        for start, batch in zip(starts, batches, strict=False):
            yield numbers[:, start : start + units * batch].unflatten(1, (units, batch))
