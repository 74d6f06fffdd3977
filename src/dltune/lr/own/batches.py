"""Batches from whatever a user trains on, again and again, without a trace on what gives them."""

from __future__ import annotations

import contextlib
import copy
import random
import types
from collections.abc import Generator, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset

from dltune.errors import DataError
from dltune.training.randomness import NUMPY_SEEDS
from dltune.training.seeds import derive_seed

DEFAULT_BATCH = 64  # of a pair of tensors
LOADER_HINT = "Pass a DataLoader, a list of batches (inputs, targets), or a pair of tensors (X, y)."

# A loader, its sampler, its data set and their parts are a handful of objects; longer lists hold
# examples.
DEEPEST, LONGEST_CONTAINER, MOST_OBJECTS = 8, 1_000, 10_000
_NO_PARTS = (
    str | bytes | int | float | torch.Tensor | np.ndarray | type | types.ModuleType
    | types.FunctionType
)  # fmt: skip
RandomSource = torch.Generator | np.random.Generator | np.random.RandomState | random.Random


class ShuffledPair:
    """Two tensors as batches in a new order at every pass; an incomplete last batch is left out.

    inputs, targets  the same number of examples, at least one.
    batch_size       examples; where there are fewer, all of them are one batch.

    The losses of all batches are then equally noisy, and batch norm gets no batch of one example.
    The order changes, so that no example is left out for good.
    """

    def __init__(self, inputs: torch.Tensor, targets: torch.Tensor, *, batch_size: int) -> None:
        self._tensors = inputs, targets
        self._batch_size = min(batch_size, len(inputs))
        self.generator = torch.Generator(device="cpu")

    def __len__(self) -> int:
        return len(self._tensors[0]) // self._batch_size

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        inputs, targets = self._tensors
        order = torch.randperm(len(inputs), generator=self.generator, device="cpu")
        for chosen in order.split(self._batch_size)[: len(self)]:
            yield inputs[chosen.to(inputs.device)], targets[chosen.to(targets.device)]


class OwnBatches:
    """The batches of a user's loader or tensors, pass after pass.

    data        a DataLoader, another iterable that can be gone through several times, or a pair of
                tensors (X, y) with as many rows.
    batch_size  of a pair; None for 64, and for everything else.

    Raises DataError for anything else.

    >>> batches = OwnBatches([1, 2])
    >>> stream = batches.endless(seed=0)
    >>> [next(stream) for _ in range(3)], batches.passes()
    ([1, 2, 1], 1.5)
    """

    def __init__(self, data: Any, *, batch_size: int | None = None) -> None:
        self._data: Iterable[Any] = _checked(data, batch_size)
        self._sources = random_sources(self._data)
        self._taken = 0
        self.per_pass = _length(self._data)

    @contextlib.contextmanager
    def untouched(self) -> Iterator[None]:
        """Inside, batches may be drawn; afterwards the loader's own generators stand as before."""
        states = [_state(source) for source in self._sources]
        try:
            yield
        finally:
            for source, state in zip(self._sources, states, strict=True):
                _restore(source, state)

    def endless(self, seed: int) -> Generator[Any, None, None]:
        """Passes one after another, counted from here; the loader's own generators are seeded.

        What draws from the global generators is up to the caller.

        Raises DataError if a pass gives nothing.
        """
        for number, source in enumerate(self._sources):
            _reseed(source, derive_seed(seed, "order", number))
        self._taken = 0
        while True:
            before = self._taken
            for batch in self._data:
                self._taken += 1
                yield batch
            if self._taken == before:
                raise _nothing(before)
            self.per_pass = self._taken - before

    def passes(self) -> float:
        """How often the stream has gone through the data; 1 where nobody knows how long that is."""
        return self._taken / self.per_pass if self.per_pass else 1.0


def _checked(data: Any, batch_size: int | None) -> Iterable[Any]:
    if isinstance(data, tuple | list) and len(data) == 2:
        if all(isinstance(one, torch.Tensor) for one in data):
            return _pair(data[0], data[1], batch_size)
        if any(isinstance(one, np.ndarray) for one in data):
            raise DataError(
                "the data are NumPy arrays: a pair must be two tensors",
                hint="Pass (torch.as_tensor(X, dtype=torch.float32), torch.as_tensor(y)).",
            )
    kind = type(data).__name__
    if isinstance(data, Iterator):
        raise DataError(
            f"the data are a {kind}, which can be gone through only once: "
            "a sweep starts again for every seed",
            hint="Pass the DataLoader itself, or list(batches).",
        )
    if isinstance(data, Dataset) and not isinstance(data, IterableDataset):
        raise DataError(
            f"the data are a {kind}, which gives examples: batches are needed",
            hint="Pass DataLoader(dataset, batch_size=64, shuffle=True).",
        )
    if not isinstance(data, Iterable) or isinstance(data, torch.Tensor | Mapping | str):
        raise DataError(f"the data are a {kind}: batches are needed", hint=LOADER_HINT)
    if batch_size is not None:
        raise DataError(
            f"batch_size = {batch_size}, but the data are a {kind}, which decides that itself",
            hint="Leave batch_size out: it is for a pair of tensors (X, y).",
        )
    return _unshared(data) if isinstance(data, DataLoader) else data


def _pair(inputs: torch.Tensor, targets: torch.Tensor, batch_size: int | None) -> ShuffledPair:
    rows = [len(one) if one.ndim else 0 for one in (inputs, targets)]
    if rows[0] != rows[1] or not rows[0]:
        raise DataError(
            f"the data are tensors of shapes {tuple(inputs.shape)} and {tuple(targets.shape)}: "
            "both must have the same number of rows, at least one"
        )
    if batch_size is not None and batch_size < 1:
        raise DataError(f"batch_size = {batch_size}: must be at least 1", hint="Try batch_size=64.")
    return ShuffledPair(inputs, targets, batch_size=batch_size or DEFAULT_BATCH)


def _unshared(loader: DataLoader[Any]) -> DataLoader[Any]:
    """The loader with workers of its own: persistent ones would live on with our random numbers."""
    own = copy.copy(loader)
    vars(own)["_iterator"] = None
    return own


def _length(data: Any) -> int | None:
    try:
        return len(data) or None
    except TypeError:  # a stream
        return None


def _nothing(before: int) -> DataError:
    if not before:
        return DataError("the data gave no batch", hint=LOADER_HINT)
    return DataError(
        f"the data gave {before} batches, and none when gone through again",
        hint="Pass something that starts again at every `for`, such as list(batches).",
    )


def random_sources(root: object) -> list[RandomSource]:
    """Every generator of random numbers among the attributes of an object, and of those in turn.

    >>> from torch.utils.data import TensorDataset
    >>> loader = DataLoader(
    ...     TensorDataset(torch.ones(4)), shuffle=True, generator=torch.Generator())
    >>> len(random_sources(loader)), len(random_sources([1, 2]))
    (1, 0)
    """
    found: list[RandomSource] = []
    seen: dict[int, object] = {}
    level: list[object] = [root]
    for _ in range(DEEPEST):
        below: list[object] = []
        for one in level:
            if id(one) in seen or len(seen) >= MOST_OBJECTS:
                continue
            seen[id(one)] = one
            if isinstance(one, RandomSource):
                found.append(one)
            elif not isinstance(one, _NO_PARTS):
                below += _parts(one)
        level = below
    return [source for source in found if not isinstance(source, random.SystemRandom)]


def _parts(one: object) -> list[object]:
    if isinstance(one, list | tuple):
        return list(one) if len(one) <= LONGEST_CONTAINER else []
    if isinstance(one, dict):
        return list(one.values()) if len(one) <= LONGEST_CONTAINER else []
    return list(getattr(one, "__dict__", {}).values())


def _state(source: RandomSource) -> Any:
    if isinstance(source, torch.Generator | np.random.RandomState):
        return source.get_state()
    return source.getstate() if isinstance(source, random.Random) else source.bit_generator.state


def _restore(source: RandomSource, state: Any) -> None:
    if isinstance(source, torch.Generator | np.random.RandomState):
        source.set_state(state)
    elif isinstance(source, random.Random):
        source.setstate(state)
    else:
        source.bit_generator.state = state


def _reseed(source: RandomSource, seed: int) -> None:
    if isinstance(source, torch.Generator):
        source.manual_seed(seed)
    elif isinstance(source, np.random.Generator):
        kind: Any = type(source.bit_generator)
        source.bit_generator.state = kind(seed).state
    else:
        source.seed(seed % NUMPY_SEEDS)


def moved(one: Any, device: torch.device) -> Any:
    """A batch on a device, its tensors copied: a layer that works in place changes no one's data.

    one  tensors in tuples, lists and dictionaries, or objects with a method `to`; all else stays.

    >>> moved({"x": torch.ones(2), "name": "a"}, torch.device("cpu"))
    {'x': tensor([1., 1.]), 'name': 'a'}
    """
    if isinstance(one, torch.Tensor):
        return one.detach().to(device, copy=True).requires_grad_(one.requires_grad)
    if callable(getattr(one, "to", None)):
        return copy.copy(one).to(device)
    if isinstance(one, Mapping):
        return {key: moved(value, device) for key, value in one.items()}
    if isinstance(one, tuple) and hasattr(one, "_fields"):
        return type(one)(*(moved(value, device) for value in one))
    if isinstance(one, tuple | list):
        return type(one)(moved(value, device) for value in one)
    return one


def uses_of_a_weight(batch: Any) -> int | None:
    """How often a model uses each weight on a batch, at most; None where nobody knows.

    Once a row of a table; of sequences and images once a value. A model that makes an image of a
    row uses its weights more often.

    >>> table, images = torch.ones(64, 13), torch.ones(8, 1, 16, 16)
    >>> uses_of_a_weight((table, torch.ones(64))), uses_of_a_weight({"images": images})
    (64, 2048)
    """
    if isinstance(batch, torch.Tensor):
        is_table = batch.ndim == 2 and batch.is_floating_point()
        return len(batch) if is_table else batch.numel()
    if isinstance(batch, Mapping):
        batch = list(batch.values())
    if not isinstance(batch, tuple | list):
        return None
    uses = [one for one in map(uses_of_a_weight, batch) if one is not None]
    return max(uses, default=None)
