"""Figures of a stack on a split: those of each module alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from dltune.data.device import DeviceData, in_double
from dltune.models.build import build_model
from dltune.training.losses import build_loss
from dltune.training.measure import DeadUnits, measure
from dltune.training.stacked.losses import build_stacked_loss
from dltune.training.stacked.measure import measure_stack
from dltune.training.stacked.network import StackedLayers
from dltune.training.stacked.parameters import StackedParameters
from tests.training.configs import make_config


@pytest.mark.parametrize("model", [{"hidden": [6, 5]}, {"name": "cnn", "filters": [3, 2]}])
def test_as_one_by_one(model: dict[str, object], digits: DeviceData) -> None:
    data, config = in_double(digits), make_config(model=model)
    made = []
    for seed in range(3):
        torch.manual_seed(seed)
        module = build_model(config.model, inputs=data.inputs, outputs=10, folder=Path())
        made.append(module.double())
    stack = StackedParameters(made)
    measured = measure_stack(
        StackedLayers(made[0], example_dims=3),  # type: ignore[arg-type]
        stack.leaves,
        stack.buffers,
        data.train,
        loss=build_stacked_loss([config] * 3, task=data.task).plain,
        task=data.task,
        watches=True,
    )
    for row, module in enumerate(made):
        dead = DeadUnits(module)
        with dead.watching():
            alone = measure(
                module, data.train, loss=build_loss(config, task=data.task), task=data.task
            )
        assert measured.figures[row].error == alone.error
        assert measured.figures[row].loss == pytest.approx(alone.loss, rel=1e-12)
        assert measured.dead_units[row] == pytest.approx(dead.share(), abs=1e-7)


def test_no_rectifier_no_dead_units(diabetes: DeviceData) -> None:
    config = make_config(model={"hidden": [4], "activation": "tanh"})
    module = build_model(config.model, inputs=diabetes.inputs, outputs=1, folder=Path())
    stack = StackedParameters([module, module])
    measured = measure_stack(
        StackedLayers(module, example_dims=1),  # type: ignore[arg-type]
        stack.leaves,
        stack.buffers,
        diabetes.dev,
        loss=build_stacked_loss([config] * 2, task="regression").plain,
        task="regression",
        watches=True,
    )
    assert measured.dead_units == [None, None]
    alone = measure(
        module, diabetes.dev, loss=build_loss(config, task="regression"), task="regression"
    )
    for figures in measured.figures:
        assert figures.loss == pytest.approx(alone.loss, rel=1e-6)
        assert figures.error == pytest.approx(alone.error, rel=1e-6)
