"""The rules in closed form, and every verdict."""

from __future__ import annotations

import math

import pytest

from dltune.lr.batch.scale import (
    LrVerdict,
    SweptBatch,
    check_scaled,
    rule_for,
    scale_lr,
    unchecked,
)

OPTIMIZERS = {
    "linear": ("sgd", "momentum", "nesterov"),
    "sqrt": ("adagrad", "rmsprop", "adadelta", "adam", "adamax", "nadam", "adamw"),
}


def swept(batch: int, suggestion: float | None, edge: float | None = None) -> SweptBatch:
    return SweptBatch(
        batch=batch, suggestion=suggestion, edge=edge, status="ok" if suggestion else "flat"
    )


@pytest.mark.parametrize(
    ("optimizer", "rule"), [(name, rule) for rule, names in OPTIMIZERS.items() for name in names]
)
def test_the_rule_of_every_optimizer(optimizer: str, rule: str) -> None:
    assert rule_for(optimizer) == rule


@pytest.mark.parametrize(
    ("before", "after", "linear", "sqrt"),
    [
        pytest.param(64, 256, 0.4, 0.2, id="four times"),
        pytest.param(64, 64, 0.1, 0.1, id="the same"),
        pytest.param(64, 16, 0.025, 0.05, id="a quarter"),
        pytest.param(64, 1079, 1.7, 0.41, id="two digits"),
    ],
)
def test_scaled_rates(before: int, after: int, linear: float, sqrt: float) -> None:
    assert scale_lr(0.1, before=before, after=after, rule="linear").after == linear
    assert scale_lr(0.1, before=before, after=after, rule="sqrt").after == sqrt
    assert scale_lr(0.1, before=before, after=after, rule="sqrt").ratio == math.sqrt(after / before)


def test_a_batch_that_stays_leaves_every_digit_of_the_rate() -> None:
    assert scale_lr(0.00123456, before=64, after=64, rule="sqrt").after == 0.00123456


@pytest.mark.parametrize(
    ("suggestion", "edge", "verdict", "rate"),
    [
        pytest.param(0.4, 2.4, LrVerdict.CONFIRMED, 0.4, id="the same"),
        pytest.param(0.2, 1.2, LrVerdict.CONFIRMED, 0.4, id="just twice"),
        pytest.param(0.8, 4.8, LrVerdict.CONFIRMED, 0.4, id="just half"),
        pytest.param(0.3, None, LrVerdict.CONFIRMED, 0.4, id="no edge"),
        pytest.param(0.19, 1.2, LrVerdict.HIGH, 0.19, id="more than twice"),
        pytest.param(0.81, 4.9, LrVerdict.LOW, 0.81, id="less than half"),
        pytest.param(0.05, 0.39, LrVerdict.ABOVE_EDGE, 0.05, id="above the edge"),
        pytest.param(None, 0.39, LrVerdict.ABOVE_EDGE, None, id="an edge alone"),
        pytest.param(None, None, LrVerdict.UNCLEAR, None, id="nothing"),
        pytest.param(None, 2.0, LrVerdict.UNCLEAR, None, id="below an edge alone"),
    ],
)
def test_verdicts_on_four_tenths(
    suggestion: float | None, edge: float | None, verdict: LrVerdict, rate: float | None
) -> None:
    scaled = scale_lr(0.1, before=64, after=256, rule="linear")
    check = check_scaled(scaled, before=swept(64, 0.1), after=swept(256, suggestion, edge))
    assert (check.verdict, check.rate) == (verdict, rate)


def test_the_ratio_that_sweeps_support() -> None:
    scaled = scale_lr(0.1, before=64, after=256, rule="linear")
    sweeps = {"before": swept(64, 0.1), "after": swept(256, 0.3)}
    assert check_scaled(scaled, **sweeps).ratio == pytest.approx(3.0)
    assert check_scaled(scaled, **sweeps | {"before": swept(64, None)}).ratio is None
    assert check_scaled(scaled, **sweeps | {"after": swept(256, None)}).ratio is None
    assert check_scaled(scaled, before=None, after=swept(256, 0.3)).ratio is None


def test_without_a_sweep_the_rule_stands() -> None:
    check = unchecked(scale_lr(0.1, before=64, after=256, rule="linear"))
    assert (check.verdict, check.rate, check.ratio) == (LrVerdict.UNCHECKED, 0.4, None)
