"""Rates of a stack: each row by its own schedule and length."""

from __future__ import annotations

import math

import torch

from dltune.training.history import Trial
from dltune.training.schedules import lr_factor, momentum_at
from dltune.training.stacked.rates import Rates, rows_of
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
    for done in (0, 5):
        for offset, row in enumerate(rates.epoch(done)):
            assert row == [
                one.config.optim.lr
                * lr_factor(
                    one.config.schedule,
                    done + offset,
                    updates=5 * one.config.train.epochs,
                    updates_per_epoch=5,
                )
                for one in trials
            ]
    rates.keep([1, 2])
    assert rates.epoch(0)[0] == [0.2, 0.3 * 1 / 10]


def test_momentum_of_one_cycle_alone() -> None:
    cycle, constant = trial(0, 0.1, 2, name="one-cycle"), trial(1, 0.1, 2, name="constant")
    assert Rates([constant], updates_per_epoch=3).momenta(0) is None
    momenta = Rates([cycle, constant], updates_per_epoch=3).momenta(3)
    assert momenta is not None
    for offset, (moved, own) in enumerate(momenta):
        assert moved == momentum_at(cycle.config.schedule, 3 + offset, updates=6)
        assert math.isnan(own)


def test_rows_of_takes_type_and_device() -> None:
    like = torch.zeros(1, dtype=torch.float64)
    assert rows_of([[0.1, 0.2]], like).tolist() == [[0.1, 0.2]]
