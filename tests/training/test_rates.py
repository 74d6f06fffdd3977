"""Rates of a stack: each row by its own schedule and length."""

from __future__ import annotations

import math

import pytest

from dltune.training.history import Trial
from dltune.training.rates import Rates
from dltune.training.schedules import lr_factor, momenta
from tests.training.configs import make_config


def trial(number: int, lr: float, epochs: int, **schedule: object) -> Trial:
    config = make_config(optim={"lr": lr}, schedule=schedule, train={"epochs": epochs})
    return Trial(number=number, config=config, seed=0)


def test_every_row_follows_its_own_schedule() -> None:
    trials = [
        trial(0, 0.1, 4, name="cosine", warmup=0.25),
        trial(1, 0.2, 4, name="step", every=1, factor=0.5),
        trial(2, 0.3, 8, name="cosine", warmup=0.25),
        trial(3, 0.4, 4, name="cosine", warmup=0.25),
    ]
    rates = Rates(trials, updates_per_epoch=5)
    for done in ([0, 0, 0, 0], [1, 0, 3, 2]):
        lr, momentum = rates.epoch(done, [1.0, 1.0, 0.5, 1.0])
        assert momentum is None
        for offset, row in enumerate(lr.tolist()):
            assert row == [
                pytest.approx(
                    one.config.optim.lr
                    * scale
                    * lr_factor(
                        one.config.schedule,
                        5 * epochs + offset,
                        updates=5 * one.config.train.epochs,
                        updates_per_epoch=5,
                    )
                )
                for one, epochs, scale in zip(trials, done, [1.0, 1.0, 0.5, 1.0], strict=True)
            ]
    rates.keep([1, 2])
    assert rates.epoch([0, 0], [1.0, 1.0]).lr[0].tolist() == [0.2, 0.3 * (1 / 10)]


def test_momentum_of_one_cycle_alone() -> None:
    cycle, constant = trial(0, 0.1, 2, name="one-cycle"), trial(1, 0.1, 2, name="constant")
    assert Rates([constant], updates_per_epoch=3).epoch([0], [1.0]).momentum is None
    moved = Rates([cycle, constant], updates_per_epoch=3).epoch([1, 1], [1.0, 1.0]).momentum
    expected = momenta(cycle.config.schedule, 3, 3, updates=6)
    assert moved is not None
    assert expected is not None
    assert moved[:, 0].tolist() == expected.tolist()
    assert all(math.isnan(own) for own in moved[:, 1])


def test_a_row_at_rest_has_a_rate_of_zero_even_after_its_end() -> None:
    """And moves no momentum: it is NaN where the optimizer's own holds."""
    trials = [
        trial(0, 0.1, 2, name="one-cycle"),
        trial(1, 0.2, 9),
        trial(2, 0.3, 1, name="cosine", warmup=0.5),
    ]
    rates = Rates(trials, updates_per_epoch=3)
    rates.rest([0, 2])
    lr, momentum = rates.epoch([5, 5, 5], [1.0, 1.0, 0.1])
    assert lr.tolist() == [[0.0, 0.2, 0.0]] * 3
    assert momentum is None
    rates.keep([1, 2])
    assert rates.epoch([6, 6], [0.5, 1.0]).lr.tolist() == [[0.1, 0.0]] * 3
