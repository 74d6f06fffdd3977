"""The probe: sizes that it may choose, what it leaves alone, and models that cannot be stacked."""

from __future__ import annotations

import random
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch

from dltune.data.device import DeviceData
from dltune.training import memory
from dltune.training.history import Trial
from dltune.training.probe import LARGEST_STACK, SMALLEST_STACK, probe
from tests.training.configs import make_config


def trials_of(count: int, **sections: dict[str, object]) -> list[Trial]:
    config = make_config(**({"model": {"hidden": [8]}} | sections))
    return [Trial(number=number, config=config, seed=number) for number in range(count)]


def test_chooses_the_fastest_of_what_it_measured(digits: DeviceData) -> None:
    result = probe(trials_of(40), digits, folder=Path(), waiting=100_000)
    assert set(result.microseconds) <= {1, 16, 32, 40}
    assert {1, SMALLEST_STACK} <= set(result.microseconds)
    assert result.best == min(result.microseconds, key=result.microseconds.__getitem__)
    # So small a network gains far more than timing noise from being stacked.
    assert result.best > 1
    assert result.reason == ""
    assert result.all_threads is None


def test_no_stack_is_larger_than_there_are_trials(digits: DeviceData) -> None:
    assert set(probe(trials_of(3), digits, folder=Path(), waiting=3).microseconds) == {1, 3}
    alone = probe(trials_of(1), digits, folder=Path(), waiting=1)
    assert (alone.best, set(alone.microseconds)) == (1, {1})


def test_a_short_search_is_not_measured_for_long(digits: DeviceData) -> None:
    """One waiting trial of one epoch: the smallest stack is measured and no other."""
    trials = trials_of(LARGEST_STACK["cpu"], train={"epochs": 1})
    result = probe(trials, digits, folder=Path(), waiting=1)
    assert set(result.microseconds) == {1, SMALLEST_STACK}


def test_random_numbers_are_left_alone(wine: DeviceData) -> None:
    states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
    probe(trials_of(8, model={"hidden": [4], "dropout": 0.5}), wine, folder=Path(), waiting=8)
    assert random.getstate() == states[0]
    assert np.random.get_state()[1].tolist() == states[1]
    assert torch.equal(torch.get_rng_state(), states[2])


def test_memory_bounds_the_stack(wine: DeviceData, monkeypatch: pytest.MonkeyPatch) -> None:
    """Room for four rows of 13 x 1000 weights in eight copies."""
    room = 2 * 4 * 8 * 4 * (13 * 1000 + 1000 + 3 * 1000 + 3)
    monkeypatch.setattr("dltune.training.probe.available_bytes", lambda device: room)
    result = probe(trials_of(20, model={"hidden": [1000]}), wine, folder=Path(), waiting=10_000)
    assert set(result.microseconds) == {1, 4}
    # The processes of a machine share its memory, however they share the GPUs beside it.
    shared = probe(
        trials_of(20, model={"hidden": [1000]}),
        wine,
        folder=Path(),
        waiting=10_000,
        processes=2,
        on_gpu=1,
    )
    assert set(shared.microseconds) == {1, 2}


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_those_that_have_another_gpu_take_none_of_this_ones_memory(
    wine: DeviceData, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.training.on_device import moved

    room = 2 * 4 * 8 * 4 * (13 * 1000 + 1000 + 3 * 1000 + 3)
    monkeypatch.setattr("dltune.training.probe.available_bytes", lambda device: room)
    trials, data = trials_of(20, model={"hidden": [1000]}), moved(wine, torch.device("cuda"))
    result = probe(trials, data, folder=Path(), waiting=10_000, processes=8, on_gpu=1)
    assert set(result.microseconds) == {1, 4}


def test_a_model_without_a_vmap_rule_is_not_stacked(wine: DeviceData, tmp_path: Path) -> None:
    code = """
        from torch import nn

        class Net(nn.Module):
            def __init__(self, outputs):
                super().__init__()
                self.cells, self.head = nn.LSTM(1, 4, batch_first=True), nn.Linear(4, outputs)

            def forward(self, x):
                return self.head(self.cells(x[:, :, None])[0][:, -1])

        def build(inputs, outputs):
            return Net(outputs)
    """
    (tmp_path / "net.py").write_text(textwrap.dedent(code))
    trials = trials_of(4, model={"factory": "net.py:build"})
    result = probe(trials, wine, folder=tmp_path, waiting=4)
    assert result.best == 1
    assert "lstm" in result.reason


def test_available_memory_is_less_than_all_of_it() -> None:
    assert 0 < memory.available_bytes(torch.device("cpu")) < 2**50
