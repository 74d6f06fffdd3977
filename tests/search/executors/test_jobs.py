"""Jobs that wait: their order, their sizes, and what a failure changes."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from dltune.search.cohorts import by_kind, group_by_shape
from dltune.search.executors.job import (
    CANNOT_BE_BUILT,
    Answer,
    Cohort,
    Question,
    StackFailed,
)
from dltune.search.executors.jobs import Jobs
from dltune.search.executors.processes import WorkerFailure
from dltune.search.executors.protocol import Noted, Progress, TrialEnded, TrialStarted
from dltune.search.plan import LOOPED, Plan, PlanBook, StackOption
from dltune.training.history import Trial, TrialRecord, TrialState
from tests.search.executors.trials import own, trial

WIDE = "model.hidden=[9]"
KILLED = WorkerFailure(reason="worker killed (signal 9)")


def begun(
    trials: Sequence[Trial], *plans: Plan, workers: int = 1, option: StackOption = "auto"
) -> tuple[Jobs, list[Progress], PlanBook]:
    """Jobs with a plan for each shape, in order of their first trials, and what they tell."""
    book = PlanBook(None, option)
    for group, plan in zip(group_by_shape(trials), plans, strict=False):
        book.keep(group.key, plan)
    jobs = Jobs(trials, book, workers=workers, trial_seconds=0.5)
    return jobs, list(jobs.begin()), book


def cohort(jobs: Jobs) -> Cohort:
    """The next job, which is a cohort."""
    job = jobs.take()
    assert isinstance(job, Cohort)
    return job


def cohorts(jobs: Jobs) -> list[tuple[bool, list[int]]]:
    """All that wait, as taken by a process that is the only one."""
    taken = []
    while jobs:
        job = cohort(jobs)
        taken.append((job.stacked, [one.number for one in job.trials]))
    return taken


def ended(one: Trial, objective: float | None = None) -> TrialRecord:
    return one.record(TrialState.COMPLETE, objective=objective)


def texts(told: Sequence[Progress]) -> list[str]:
    return [one.text for one in told if isinstance(one, Noted)]


def test_the_lowest_number_comes_first_whatever_its_shape() -> None:
    trials = [trial(n, *([WIDE] if n % 2 else [])) for n in range(6)]
    jobs, told, _ = begun(trials, LOOPED, Plan(stack=2))
    assert texts(told) == ["mlp 9, batch 32: stacks of 2"]
    assert jobs
    assert cohorts(jobs) == [
        (False, [0]),
        (True, [1, 3]),
        (False, [2]),
        (False, [4]),
        (True, [5]),
    ]
    assert not jobs


def test_work_for_one_worker_is_not_shared_out() -> None:
    jobs, _, _ = begun([trial(n) for n in range(4)], Plan(stack=8, one_worker=True), workers=4)
    other = Cohort(key="", trials=(trial(9),), stacked=False)
    assert jobs.take([other]) is None
    alone = cohort(jobs)
    assert alone.one_worker
    assert [one.number for one in alone.trials] == [0, 1, 2, 3]
    jobs.put_back(other)
    assert jobs.take([alone]) is None


def test_work_for_all_is_shared_out() -> None:
    jobs, told, _ = begun([trial(n) for n in range(6)], Plan(stack=8), workers=2)
    assert texts(told) == ["mlp 8, batch 32: stacks of 8"]
    assert cohorts(jobs) == [(True, [0, 1, 2]), (True, [3, 4, 5])]


def test_memory_that_ran_out_makes_what_waits_smaller() -> None:
    jobs, _, book = begun([trial(n) for n in range(8)], Plan(stack=4))
    first = cohort(jobs)
    failure = StackFailed(stack=4, reason="out of memory", limit=2)
    assert texts(list(jobs.follow(first, failure))) == [
        "mlp 8, batch 32: a stack of 4 failed, tried again in halves: out of memory"
    ]
    assert cohorts(jobs) == [(True, [4, 5]), (True, [6, 7])]
    assert book.known(first.key) == Plan(stack=2)


def test_what_may_be_the_fault_of_a_trial_changes_nothing_for_others() -> None:
    jobs, _, _ = begun([trial(n) for n in range(4)], Plan(stack=2))
    first = cohort(jobs)
    list(jobs.follow(first, StackFailed(stack=2, reason="user model: ValueError: no")))
    jobs.put_back(first)
    assert cohorts(jobs) == [(True, [0, 1]), (True, [2, 3])]


def test_what_is_no_fault_of_a_trial_ends_stacking() -> None:
    jobs, _, book = begun([trial(n) for n in range(4)], Plan(stack=2))
    first = cohort(jobs)
    jobs.put_back(first)
    assert texts(list(jobs.follow(first, StackFailed(stack=1, reason="strange", limit=1)))) == [
        "mlp 8, batch 32: a stack of 1 failed, trained alone: strange"
    ]
    assert cohorts(jobs) == [(False, [n]) for n in range(4)]
    assert book.known(first.key) == Plan(stack=1, reason="strange")


@pytest.mark.parametrize(
    ("option", "function", "count", "stack"),
    [
        ("auto", None, 1, 1),
        ("auto", None, 2, None),
        ("auto", "build", 1, 1),
        ("off", None, 2, 1),
        ("off", "build", 2, 1),
        (7, None, 1, 7),
        (7, None, 2, 7),
        (7, "build", 2, None),
    ],
)
def test_what_has_to_be_found_out_first(
    option: StackOption, function: str | None, count: int, stack: int | None
) -> None:
    make = trial if function is None else lambda number: own(number, function)
    jobs, told, _ = begun([make(number) for number in range(count)], option=option, workers=2)
    job = jobs.take()
    if function is not None and option != "off":
        assert isinstance(job, Question)
        assert job.about == "kinds"
        told += jobs.follow(job, Answer(value=["one kind"] * count))
        job = jobs.take()
    if stack is None:
        assert isinstance(job, Question)
        assert job.about == "plan"
        (told_last,) = jobs.follow(job, Answer(value=Plan(stack=5)))
        assert isinstance(told_last, Noted)
        job = jobs.take()
    assert isinstance(job, Cohort)
    assert job.stacked == (stack != 1)


def test_models_of_two_kinds_are_two_groups() -> None:
    trials = [own(n, "build") for n in range(4)]
    jobs, _, _ = begun(trials, option=7)
    question = jobs.take()
    assert isinstance(question, Question)
    list(jobs.follow(question, Answer(value=["a", "b", "a", "b"])))
    for stack in (2, 1):
        question = jobs.take()
        assert isinstance(question, Question)
        list(jobs.follow(question, Answer(value=Plan(stack=stack))))
    assert cohorts(jobs) == [(True, [0, 2]), (False, [1]), (False, [3])]


def test_who_kills_a_worker_is_tried_again_then_alone_then_failed() -> None:
    jobs, _, _ = begun([trial(n) for n in range(3)], Plan(stack=3))
    first = cohort(jobs)
    list(jobs.follow(first, TrialStarted(trial=first.trials[0])))
    list(jobs.follow(first, TrialEnded(record=ended(first.trials[0]), checkpoint=None)))
    told = list(jobs.fail(first, KILLED))
    assert texts(told) == ["worker killed (signal 9): 2 trials are trained again"]
    second = cohort(jobs)
    assert [one.number for one in second.trials] == [1, 2]
    told = list(jobs.fail(second, KILLED))
    assert texts(told) == ["worker killed (signal 9): 2 trials are trained again, each alone"]
    third = cohort(jobs)
    assert not third.stacked
    started, over = jobs.fail(third, KILLED)
    assert isinstance(started, TrialStarted)
    assert isinstance(over, TrialEnded)
    assert (over.record.number, over.record.state) == (1, TrialState.FAILED)
    assert over.record.reason == KILLED.reason
    assert cohorts(jobs) == [(False, [2])]


def test_who_takes_too_long_is_not_tried_again() -> None:
    late = WorkerFailure(reason="timeout", timed_out=True)
    jobs, _, _ = begun([trial(0)])
    *_, over = jobs.fail(cohort(jobs), late)
    assert isinstance(over, TrialEnded)
    assert over.record.reason == "timeout: more than 0.5 s"
    assert not jobs


@pytest.mark.parametrize("about", ["kinds", "plan"])
def test_a_question_that_kills_twice_is_answered_by_not_to_stack(about: str) -> None:
    make = own if about == "kinds" else lambda number, function: trial(number)
    jobs, _, _ = begun([make(number, "build") for number in range(2)])
    question = jobs.take()
    assert isinstance(question, Question)
    assert question.about == about
    assert list(jobs.fail(question, KILLED)) == []
    question = jobs.take()
    assert isinstance(question, Question)
    (noted,) = texts(list(jobs.fail(question, KILLED)))
    assert noted.endswith("one after another: worker killed (signal 9)")
    first = cohort(jobs)
    if about == "kinds":
        (group,) = by_kind(question.group, [CANNOT_BE_BUILT] * 2)
        assert first.key == group.key
    jobs.put_back(first)
    assert cohorts(jobs) == [(False, [0]), (False, [1])]


def test_a_trial_that_ends_twice_is_told_of_once_and_the_best_is_known_to_the_next() -> None:
    jobs, _, _ = begun([trial(n) for n in range(2)], LOOPED)
    first = cohort(jobs)
    assert first.best is None
    over = TrialEnded(record=ended(first.trials[0], objective=0.25), checkpoint=None)
    assert list(jobs.follow(first, over)) == [over]
    assert list(jobs.follow(first, over)) == []
    assert cohort(jobs).best == 0.25
