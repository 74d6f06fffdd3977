"""Workers that die, hang, exit or are left alone; real processes, really killed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import pytest

from dltune.errors import TrainingError
from dltune.recipe.schema import flatten
from dltune.search.cohorts import by_kind, group_by_shape
from dltune.search.data_shelf import DataShelf
from dltune.search.executors import processes
from dltune.search.executors.job import Cohort, Question
from dltune.search.executors.pool import WorkerPool
from dltune.search.executors.protocol import (
    EpochEnded,
    Executor,
    Noted,
    TrialEnded,
    TrialStarted,
)
from dltune.search.executors.trainer import Trainer
from dltune.search.plan import Plan, PlanBook, StackOption
from dltune.training.history import TrialState
from tests.search.executors.trials import numbers, own, train, trial

Build = Callable[..., WorkerPool]


@pytest.fixture(name="build")
def fixture_build(folder: Path) -> Iterator[Build]:
    opened: list[Executor] = []

    def build(
        stack: StackOption = "off",
        *,
        workers: int = 2,
        trial_seconds: float | None = None,
        grace_seconds: float = 1.0,
    ) -> WorkerPool:
        pool = WorkerPool(
            DataShelf(folder),
            folder,
            workers=workers,
            book=PlanBook(None, stack),
            cores=2,
            trial_seconds=trial_seconds,
            grace_seconds=grace_seconds,
        )
        opened.append(pool)
        return pool

    yield build
    for pool in opened:
        pool.close()


def test_a_killed_worker_costs_one_more_try(build: Build) -> None:
    trials = [own(0, "killed_once"), trial(1), trial(2)]
    pool = build()
    seen = train(pool, trials)
    assert sorted(seen.started) == [0, 0, 1, 2]
    assert {result.state for result in seen.results.values()} == {TrialState.COMPLETE}
    assert seen.notes == ["worker killed (signal 9): 1 trial is trained again"]
    # The file that `killed_once` leaves behind makes it harmless: the whole again, undisturbed.
    assert numbers(seen.results.values()) == numbers(train(pool, trials).results.values())


@pytest.mark.parametrize(
    ("function", "argument", "reason"),
    [
        ("killed", None, "worker killed (signal 9)"),
        ("exits", "model.code=0", "worker exited (code 0)"),
        ("exits", "model.code=5", "worker exited (code 5)"),
    ],
)
def test_a_trial_that_ends_its_worker_twice_fails(
    build: Build, function: str, argument: str | None, reason: str
) -> None:
    deadly = own(0, function, *([argument] if argument else []))
    seen = train(build(), [deadly, trial(1), trial(2)])
    assert seen.results[0].state is TrialState.FAILED
    assert seen.results[0].reason == reason
    assert seen.results[0].config == flatten(deadly.config)
    assert seen.ended[0].checkpoint is None
    assert seen.started.count(0) == 2
    assert [seen.results[number].state for number in (1, 2)] == [TrialState.COMPLETE] * 2


def test_a_stack_that_kills_its_worker_twice_is_trained_trial_by_trial(build: Build) -> None:
    # Two rows are what it is tried with, to see whether it can be stacked.
    trials = [own(n, "killed_among", "model.rows=2") for n in range(4)]
    seen = train(build(stack=4, workers=1), trials)
    assert {result.state for result in seen.results.values()} == {TrialState.COMPLETE}
    assert seen.notes == [
        "net.py:killed_among, batch 32: stacks of 4",
        "worker killed (signal 9): 4 trials are trained again",
        "worker killed (signal 9): 4 trials are trained again, each alone",
    ]
    assert sorted(seen.started) == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]


@pytest.mark.parametrize("stack", [4, "auto"])
def test_a_model_that_kills_whoever_tries_it_is_not_stacked(
    build: Build, stack: StackOption
) -> None:
    trials = [own(n, "killed_among", "model.rows=1") for n in range(3)]
    seen = train(build(stack), trials)
    assert {result.state for result in seen.results.values()} == {TrialState.COMPLETE}
    assert seen.notes == [
        "net.py:killed_among, batch 32: one after another: worker killed (signal 9)"
    ]
    assert sorted(seen.started) == [0, 1, 2]


@pytest.mark.slow
def test_what_is_faster_in_one_worker_has_the_machine_for_itself(
    build: Build, folder: Path
) -> None:
    pool = build("auto")
    shared = [trial(n) for n in range(4)]
    # Wide enough for an update to be worth more than one thread.
    wide = [own(n, "tells_its_threads", "model.width=20000") for n in range(4, 7)]
    (group,) = group_by_shape(wide)
    kinds = Trainer(DataShelf(folder), folder).kinds([one.config for one in wide])
    (kind,) = by_kind(group, kinds)
    pool._book.keep(kind.key, Plan(stack=1, one_worker=True))
    seen = train(pool, [*shared, *wide])
    assert {result.state for result in seen.results.values()} == {TrialState.COMPLETE}
    assert [path.name for path in folder.glob("threads-*")] == ["threads-2"]
    running: set[int] = set()
    for one in seen:
        match one:
            case TrialStarted():
                running.add(one.trial.number)
                assert one.trial.number < 4 or running == {one.trial.number}
            case TrialEnded():
                running.remove(one.record.number)


def test_memory_that_runs_out_in_a_worker_makes_stacks_smaller(build: Build) -> None:
    seen = train(build(stack=4, workers=1), [own(n, "large") for n in range(8)])
    assert {result.state for result in seen.results.values()} == {TrialState.COMPLETE}
    assert seen.notes == [
        "net.py:large, batch 32: stacks of 4",
        "net.py:large, batch 32: a stack of 4 failed, tried again in halves: out of memory",
    ]
    assert sorted(seen.started) == sorted([*range(4), *range(4), *range(4, 8)])


def test_a_trial_that_hangs_is_stopped(build: Build) -> None:
    pool = build(trial_seconds=0.5, grace_seconds=0.5)
    seen = train(pool, [own(0, "hangs"), trial(1), trial(2)])
    assert seen.results[0].state is TrialState.FAILED
    assert seen.results[0].reason == "timeout: more than 0.5 s"
    assert seen.started.count(0) == 1
    assert [seen.results[number].state for number in (1, 2)] == [TrialState.COMPLETE] * 2


@pytest.mark.parametrize("stack", ["auto", 2])
def test_a_model_that_hangs_where_it_is_tried_is_stopped(build: Build, stack: StackOption) -> None:
    pool = build(stack, trial_seconds=0.2, grace_seconds=0.5)
    seen = train(pool, [own(n, "hangs") for n in range(2)])
    assert {result.reason for result in seen.results.values()} == {"timeout: more than 0.2 s"}
    assert seen.notes == ["net.py:hangs, batch 32: one after another: timeout"]


def test_what_is_tried_for_many_trials_has_the_time_of_one(build: Build) -> None:
    pool = build(trial_seconds=60.0, grace_seconds=5.0)
    (group,) = group_by_shape([trial(n) for n in range(100)])
    for about in ("kinds", "plan"):
        assert pool._seconds_for(Question(group=group, about=about)) == 65.0
    stack = Cohort(key=group.key, trials=group.trials[:4], stacked=True)
    assert pool._seconds_for(stack) == 245.0
    assert build()._seconds_for(stack) is None


def test_a_trial_that_is_slow_fails_by_itself(build: Build) -> None:
    pool = build(trial_seconds=0.3, grace_seconds=30.0)
    seen = train(pool, [own(0, "slow", "train.epochs=100"), trial(1)])
    assert seen.results[0].reason == "timeout: more than 0.3 s"
    assert 1 <= seen.results[0].epochs < 100
    assert seen.results[1].state is TrialState.COMPLETE


def pids(folder: Path) -> set[int]:
    """The processes in which `slow` has trained."""
    return {int(path.name.removeprefix("pid-")) for path in folder.glob("pid-*")}


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_kills_at_any_moment_leave_every_trial_done(build: Build, folder: Path) -> None:
    """Workers are killed whenever something is told, up to thirty times."""
    trials = [own(number, "slow", "train.epochs=3") for number in range(4)]
    pool, seen = build(), []
    for told, one in enumerate(pool.run(trials, best=None), start=1):
        seen.append(one)
        alive = sorted(pid for pid in pids(folder) if is_alive(pid))
        if told % 3 == 0 and told < 30 and alive:
            os.kill(alive[told % len(alive)], signal.SIGKILL)
    ends = [one for one in seen if isinstance(one, TrialEnded)]
    assert sorted(one.record.number for one in ends) == [0, 1, 2, 3]
    for one in ends:
        assert one.record.state is TrialState.COMPLETE or (
            one.record.reason == "worker killed (signal 9)"
        )
    assert any(isinstance(one, Noted) for one in seen)
    after = train(pool, [trial(9)])
    assert after.results[9].state is TrialState.COMPLETE


def test_workers_killed_in_their_idleness_are_replaced(build: Build, folder: Path) -> None:
    pool = build()
    first = train(pool, [own(0, "slow", "train.epochs=1"), own(1, "slow", "train.epochs=1")])
    assert len(first.ended) == 2
    for pid in pids(folder):
        os.kill(pid, signal.SIGKILL)
    again = train(pool, [trial(2), trial(3)])
    assert [result.state for result in again.results.values()] == [TrialState.COMPLETE] * 2


def test_who_has_enough_leaves_no_worker_at_it(build: Build, folder: Path) -> None:
    pool = build()
    running = pool.run([own(n, "slow", "train.epochs=1000") for n in range(2)], best=None)
    assert any(isinstance(one, EpochEnded) for one in running)
    running.close()
    assert pids(folder)
    assert [pid for pid in pids(folder) if is_alive(pid)] == []


def test_closing_ends_processes_and_removes_the_data(build: Build, folder: Path) -> None:
    pool = build()
    assert len(train(pool, [own(0, "slow"), own(1, "slow")]).ended) == 2
    (data,) = pool._data._folders.values()
    assert (data / "train-features.npy").exists()
    pool.close()
    assert not data.parent.exists()
    assert [pid for pid in pids(folder) if is_alive(pid)] == []


def test_closing_does_not_wait_for_processes_that_are_just_starting(build: Build) -> None:
    build().start()  # and the fixture closes it


@pytest.mark.slow
@pytest.mark.skipif(
    not processes.HAS_SERVER, reason="workers are forked from a server on Linux only"
)
def test_a_server_that_is_killed_while_workers_start_is_replaced(build: Build) -> None:
    def kill_server() -> None:
        os.kill(forkserver._forkserver._forkserver_pid, signal.SIGKILL)

    processes.start_server()
    kill_server()  # what other tests have started has torch already
    pool = build(workers=1)
    pool.start()
    time.sleep(0.3)  # the worker's start waits for the new one, which loads torch
    kill_server()
    (result,) = train(pool, [trial(0)]).results.values()
    assert result.state is TrialState.COMPLETE


class Setting:
    """Goes to the worker in place of its folder, and spoils its start."""

    def __init__(self, *, ends_worker: bool) -> None:
        self._ends_worker = ends_worker

    def absolute(self) -> Setting:
        return self

    def __reduce__(self) -> tuple[object, ...]:
        if self._ends_worker:
            return os._exit, (7,)
        raise TypeError("no sockets left")


@pytest.mark.parametrize(
    ("ends_worker", "why"), [(True, "they end while they start"), (False, "no sockets left")]
)
def test_workers_that_cannot_start_are_told_of(folder: Path, ends_worker: bool, why: str) -> None:
    setting: Any = Setting(ends_worker=ends_worker)
    book = PlanBook(None, "off")
    pool = WorkerPool(DataShelf(folder), setting, workers=2, book=book, cores=2)
    with pool, pytest.raises(TrainingError) as caught:
        train(pool, [trial(0)])
    assert caught.value.found == f"worker processes cannot be started here: {why}"
    assert caught.value.hint == "Type --workers 1 to train in one process."


def test_epochs_are_told_at_most_ten_times_a_second_and_not_of_trials_that_are_over(
    build: Build,
) -> None:
    seen = train(build(workers=1), [trial(0, "train.epochs=40")])
    assert len(seen.results[0].history) == 40
    assert len(seen.epochs) < 40
    assert isinstance(seen.progress[0], TrialStarted)


@pytest.mark.slow
def test_where_no_server_forks_workers_they_start_afresh(
    build: Build, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "HAS_SERVER", False)
    pool = build(workers=1)
    seen = train(pool, [own(0, "slow"), trial(1)])
    assert {result.state for result in seen.results.values()} == {TrialState.COMPLETE}
    pool.close()
    assert [pid for pid in pids(folder) if is_alive(pid)] == []
