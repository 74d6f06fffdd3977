"""A trial's turn: its own stream of the global random numbers, and kernels that repeat."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch

from dltune.training.arithmetic import reproducible

NUMPY_SEEDS = 2**32  # NumPy's global generator takes 32 bits


class RandomStream:
    """A place to keep the state of the global generators between the turns of one trial.

    Dropout and a user's own layers draw from torch's global generators, and a user's code may draw
    from NumPy's and Python's. A trial that trains in turn with others must find the state it left,
    and must not disturb its caller's: otherwise its numbers would depend on its neighbours. They
    must not depend on the choice of kernels either: see `arithmetic.reproducible`.

    >>> a, b = RandomStream(1, torch.device("cpu")), RandomStream(1, torch.device("cpu"))
    >>> with a.active(): first = torch.rand(1)
    >>> with b.active(): same = torch.rand(1)
    >>> with a.active(): second = torch.rand(1)
    >>> bool(first == same), bool(first == second)
    (True, False)
    """

    def __init__(self, seed: int, device: torch.device) -> None:
        self._device = device
        self._is_active = False
        with self._restored():
            seed_all(seed, device)
            self._states = generator_states(self._device)

    def state(self) -> dict[str, torch.Tensor]:
        """Where the stream stands, as tensors by generator, for `load`."""
        (_, python, gauss), (_, keys, place, has_gauss, numpy_gauss), own, *device = self._states
        state = {
            # By way of NumPy: torch takes ten times as long for a list of numbers.
            "python": torch.from_numpy(np.array(python, dtype=np.int64)),
            "python_gauss": torch.tensor([] if gauss is None else [gauss], dtype=torch.float64),
            "numpy": torch.from_numpy(np.append(keys.astype(np.int64), [place, has_gauss])),
            "numpy_gauss": torch.tensor(numpy_gauss, dtype=torch.float64),
            "torch": own,
        }
        return {**state, self._device.type: device[0]} if device else state

    def load(self, state: Mapping[str, torch.Tensor]) -> None:
        """Go on where another stream stood; the device's own numbers only if they are in it."""
        python, *_ = self._states
        gauss, numpy = state["python_gauss"].tolist(), state["numpy"].tolist()
        keys, (place, has_gauss) = np.array(numpy[:-2], dtype=np.uint32), numpy[-2:]
        device = [state.get(self._device.type, one) for one in self._states[3:]]
        self._states = (
            (python[0], tuple(state["python"].tolist()), gauss[0] if gauss else None),
            ("MT19937", keys, place, has_gauss, state["numpy_gauss"].item()),
            state["torch"],
            *device,
        )

    @contextlib.contextmanager
    def active(self) -> Iterator[None]:
        """Inside, the global generators go on where this stream left them; may be nested."""
        if self._is_active:  # a turn of many steps changes the states over once, not at each step
            yield
            return
        with self._restored(), reproducible(self._device):
            self._write(self._states)
            self._is_active = True
            try:
                yield
            finally:
                self._is_active = False
                self._states = generator_states(self._device)

    @contextlib.contextmanager
    def _restored(self) -> Iterator[None]:
        outer = generator_states(self._device)
        try:
            yield
        finally:
            self._write(outer)

    def _write(self, states: tuple[Any, ...]) -> None:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])
        if self._device.type == "cuda":
            torch.cuda.set_rng_state(states[3], self._device)
        elif self._device.type == "mps":
            torch.mps.set_rng_state(states[3])


def generator_states(device: torch.device) -> tuple[Any, ...]:
    """Where the global generators stand: Python's, NumPy's, torch's, and the device's if any."""
    states = (random.getstate(), np.random.get_state(), torch.get_rng_state())
    if device.type == "cuda":
        return *states, torch.cuda.get_rng_state(device)
    if device.type == "mps":
        return *states, torch.mps.get_rng_state()
    return states


def state_differs(before: Any, after: Any) -> bool:
    """Whether a generator has been used; states are tensors, or tuples with an array in them."""
    if isinstance(before, torch.Tensor):
        return not torch.equal(before, after)
    return not all(map(np.array_equal, before, after))


def seed_all(seed: int, device: torch.device) -> None:
    """Seed the global generators of Python, NumPy and torch, on the CPU and on this device."""
    random.seed(seed)
    np.random.seed(seed % NUMPY_SEEDS)
    # Not torch.manual_seed: it seeds every accelerator, and only this device is restored.
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)
