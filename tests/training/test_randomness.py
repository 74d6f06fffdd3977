"""A trial's random stream: its own, and nobody else's."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch

from dltune.training.randomness import RandomStream

CPU = torch.device("cpu")


def draw() -> tuple[float, float, float]:
    return random.random(), float(np.random.rand()), torch.rand(1).item()


def states() -> tuple[Any, ...]:
    kind, keys, *rest = np.random.get_state()
    return random.getstate(), kind, keys.tolist(), rest, torch.get_rng_state().tolist()


def test_every_generator_follows_the_seed_and_goes_on_where_it_was() -> None:
    random.seed(0), np.random.seed(0), torch.manual_seed(0)
    a, b, other = RandomStream(1, CPU), RandomStream(1, CPU), RandomStream(2**63 - 1, CPU)
    with a.active():
        first = draw()
    draw()  # the caller's
    with a.active():
        second = draw()
    with b.active():
        assert (draw(), draw()) == (first, second)
    with other.active():
        assert not set(draw()) & set(first)


def test_the_callers_generators_are_untouched_also_after_an_exception() -> None:
    before = states()
    stream = RandomStream(1, CPU)
    assert states() == before

    def fail() -> None:
        with stream.active():
            draw()
            raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        fail()
    assert states() == before


def test_a_stream_on_the_cpu_seeds_no_accelerator(monkeypatch: pytest.MonkeyPatch) -> None:
    seeded: list[int] = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeded.append)
    torch.manual_seed(4)
    assert seeded == [4]  # torch's own way does
    RandomStream(5, CPU)
    assert seeded == [4]


def test_nested_turns_are_one_turn() -> None:
    nested, plain = (RandomStream(3, torch.device("cpu")) for _ in range(2))
    outer = torch.get_rng_state()
    with nested.active():
        with nested.active():
            drawn = [torch.rand(1)]
        drawn.append(torch.rand(1))
    assert torch.equal(torch.get_rng_state(), outer)
    with plain.active():
        assert drawn == [torch.rand(1), torch.rand(1)]
