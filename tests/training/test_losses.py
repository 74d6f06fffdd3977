"""Losses against their formulas, the error against scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import r2_score

from dltune.errors import TrainingError
from dltune.training.losses import build_loss, constant_loss, error_of
from tests.training.configs import make_config


def test_cross_entropy_with_label_smoothing_follows_the_formula() -> None:
    config = make_config(regularize={"label_smoothing": 0.1})
    logits, target = torch.tensor([[1.0, 2.0, 0.5]]), torch.tensor([1])
    log_p = logits - torch.logsumexp(logits, dim=1, keepdim=True)
    smoothed = torch.tensor([0.1 / 3, 0.9 + 0.1 / 3, 0.1 / 3])
    loss = build_loss(config, task="classification")(logits, target)
    assert loss.item() == pytest.approx(-(smoothed * log_p).sum().item(), rel=1e-6)
    plain = build_loss(config, task="classification", smoothing=False)(logits, target)
    assert plain.item() == pytest.approx(-log_p[0, 1].item(), rel=1e-6)


@pytest.mark.parametrize(
    ("objective", "expected"),
    [
        pytest.param({}, (9 + 0.25) / 2, id="mse by default"),
        pytest.param({"loss": "mse"}, (9 + 0.25) / 2, id="mse"),
        pytest.param({"loss": "mae"}, (3 + 0.5) / 2, id="mae"),
        pytest.param({"loss": "huber"}, (1 * (3 - 0.5) + 0.125) / 2, id="huber"),
        pytest.param(
            {"loss": "huber", "huber_delta": 2.0}, (2 * (3 - 1) + 0.125) / 2, id="huber, delta 2"
        ),
    ],
)
def test_regression_losses(objective: dict[str, object], expected: float) -> None:
    loss = build_loss(make_config(objective=objective), task="regression")
    outputs, targets = torch.tensor([[3.0], [0.5]]), torch.tensor([[0.0], [0.0]])
    assert loss(outputs, targets).item() == pytest.approx(expected)


def test_loss_of_the_other_task() -> None:
    with pytest.raises(TrainingError) as caught:
        build_loss(make_config(objective={"loss": "mse"}), task="classification")
    assert str(caught.value) == (
        'objective.loss = "mse" is for regression, but the task is classification\n'
        "Try --set objective.loss=cross-entropy, or --set data.task=regression."
    )


def test_label_smoothing_in_regression() -> None:
    with pytest.raises(TrainingError) as caught:
        build_loss(make_config(regularize={"label_smoothing": 0.2}), task="regression")
    assert str(caught.value) == (
        "regularize.label_smoothing = 0.2: regression has no labels to smooth\n"
        "Try --set regularize.label_smoothing=0."
    )


def test_regression_error_is_one_minus_r2_of_scikit_learn() -> None:
    random = np.random.default_rng(0)
    targets, outputs = random.normal(size=(50, 3)), random.normal(size=(50, 3))
    error = error_of(torch.tensor(outputs), torch.tensor(targets), task="regression")
    assert error.item() == pytest.approx(1 - r2_score(targets, outputs))


def test_classification_error_counts_mistakes() -> None:
    logits = torch.eye(4)
    targets = torch.tensor([0, 1, 3, 2])
    assert error_of(logits, targets, task="classification").item() == 0.5


def test_loss_at_chance_is_the_log_of_the_classes() -> None:
    loss = build_loss(make_config(), task="classification")
    assert loss(torch.zeros(5, 7), torch.arange(5)).item() == pytest.approx(math.log(7))


def test_the_best_constant_for_a_cross_entropy_is_the_entropy_of_the_classes() -> None:
    loss = build_loss(make_config(), task="classification")
    targets = torch.tensor([0] * 5 + [1] * 3 + [2] * 2)
    entropy = -(0.5 * math.log(0.5) + 0.3 * math.log(0.3) + 0.2 * math.log(0.2))
    found = constant_loss(loss, targets, task="classification", outputs=3)
    assert found == pytest.approx(entropy, rel=1e-6)


@pytest.mark.parametrize(
    "classes",
    [
        pytest.param([0] * 7 + [1] * 2 + [2], id="unequal"),
        pytest.param([0, 0, 2, 2], id="one missing"),
    ],
)
def test_with_smoothed_labels_it_is_the_entropy_of_those(classes: list[int]) -> None:
    loss = build_loss(make_config(regularize={"label_smoothing": 0.3}), task="classification")
    shares = 0.7 * np.bincount(classes, minlength=3) / len(classes) + 0.3 / 3
    found = constant_loss(loss, torch.tensor(classes), task="classification", outputs=3)
    assert found == pytest.approx(-(shares * np.log(shares)).sum(), rel=1e-5)


def test_a_class_that_is_missing_costs_nothing() -> None:
    loss = build_loss(make_config(), task="classification")
    targets = torch.tensor([0, 0, 2, 2])
    found = constant_loss(loss, targets, task="classification", outputs=4)
    assert found == pytest.approx(math.log(2.0), rel=1e-6)
    same = constant_loss(loss, torch.tensor([1, 1]), task="classification", outputs=2)
    assert same == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize(
    ("objective", "expected"),
    [
        # Around the means of 1 and 6: residuals -1, 1 and -4, 4.
        pytest.param({"loss": "mse"}, (1 + 16) / 2, id="mse, the variance"),
        pytest.param({"loss": "mae"}, (1 + 4) / 2, id="mae"),
        pytest.param({"loss": "huber"}, (0.5 + 3.5) / 2, id="huber"),
    ],
)
def test_the_constant_of_a_regression_is_the_mean(
    objective: dict[str, object], expected: float
) -> None:
    loss = build_loss(make_config(objective=objective), task="regression")
    targets = torch.tensor([[0.0, 2.0], [2.0, 10.0]])
    found = constant_loss(loss, targets, task="regression", outputs=2)
    assert found == pytest.approx(expected)


def test_the_constant_of_targets_in_double_precision() -> None:
    loss = build_loss(make_config(), task="regression")
    targets = torch.tensor([[1.0], [2.0], [3.0]], dtype=torch.float64)
    found = constant_loss(loss, targets, task="regression", outputs=1)
    assert found == pytest.approx(2.0 / 3.0, rel=1e-15)
