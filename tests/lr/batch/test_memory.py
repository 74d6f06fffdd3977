"""Counted memory against what can be counted by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from torch import nn

from dltune.data.device import DeviceData
from dltune.lr.batch.memory import (
    PeakMemory,
    default_limit,
    fixed_bytes,
    predict_bytes,
    saved_bytes,
    state_values,
)
from dltune.recipe.schema import AdamConfig, Config, OptimConfig, SgdConfig
from dltune.training.learner import Learner

INPUTS, CLASSES = 13, 3  # of wine
SINGLE, DOUBLE, INT64 = 4, 8, 8  # bytes a value

KEPT_PER_WEIGHT = {
    "sgd": 0,
    "momentum": 1,
    "nesterov": 1,
    "adagrad": 1,
    "rmsprop": 1,
    "adadelta": 2,
    "adam": 2,
    "adamax": 2,
    "nadam": 2,
    "adamw": 2,
}


def learner_of(data: DeviceData, **sections: dict[str, Any]) -> Learner:
    config = Config.model_validate({"data": {"source": "sklearn:wine"}, **sections})
    return Learner(config, seed=0, data=data, folder=Path())


@pytest.mark.parametrize("batch", [1, 10, 106])
@pytest.mark.parametrize("hidden", [[16], [32, 8], []])
def test_what_autograd_saves_of_a_perceptron(
    wine: DeviceData, hidden: list[int], batch: int
) -> None:
    """Each layer's input once (a relu's output is the next input), and the log-probabilities."""
    learner = learner_of(wine, model={"hidden": hidden})
    values = batch * (INPUTS + sum(hidden) + CLASSES)
    total_weight = SINGLE  # of the mean over a batch
    expected = SINGLE * values + INT64 * batch + total_weight
    assert saved_bytes(learner, torch.arange(batch)) == expected


def test_double_precision_takes_twice_as_much(wine: DeviceData) -> None:
    learner = learner_of(wine, model={"hidden": [16]}, train={"precision": "float64"})
    assert saved_bytes(learner, torch.arange(10)) == (
        DOUBLE * 10 * (INPUTS + 16 + CLASSES) + INT64 * 10 + DOUBLE
    )


def test_counting_leaves_the_gradients_that_a_pass_makes(wine: DeviceData) -> None:
    counted, plain = (learner_of(wine, model={"hidden": [16]}) for _ in range(2))
    saved_bytes(counted, torch.arange(10))
    plain.gradients([torch.arange(10)])
    for one, other in zip(counted.parameters, plain.parameters, strict=True):
        assert torch.equal(one.grad, other.grad)


@pytest.mark.parametrize("name", KEPT_PER_WEIGHT)
def test_the_state_of_every_optimizer(name: str) -> None:
    union, _ = get_args(OptimConfig)
    kinds = {kind().name: kind for kind in (get_args(option)[0] for option in get_args(union))}
    assert set(kinds) == set(KEPT_PER_WEIGHT)
    assert state_values(kinds[name]()) == KEPT_PER_WEIGHT[name]


def test_frozen_weights_and_buffers_count_once() -> None:
    model = nn.Sequential(nn.Linear(9, 1), nn.BatchNorm1d(1), nn.Linear(1, 1))
    for weight in model[2].parameters():
        weight.requires_grad_(False)
    trained, frozen, buffers = 10 + 2, 2, 2 * SINGLE + INT64
    assert fixed_bytes(model, AdamConfig()) == 4 * SINGLE * trained + SINGLE * frozen + buffers
    assert fixed_bytes(model, SgdConfig()) == 2 * SINGLE * trained + SINGLE * frozen + buffers


@pytest.mark.parametrize(
    ("points", "batch", "expected"),
    [
        pytest.param([(2, 150)], 8, 300, id="from one, with what is there anyway"),
        pytest.param([(2, 150), (8, 300)], 16, 500, id="from two"),
        pytest.param([(2, 0), (8, 300), (16, 500)], 32, 900, id="from the last two"),
        pytest.param([(8, 300), (16, 500)], 12, 400, id="in between"),
    ],
)
def test_predictions_lie_on_a_straight_line(
    points: list[tuple[int, int]], batch: int, expected: int
) -> None:
    """100 bytes, and 25 an example."""
    assert predict_bytes(points, batch, fixed=100) == expected


def test_the_cpu_has_a_limit_and_no_peak() -> None:
    cpu = torch.device("cpu")
    limit = default_limit(cpu)
    assert limit is not None
    assert limit > 0
    assert PeakMemory(cpu).rise() is None


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_the_peak_on_cuda() -> None:
    cuda = torch.device("cuda")
    kept = torch.ones(2**20, device=cuda)
    peak = PeakMemory(cuda)
    passing = torch.ones(2**18, device=cuda)
    del passing
    assert peak.rise() == 2**20  # bytes
    assert kept.sum().item() == 2**20
    assert default_limit(cuda) is None
