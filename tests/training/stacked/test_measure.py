"""Figures of a stack on a split: those of each model alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from dltune.data.device import DeviceData
from dltune.training.history import Trial
from dltune.training.learner import Learner
from dltune.training.stacked.learner import StackedLearner
from tests.training.configs import make_config


@pytest.mark.parametrize("model", [{"hidden": [6, 5]}, {"name": "cnn", "filters": [3, 2]}])
def test_as_one_by_one(model: dict[str, object], digits: DeviceData) -> None:
    config = make_config(model=model, train={"precision": "float64"})
    trials = [Trial(number=seed, config=config, seed=seed) for seed in range(3)]
    stack = StackedLearner(trials, digits, folder=Path())
    measured, dead_units = stack.measure_train()
    for row, trial in enumerate(stack.trials):
        alone = Learner(config, seed=trial.seed, data=digits, folder=Path())
        (one,), (dead,) = alone.measure_train()
        assert measured[row].error == one.error
        assert measured[row].loss == pytest.approx(one.loss, rel=1e-12)
        assert dead_units[row] == pytest.approx(dead, abs=1e-7)
        assert stack.figures(stack.data.dev)[row].error == alone.measure(alone.data.dev).error


def test_no_rectifier_no_dead_units(diabetes: DeviceData) -> None:
    config = make_config(model={"hidden": [4], "activation": "tanh"})
    trials = [Trial(number=number, config=config, seed=7) for number in range(2)]
    measured, dead_units = StackedLearner(trials, diabetes, folder=Path()).measure_train()
    assert dead_units == [None, None]
    (alone,), _ = Learner(config, seed=7, data=diabetes, folder=Path()).measure_train()
    for figures in measured:
        assert figures.loss == pytest.approx(alone.loss, rel=1e-6)
        assert figures.error == pytest.approx(alone.error, rel=1e-6)
