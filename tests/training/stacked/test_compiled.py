"""A compiled stack whose trials leave one by one: how often it is compiled, and its numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.fx import GraphModule

from dltune.data.device import DeviceData
from dltune.training.history import Trial, TrialState
from dltune.training.loop import Cohort
from dltune.training.state import TrainingState
from tests.training.stacked.test_engine import assert_alike, epochs_of, trials_of

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("default"),  # the compiler's own
    pytest.mark.filterwarnings("error::RuntimeWarning"),  # NumPy's, of what is not finite
]

NET = """
from torch import nn

def build(inputs, outputs):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, outputs))
"""


class Backend:
    """A backend of torch's compiler that runs every graph as it is, and notes it."""

    def __init__(self) -> None:
        self.rows: list[int] = []
        """Of the stack that each graph was made for."""

    def __call__(self, graph: GraphModule, inputs: list[Any]) -> Callable[..., Any]:
        # Beside tensors, there are the sizes of graphs that are made for any.
        self.rows += [len(one) for one in inputs if isinstance(one, torch.Tensor)][:1]
        return graph.forward


@pytest.fixture
def backend() -> Iterator[Backend]:
    torch.compiler.reset()  # what other tests have compiled
    noting = Backend()
    with torch.compiler.set_stance("default", force_backend=noting):
        yield noting
    torch.compiler.reset()


def leaving_one_by_one(
    settings: list[dict[str, Any]], *, compiles: bool, **train: Any
) -> list[Trial]:
    """The first trains for one epoch, the second for two."""
    train = {"compile": compiles, **train}
    return trials_of(
        [
            {**one, "train": {"epochs": epochs, **train}}
            for epochs, one in enumerate(settings, start=1)
        ]
    )


def test_compiled_once_for_every_halving(
    backend: Backend, digits: DeviceData, tmp_path: Path
) -> None:
    """Of a model under vmap torch makes a graph for every number of rows."""
    (tmp_path / "net.py").write_text(NET)
    trials = leaving_one_by_one(
        [{"model": {"factory": "net.py:build"}}] * 6, compiles=True, batch_size="full"
    )
    epochs, _ = epochs_of(trials, digits, stacked=True, folder=tmp_path)
    assert [[one.trial for one in epoch.records] for epoch in epochs] == [
        [*range(gone, 6)] for gone in range(6)
    ]
    assert backend.rows == [6, 3, 1]


SETTINGS: list[dict[str, Any]] = [
    # They leave in this order; while they rest, their schedules are over.
    {"schedule": {"name": "one-cycle"}, "optim": {"name": "momentum", "lr": 0.1}},
    {"schedule": {"name": "cosine"}, "optim": {"name": "adamw", "lr": 0.01, "weight_decay": 0.1}},
    {"optim": {"name": "sgd", "lr": 1e200}},  # at once, and stays beside the others as NaN
    {"schedule": {"name": "plateau", "patience": 0}, "regularize": {"clip_norm": 0.1}},
    {"model": {"dropout": 0.3}, "optim": {"name": "adam", "lr": 0.01}},
    {"model": {"dropout": 0.1}, "regularize": {"l2": 0.01}},
]


def test_who_is_over_changes_nothing_for_the_others(backend: Backend, digits: DeviceData) -> None:
    """As without compiling, where the rows of whoever is over leave at once."""
    settings = [
        {**one, "model": {"hidden": [8], "batch_norm": True, **one.get("model", {})}}
        for one in SETTINGS
    ]
    (plain, expected), (compiled, outcomes) = (
        epochs_of(
            leaving_one_by_one(settings, compiles=compiles, precision="float64", batch_size=300),
            digits,
            stacked=True,
        )
        for compiles in (False, True)
    )
    for one, other in zip(plain, compiled, strict=True):
        assert [rec.trial for rec in other.records] == [rec.trial for rec in one.records]
        assert len({rec.seconds for rec in other.records}) == 1
    for ends in (expected, outcomes):
        assert ends.pop(2).record.state is TrialState.DIVERGED
    assert_alike(expected, outcomes, relative=1e-9)


def test_taken_and_put_back_beside_who_is_over(backend: Backend, digits: DeviceData) -> None:
    """The states of those that train on, and a trial that goes on from before it diverged."""

    def states(*, compiles: bool) -> dict[int, TrainingState]:
        trials = leaving_one_by_one(
            [{"model": {"hidden": [8], "dropout": 0.2}}] * 4
            + [{"model": {"hidden": [8]}, "optim": {"name": "sgd", "lr": 1e308}}],
            compiles=compiles,
            precision="float64",
            batch_size=300,
            on_divergence="lr/10",
        )
        cohort = Cohort(digits, folder=Path(), stacked=True)
        cohort.put([TrainingState(trial=one) for one in trials])
        for _ in range(3):
            cohort.run_epoch()
        return cohort.take(cohort.alive)

    plain, compiled = states(compiles=False), states(compiles=True)
    assert [*compiled] == [*plain] == [3, 4]
    for number, state in plain.items():
        other = compiled[number]
        assert other.epochs == state.epochs == len(other.history) == 3
        for name in ("order", "dropout.0"):
            assert torch.equal(other.streams[name], state.streams[name])
        assert state.weights is not None
        assert other.weights is not None
        for name, weight in state.weights.items():
            torch.testing.assert_close(other.weights[name], weight, rtol=1e-9, atol=1e-9)
