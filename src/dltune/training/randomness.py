"""Each trial's own stream of torch's global random numbers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch


class RandomStream:
    """A place to keep the state of torch's generators between the turns of one trial.

    Dropout and a user's own layers draw from torch's global generators. A trial that trains in turn
    with others must find the state it left, and must not disturb its caller's: otherwise its
    numbers would depend on its neighbours.

    >>> a, b = RandomStream(1, torch.device("cpu")), RandomStream(1, torch.device("cpu"))
    >>> with a.active(): first = torch.rand(1)
    >>> with b.active(): same = torch.rand(1)
    >>> with a.active(): second = torch.rand(1)
    >>> bool(first == same), bool(first == second)
    (True, False)
    """

    def __init__(self, seed: int, device: torch.device) -> None:
        self._device = device
        with self._restored():
            torch.manual_seed(seed)  # seeds the CPU's and every accelerator's generator
            self._states = self._read()

    @contextlib.contextmanager
    def active(self) -> Iterator[None]:
        """Inside, torch's global generators go on where this stream left them."""
        with self._restored():
            self._write(self._states)
            try:
                yield
            finally:
                self._states = self._read()

    @contextlib.contextmanager
    def _restored(self) -> Iterator[None]:
        outer = self._read()
        try:
            yield
        finally:
            self._write(outer)

    def _read(self) -> tuple[torch.Tensor, ...]:
        if self._device.type == "cuda":
            return torch.get_rng_state(), torch.cuda.get_rng_state(self._device)
        if self._device.type == "mps":
            return torch.get_rng_state(), torch.mps.get_rng_state()
        return (torch.get_rng_state(),)

    def _write(self, states: tuple[torch.Tensor, ...]) -> None:
        torch.set_rng_state(states[0])
        if self._device.type == "cuda":
            torch.cuda.set_rng_state(states[1], self._device)
        elif self._device.type == "mps":
            torch.mps.set_rng_state(states[1])
