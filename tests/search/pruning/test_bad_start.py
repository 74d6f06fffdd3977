"""Bad starts: each rule at its bound."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dltune.data.load import load_data
from dltune.errors import UsageError
from dltune.recipe.schema import DataConfig
from dltune.search.pruning.bad_start import BadStart, Chance
from dltune.search.pruning.base import standing_of
from tests.search.pruning.curves import one_bracket, record_of
from tests.training.configs import make_config


def reason(*, train: list[float], dev: list[float], config: dict | None = None, **fields) -> str:
    """Why a trial with this beginning ends; empty if it trains on."""
    rule = BadStart()
    rule.learn(load_data(DataConfig(source="sklearn:wine"), folder=Path()))
    record = record_of(0, dev, train=train, **fields)
    there = standing_of(0, make_config(**(config or {})), record, alive=True, epoch=len(dev))
    return rule.judge([there], one_bracket(1, len(dev)), 0).get(0, "")


FALLS = [1.0, 0.8, 0.6]


def test_a_good_start_goes_on() -> None:
    assert reason(train=FALLS, dev=[0.5, 0.4, 0.3]) == ""


def test_a_loss_that_has_gone_up() -> None:
    assert "has diverged" in reason(train=[1.0, 0.9, 1.4], dev=[0.3] * 3)
    assert reason(train=[1.0, 0.9, 1.3], dev=[0.3] * 3) == ""  # below 1.5 times the least
    assert reason(train=[1.0, 0.1, 0.9], dev=[0.3] * 3) == ""  # below the first


def test_nothing_moves() -> None:
    assert "has not moved" in reason(train=[1.0, 1.00009, 0.99995], dev=[0.3] * 3)
    assert reason(train=[1.0, 1.0, 0.999], dev=[0.3] * 3) == ""
    assert "frozen: an update" in reason(train=FALLS, dev=[0.3] * 3, update_ratio=1e-7)


def test_no_better_than_a_guess() -> None:
    """Of wine's 36 dev examples 22 are not of the commonest class: 0.45 at least, by Wilson."""
    assert "at chance: dev error 0.5" in reason(train=FALLS, dev=[0.6, 0.5, 0.6], dev_loss=1.09)
    assert reason(train=FALLS, dev=[0.6, 0.44, 0.6], dev_loss=1.09) == ""
    assert reason(train=FALLS, dev=[0.6, 0.5, 0.6], dev_loss=0.9) == ""  # its loss has fallen


def test_nobody_is_judged_in_its_warmup() -> None:
    slow = {"schedule": {"name": "constant", "warmup": 0.2}, "train": {"epochs": 20}}
    assert reason(train=[1.0] * 4, dev=[0.6] * 4, config=slow) == ""
    assert "frozen" in reason(train=[1.0] * 5, dev=[0.6] * 5, config=slow)


def test_chance_of_a_regression_is_its_mean() -> None:
    data = load_data(DataConfig(source="sklearn:diabetes"), folder=Path())
    assert Chance.of(data).error == 0.95


def test_chance_of_classes_is_counted() -> None:
    data = load_data(DataConfig(source="sklearn:wine"), folder=Path())
    train, dev = data.train.targets, data.dev.targets
    shares = np.bincount(train) / len(train)
    assert Chance.of(data).loss == pytest.approx(-0.95 * np.log(shares[dev]).mean())
    assert Chance.of(data).error < np.mean(dev != shares.argmax())


def test_it_looks_once_after_a_tenth() -> None:
    assert BadStart().brackets([0], 60)[0].rungs == (6,)
    assert BadStart().brackets([0], 10)[0].rungs == (3,)
    assert BadStart().brackets([0], 3)[0].rungs == ()
    with pytest.raises(UsageError, match="at least 1 epoch"):
        BadStart(first_rung=0)
