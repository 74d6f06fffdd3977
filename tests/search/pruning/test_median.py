"""The median rule."""

from __future__ import annotations

import math

import pytest

from dltune.errors import UsageError
from dltune.search.pruning.median import MedianRule
from tests.search.pruning.curves import one_bracket, standings


def test_who_is_above_the_median_of_the_means_ends() -> None:
    """Means 0.3, 0.5, 0.7: the median is 0.5, and only trial 2 was never as low."""
    there = standings([0.4, 0.2], [0.6, 0.4], [0.8, 0.6])
    ended = MedianRule().judge(there, one_bracket(3, 2, 4), 0)
    assert ended == {2: "rung 1 of 2 (epoch 2): best 0.6, above the median mean 0.5"}


def test_most_that_come_to_nothing_end_nobody() -> None:
    there = standings([math.nan], [math.inf], [0.8])
    assert MedianRule().judge(there, one_bracket(3, 1), 0) == {}


def test_it_looks_ten_times() -> None:
    assert MedianRule().brackets([0, 1], 50)[0].rungs == tuple(range(5, 50, 5))
    assert MedianRule(first_rung=12).brackets([0, 1], 30)[0].rungs == tuple(range(12, 30, 3))
    assert MedianRule().brackets([0, 1], 1)[0].rungs == ()


def test_options_out_of_range() -> None:
    with pytest.raises(UsageError, match="at least 1 epoch"):
        MedianRule(first_rung=0)
