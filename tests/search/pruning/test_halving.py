"""Successive halving and Hyperband: who goes on, by the papers' counts."""

from __future__ import annotations

import collections
import math

import pytest

from dltune.errors import UsageError
from dltune.search.pruning.base import standing_of
from dltune.search.pruning.halving import Halving, Hyperband
from dltune.training.history import TrialState
from tests.search.pruning.curves import one_bracket, record_of, standings
from tests.training.configs import make_config


def test_a_third_goes_on_at_each_look() -> None:
    """27 trials: 9, then 3 (Jamieson & Talwalkar 2016, with a factor of 3)."""
    errors = [[0.01 * (number * 7 % 27)] for number in range(27)]
    halving, bracket = Halving(), one_bracket(27, 2, 7)
    ended = halving.judge(standings(*errors), bracket, 0)
    best = sorted(range(27), key=lambda number: errors[number])
    assert set(ended) == set(best[9:])
    assert ended[best[9]] == "rung 1 of 2 (epoch 2): rank 10 of 27, the best 9 go on"
    left = [one for one in standings(*errors) if one.number not in ended]
    assert set(halving.judge(left, bracket, 1)) == set(best[3:9])


def test_at_least_one_goes_on() -> None:
    ended = Halving().judge(standings([0.2], [0.1]), one_bracket(2, 1, 3), 1)
    assert ended == {0: "rung 2 of 2 (epoch 3): rank 2 of 2, the best goes on"}


def test_the_best_epoch_so_far_counts_and_the_earlier_of_equal_trials() -> None:
    errors = [[0.1, 0.5], [0.3, 0.2], [0.1, 0.1]]
    assert set(Halving().judge(standings(*errors), one_bracket(3, 2), 0)) == {1, 2}


def test_who_is_over_keeps_its_rank_if_it_is_complete_and_none_if_it_failed() -> None:
    config = make_config()
    complete = record_of(0, [0.1, 0.1], state=TrialState.COMPLETE)
    diverged = record_of(1, [0.05, math.nan], state=TrialState.DIVERGED)
    running = record_of(2, [0.2, 0.2, 0.2])
    there = [
        standing_of(0, config, complete, alive=False, epoch=3),
        standing_of(1, config, diverged, alive=False, epoch=3),
        standing_of(2, config, running, alive=True, epoch=3),
        standing_of(3, config, None, alive=False, epoch=3),
    ]
    assert [one.score for one in there] == [0.1, math.inf, 0.2, math.inf]
    assert set(Halving(reduction=2).judge(there, one_bracket(4, 3), 0)) == set()
    assert set(Halving(reduction=4).judge(there, one_bracket(4, 3), 0)) == {2}


def test_what_happened_after_a_rung_plays_no_part_in_it() -> None:
    """A search that goes on decides again what it had decided: see `Rungs`."""
    config = make_config()
    later = {
        "diverged": record_of(0, [0.1, 0.2, math.nan], state=TrialState.DIVERGED),
        "failed in epoch 3": record_of(0, [0.1, 0.2], state=TrialState.FAILED),
        "complete": record_of(0, [0.1, 0.2, 0.01], state=TrialState.COMPLETE),
    }
    running = standing_of(0, config, record_of(0, [0.1, 0.2]), alive=True, epoch=2)
    for what, record in later.items():
        then = standing_of(0, config, record, alive=False, epoch=2)
        is_failed = what.startswith("failed")  # it has as many epochs as the rung
        assert then.score == running.score == 0.1, what
        assert then.history == running.history, is_failed


def test_rungs_are_shares_of_the_epochs() -> None:
    assert Halving().rungs(81) == (9, 27)
    assert Halving(reduction=4, first_rung=2).rungs(100) == (2, 8, 32)
    assert Halving(first_rung=9).rungs(9) == ()


def test_brackets_share_the_trials_as_the_paper_does() -> None:
    """Algorithm 1 with R = 9, eta = 3 has 9, 5 and 3 configs; these are 3^s (s_max + 1) / (s + 1)
    before they are rounded up.
    """
    brackets = Hyperband(first_rung=1).brackets(range(165), 9)
    assert [one.rungs for one in brackets] == [(1, 3), (3,), ()]
    counts = [len(one.trials) for one in brackets]
    assert counts == pytest.approx([165 * w / 5.5 for w in (3.0, 1.5, 1.0)], abs=1)
    dealt = collections.Counter(number for one in brackets for number in one.trials)
    assert sorted(dealt) == list(range(165))
    assert set(dealt.values()) == {1}
    fewer = Hyperband(first_rung=1).brackets(range(40), 9)
    for few, many in zip(fewer, brackets, strict=True):
        assert few.trials == many.trials[: len(few.trials)]


@pytest.mark.parametrize("options", [{"reduction": 1}, {"first_rung": 0}])
@pytest.mark.parametrize("kind", [Halving, Hyperband])
def test_options_out_of_range(kind: type[Halving], options: dict[str, int]) -> None:
    with pytest.raises(UsageError, match="must be at least"):
        kind(**options)
