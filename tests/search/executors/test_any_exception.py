"""A user's model may raise anything, anywhere: that trial fails, and no other, nor its worker."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from dltune.search.data_shelf import DataShelf
from dltune.search.executors.in_process import InProcess
from dltune.search.executors.pool import WorkerPool
from dltune.search.executors.protocol import Executor
from dltune.search.interrupts import Interrupts
from dltune.search.plan import PlanBook, StackOption
from dltune.training.history import Trial, TrialState
from tests.search.executors.own_nets import ANYTHING
from tests.search.executors.trials import own, train

FATAL = ("factory", "forward", "training", "state_dict")  # "stack" is not, alone


def raising(number: int, kind: str, place: str) -> Trial:
    return own(number, "raises_anything", f'model.kind="{kind}"', f'model.place="{place}"')


@pytest.fixture(name="executor", params=["in process", "two workers"])
def fixture_executor(
    request: pytest.FixtureRequest, folder: Path, stack: StackOption
) -> Iterator[Executor]:
    shelf, book = DataShelf(folder), PlanBook(None, stack)
    if request.param == "in process":
        yield InProcess(shelf, folder, book=book)
    else:
        with WorkerPool(shelf, folder, workers=2, book=book, cores=2) as pool:
            yield pool


@pytest.mark.parametrize("stack", ["off", pytest.param("auto", marks=pytest.mark.slow), 4])
def test_it_is_a_failed_trial_with_the_name_and_the_message(executor: Executor) -> None:
    cases = [(kind, place) for kind in ANYTHING for place in FATAL]
    trials = [raising(number, *case) for number, case in enumerate(cases)]
    seen = train(executor, [*trials, own(100, "build")])
    assert seen.results.pop(100).state is TrialState.COMPLETE
    for case, result in zip(cases, list(seen.results.values())[:-1], strict=True):
        raised = ANYTHING[case[0]].__name__
        assert result.state is TrialState.FAILED, case
        assert raised in result.reason or "generator raised StopIteration" in result.reason
        assert "enough" in result.reason or raised == "StopIteration"
    assert not any("worker" in note for note in seen.notes)  # none has died


@pytest.mark.parametrize("stack", ["auto", 8])
def test_what_is_raised_in_a_stack_alone_makes_no_trial_fail(executor: Executor) -> None:
    for kind in ("cancelled", "own"):
        seen = train(executor, [raising(number, kind, "stack") for number in range(4)])
        assert {result.state for result in seen.results.values()} == {TrialState.COMPLETE}


@pytest.mark.parametrize("stack", ["off", "auto"])
def test_a_real_ctrl_c_in_the_users_code_is_one(folder: Path, stack: StackOption) -> None:
    executor = InProcess(DataShelf(folder), folder, book=PlanBook(None, stack))
    trials = [own(number, "interrupted") for number in range(2)]
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            train(executor, trials)
        with Interrupts() as interrupts, pytest.raises(KeyboardInterrupt), interrupts.allowed():
            train(executor, trials)
    finally:
        signal.signal(signal.SIGINT, before)
