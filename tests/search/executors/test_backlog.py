"""Cohorts that wait: their order, their sizes, and what a failure changes."""

from __future__ import annotations

import pytest

from dltune.search.cohorts import group_by_shape
from dltune.search.executors.backlog import Backlog, Work
from dltune.search.executors.cohort_trainer import StackFailed
from dltune.search.plan import LOOPED, Plan, PlanBook
from tests.search.executors.trials import own, trial

WIDE = "model.hidden=[9]"


def taken(backlog: Backlog, *, one_worker: bool = False) -> list[Work]:
    works = []
    while (work := backlog.take(one_worker=one_worker)) is not None:
        works.append(work)
    return works


def cohorts(works: list[Work]) -> list[tuple[bool, list[int]]]:
    return [(work.stacked, [trial.number for trial in work.trials]) for work in works]


def test_the_lowest_number_comes_first_whatever_its_shape() -> None:
    trials = [trial(n, *([WIDE] if n % 2 else [])) for n in range(6)]
    backlog = Backlog(PlanBook(None), workers=1)
    narrow, wide = group_by_shape(trials)
    assert list(backlog.add(wide, Plan(stack=2))) != []
    assert list(backlog.add(narrow, LOOPED)) == []
    assert backlog
    assert cohorts(taken(backlog)) == [
        (False, [0]),
        (True, [1, 3]),
        (False, [2]),
        (False, [4]),
        (True, [5]),
    ]
    assert not backlog


def test_work_for_one_worker_is_not_shared_out() -> None:
    (group,) = group_by_shape([trial(n) for n in range(4)])
    backlog = Backlog(PlanBook(None), workers=4)
    list(backlog.add(group, Plan(stack=8, one_worker=True)))
    assert backlog.take() is None
    assert cohorts(taken(backlog, one_worker=True)) == [(True, [0, 1, 2, 3])]


def test_work_for_all_is_shared_out() -> None:
    (group,) = group_by_shape([trial(n) for n in range(6)])
    backlog = Backlog(PlanBook(None), workers=2)
    (noted,) = backlog.add(group, Plan(stack=8))
    assert noted.text == "mlp 8, batch 32: stacks of 8"
    assert cohorts(taken(backlog)) == [(True, [0, 1, 2]), (True, [3, 4, 5])]


def test_memory_that_ran_out_makes_what_waits_smaller() -> None:
    book = PlanBook(None)
    (group,) = group_by_shape([trial(n) for n in range(8)])
    book.keep(group.key, Plan(stack=4))
    backlog = Backlog(book, workers=1)
    list(backlog.add(group, Plan(stack=4)))
    first = backlog.take()
    assert first is not None
    noted = backlog.learn(first.key, StackFailed(stack=4, reason="out of memory", limit=2))
    assert noted.text == (
        "mlp 8, batch 32: a stack of 4 failed, tried again in halves: out of memory"
    )
    assert cohorts(taken(backlog)) == [(True, [4, 5]), (True, [6, 7])]
    assert book.known(group.key) == Plan(stack=2)


def test_what_may_be_the_fault_of_a_trial_changes_nothing_for_others() -> None:
    book = PlanBook(None)
    (group,) = group_by_shape([own(n, "build") for n in range(4)])
    book.keep(group.key, Plan(stack=2))
    backlog = Backlog(book, workers=1)
    list(backlog.add(group, Plan(stack=2)))
    backlog.learn(group.key, StackFailed(stack=2, reason="user model: ValueError: no"))
    assert cohorts(taken(backlog)) == [(True, [0, 1]), (True, [2, 3])]


def test_what_is_no_fault_of_a_trial_ends_stacking() -> None:
    book = PlanBook(None)
    (group,) = group_by_shape([trial(n) for n in range(4)])
    book.keep(group.key, Plan(stack=2))
    backlog = Backlog(book, workers=1)
    list(backlog.add(group, Plan(stack=2)))
    noted = backlog.learn(group.key, StackFailed(stack=1, reason="strange", limit=1))
    assert noted.text == "mlp 8, batch 32: a stack of 1 failed, trained alone: strange"
    assert cohorts(taken(backlog)) == [(False, [n]) for n in range(4)]
    assert book.known(group.key) == Plan(stack=1, reason="strange")


@pytest.mark.parametrize(
    ("option", "function", "count", "plan"),
    [
        ("auto", None, 1, LOOPED),
        ("auto", None, 2, None),
        ("auto", "build", 1, LOOPED),
        ("off", None, 2, LOOPED),
        ("off", "build", 2, LOOPED),
        (7, None, 1, Plan(stack=7)),
        (7, None, 2, Plan(stack=7)),
        (7, "build", 2, None),
    ],
)
def test_what_has_to_be_found_out_first(
    option: str | int, function: str | None, count: int, plan: Plan | None
) -> None:
    make = trial if function is None else lambda number: own(number, function)
    (group,) = group_by_shape([make(number) for number in range(count)])
    backlog = Backlog(PlanBook(None, option), workers=2)  # type: ignore[arg-type]
    assert backlog.plan(group) == plan
