"""A few kills, of every kind that a search may meet: the same program that counts hundreds."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import pytest

from benchmarks.reliability.kills import KINDS, Count, Kind, rounds, run, table


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="sends signals, reads /proc")
@pytest.mark.parametrize("odd", ["", "sleeps", "exits"])
def test_nothing_is_lost_repeated_or_left_behind(odd: str, tmp_path: Path) -> None:
    counts = run(3, odd=[odd], root=tmp_path)
    assert [str(kind) for kind, count in counts.items() if count.faults] == []
    assert sum(count.tried for count in counts.values()) > 0


def test_every_strategy_and_kind_of_kill_has_its_turn() -> None:
    plan = list(itertools.islice(rounds(0, ("", "holds", "raises")), 80))
    assert {strategy for strategy, _, _, _ in plan} == {"random", "grid", "evolution"}
    assert {odd for _, odd, _, _ in plan} == {"", "holds", "raises"}
    assert {kind for *_, kinds in plan for kind in kinds} == set(KINDS)
    assert {workers for _, _, workers, _ in plan} == {"1", "2"}


def test_the_table_has_a_row_a_kind_and_their_sums() -> None:
    first, second = KINDS[0], KINDS[-1]
    counts: dict[Kind, Count] = {first: Count(tried=3, lost=1), second: Count(tried=4)}
    lines = table(counts).splitlines()
    assert lines[0].split()[:3] == ["tried", "lost", "repeated"]
    assert lines[1].startswith("SIGKILL to coordinator")
    assert lines[-1].split() == ["all", "7", "1", "0", "0", "0", "0", "0", "0"]
