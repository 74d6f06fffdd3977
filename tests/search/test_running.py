"""Following the trials that train: epochs, shares, and the best of them."""

from __future__ import annotations

import dataclasses
import math

import pytest

from dltune.search.running import Running
from dltune.training.history import Trial
from tests.search.made_up import record
from tests.search.recipes import small


def trial(number: int, epochs: int = 4) -> Trial:
    recipe = small(f"train.epochs={epochs}")
    return Trial(number=number, config=recipe.config(next(recipe.space.grid())), seed=number)


@pytest.fixture(name="running")
def fixture_running() -> Running:
    running = Running("dev_error")
    running.start(trial(3, epochs=4))
    running.start(trial(1, epochs=8))
    return running


def test_shares_of_epochs_are_summed(running: Running) -> None:
    running.see([record(3, 1, 0.5), record(1, 1, 0.5)])
    assert running.share == 1 / 4 + 1 / 8
    running.see([record(3, 3, 0.5)])  # one epoch may be left out
    assert running.share == 3 / 4 + 1 / 8
    running.end(3)
    assert running.share == 1 / 8
    running.end(1)
    assert (running.share, len(running)) == (0.0, 0)


def test_trials_come_in_order_of_number(running: Running) -> None:
    running.see([record(3, 2, 0.5)])
    assert [(one.number, one.epochs) for one in running.interrupted()] == [(1, 0), (3, 2)]


def test_a_trial_that_starts_again_starts_anew(running: Running) -> None:
    running.see([record(3, 2, 0.125), record(1, 1, 0.25)])
    running.start(trial(3, epochs=4))
    assert len(running) == 2
    assert running.share == 1 / 8
    assert running.leader == record(1, 1, 0.25)
    assert [one.epochs for one in running.interrupted()] == [1, 0]


def test_the_leader_is_the_best_epoch_of_a_running_trial(running: Running) -> None:
    assert running.leader is None
    running.see([record(3, 1, 0.5), record(1, 1, 0.25)])
    running.see([record(3, 2, 0.3), record(1, 2, 0.4)])
    assert running.leader == record(1, 1, 0.25)
    running.end(1)
    assert running.leader == record(3, 2, 0.3)
    running.end(3)
    assert running.leader is None


def test_the_leader_is_by_the_metric_of_the_study() -> None:
    running = Running("dev_loss")
    running.start(trial(0))
    running.start(trial(1))
    good_loss = dataclasses.replace(record(0, 1, 0.5), dev_loss=0.1)
    running.see([good_loss, record(1, 1, 0.25)])
    assert running.leader == good_loss


def test_what_is_not_a_number_leads_nowhere(running: Running) -> None:
    running.see([record(3, 1, math.nan)])
    assert running.leader is None
    running.see([record(1, 1, 0.5)])
    assert running.leader == record(1, 1, 0.5)


def test_late_news_of_a_trial_that_is_over_is_left_out(running: Running) -> None:
    running.end(3)
    running.see([record(3, 2, 0.125)])
    running.end(3)
    assert (running.leader, running.share, len(running)) == (None, 0.0, 1)
