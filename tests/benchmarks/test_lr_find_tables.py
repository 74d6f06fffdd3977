"""The learning-rate benchmark measures what it says, and its grids hold their best rates."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest

Import = Callable[[str], ModuleType]


def test_both_halves_have_every_kind(lr_find: Import) -> None:
    tasks = lr_find("tasks")
    assert len(tasks.TASKS) >= 40
    assert len({task.name for task in tasks.TASKS}) == len(tasks.TASKS)
    for half in (tasks.TUNING, tasks.REPORTING):
        assert {task.optimizer for task in half} == {"sgd", "momentum", "adam", "adamw", "rmsprop"}
        assert {task.schedule for task in half} == {"constant", "cosine"}
        assert {task.model.split()[0] for task in half} >= {
            "linear",
            "mlp",
            "norm",
            "tanh",
            "cnn",
            "transformer",
        }


def test_every_task_is_a_recipe_of_its_own(lr_find: Import) -> None:
    for task in lr_find("tasks").TASKS:
        config = task.config(0.125)
        assert config.optim.name == task.optimizer
        assert config.optim.lr == 0.125
        assert config.train.epochs == task.epochs


def test_the_published_grids_have_their_best_rate_inside(lr_find: Import) -> None:
    oracles = lr_find("oracle").read_oracles()
    assert set(oracles) == {task.name for task in lr_find("tasks").TASKS}
    for name, oracle in oracles.items():
        assert oracle.best.shape == oracle.final.shape == (len(oracle.quarters), 5), name
        assert np.diff(oracle.quarters).tolist() == [1] * (len(oracle.quarters) - 1), name
        place = oracle.levels(oracle.best).argmin()
        assert 2 <= place < len(oracle.quarters) - 2, name


@pytest.fixture
def made_up(lr_find: Import) -> object:
    """Four rates, two seeds; untrained 2.0, at best 1.0, and one training diverged."""
    return lr_find("oracle").Oracle(
        quarters=[-8, -7, -6, -5],
        best=np.array([[1.5, 1.5], [1.0, 1.0], [1.2, 1.6], [3.0, math.inf]]),
        final=np.array([[1.5, 1.5], [1.5, 1.7], [1.2, 1.6], [3.0, math.inf]]),
        untrained=np.array([2.0, 2.0]),
    )


@pytest.mark.parametrize(
    ("quarter", "regret"),
    [
        pytest.param(-7, 0.0, id="the best"),
        pytest.param(-8, 0.5, id="half way down"),
        pytest.param(-5, 1.0, id="nothing counts as worse than to have learned nothing"),
        pytest.param(-6.5, 0.2, id="between two rates"),
        pytest.param(-9, 0.5, id="below the grid: its lowest rate"),
        pytest.param(0, 1.0, id="above the grid"),
    ],
)
def test_regret(made_up: object, quarter: float, regret: float) -> None:
    assert made_up.regret(10.0 ** (quarter / 4)) == pytest.approx(regret)  # type: ignore[attr-defined]


def test_no_rate_learns_nothing(made_up: object) -> None:
    assert made_up.regret(None) == 1.0  # type: ignore[attr-defined]
    assert made_up.best_rate() == pytest.approx(10.0**-1.75)  # type: ignore[attr-defined]


def test_tables_of_made_up_results(lr_find: Import, made_up: object) -> None:
    """One task, two seeds: 0 and 0.5 for the sweep, 0 twice for the validation."""
    tables, (task, *_) = lr_find("tables"), lr_find("tasks").TASKS
    best, low = 10.0**-1.75, 10.0**-2
    result = {
        "sweep": [{"rate": best, "band": [0.01, 0.1]}, {"rate": low, "band": [0.001, 0.011]}],
        "validated": [{"rate": best, "band": [0.01, 0.1]}, {"rate": best, "band": None}],
        "peers": {"fastai": [{"rates": {"fastai steep": None}}, {"rates": {"fastai steep": low}}]},
        "fixed": low,
        "random": {"a sweep's updates": [{"rate": best}, {"rate": best}]},
        "rate_free": {"prodigy": [{"best": 0.9, "final": 1.0}, {"best": math.inf, "final": 9.0}]},
    }
    found = tables.regrets_by_rule([task], {task.name: result}, {task.name: made_up})
    assert found["dltune, sweep of five seeds"] == [pytest.approx([0.0, 0.5])]
    assert found["fastai steep"] == [pytest.approx([1.0, 0.5])]
    assert found["prodigy, no rate"] == [pytest.approx([-0.1, 1.0])]  # it may beat the grid
    spread = tables.spreads([task], {task.name: result})
    assert spread["dltune, sweep of five seeds"] == pytest.approx(0.25 / math.sqrt(2))
    assert "| sweep of five seeds | 50% |" in tables.coverage(
        [task], {task.name: result}, {task.name: made_up}
    )
