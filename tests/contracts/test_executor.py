"""The contract that every executor keeps; no test here knows which one it tests."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import safetensors.torch
import torch

from dltune.recipe.schema import flatten
from dltune.search.data_shelf import DataShelf
from dltune.search.executors.build import build_executor
from dltune.search.executors.protocol import EpochEnded, Executor, TrialEnded, TrialStarted
from dltune.search.plan import StackOption
from dltune.training.history import Trial, TrialRecord, TrialState
from tests.search.executors.trials import EXAMPLES, numbers, own, train, trial

Build = Callable[[StackOption], Executor]

OWN_NETS = Path(__file__).parents[1] / "search" / "executors" / "own_nets.py"

# Two shapes, unlike lengths, and one that blows up.
TRIALS = [
    trial(0),
    trial(1, "model.hidden=[4, 4]"),
    trial(2, "train.epochs=3"),
    trial(3, "optim.name=sgd", "optim.lr=1e30"),
    trial(4, "regularize.early_stop=1", "optim.name=sgd", "optim.lr=1e-12", "train.epochs=9"),
    trial(5, "model.dropout=0.5"),
]


@pytest.fixture(params=[1, 2], ids=["in process", "two workers"], scope="module", name="build")
def fixture_build(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Build]:
    """Builds an executor, or gives the one that was built with the same option before."""
    folder = tmp_path_factory.mktemp("run")
    shutil.copy(OWN_NETS, folder / "net.py")
    shelf = DataShelf(folder)
    built: dict[StackOption, Executor] = {}

    def build(stack: StackOption) -> Executor:
        if stack not in built:
            built[stack] = build_executor(
                shelf, folder, trials=100, device="cpu", workers=request.param, stack=stack
            )
        return built[stack]

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield build
    torch.set_num_threads(before)
    for executor in built.values():
        executor.close()
        executor.close()  # twice is fine


@pytest.fixture(
    params=["off", 3, "auto"],
    ids=["looped", "stacked", "measured"],
    scope="module",
    name="executor",
)
def fixture_executor(request: pytest.FixtureRequest, build: Build) -> Executor:
    return build(request.param)


def test_every_trial_starts_and_ends(executor: Executor) -> None:
    seen = train(executor, TRIALS)
    assert sorted(seen.started) == [0, 1, 2, 3, 4, 5]
    assert sorted(seen.ended) == [0, 1, 2, 3, 4, 5]
    for number in seen.ended:
        starts = [isinstance(one, TrialStarted) and one.trial.number == number for one in seen]
        ends = [isinstance(one, TrialEnded) and one.record.number == number for one in seen]
        assert starts.index(True) < ends.index(True)
    for number, ended in seen.ended.items():
        assert ended.record.seed == TRIALS[number].seed
        assert ended.record.values == TRIALS[number].values
        assert ended.record.config == flatten(TRIALS[number].config)
        measured = ended.record.state is not TrialState.DIVERGED  # which has no errors
        assert ended.record.examples == (EXAMPLES if measured else {})


def test_results_are_those_of_the_trials(executor: Executor) -> None:
    results = train(executor, TRIALS).results
    assert [result.epochs for result in results.values()] == [2, 2, 3, 1, 2, 2]
    assert results[3].state is TrialState.DIVERGED
    good = [result for number, result in results.items() if number != 3]
    assert {result.state for result in good} == {TrialState.COMPLETE}
    assert all(len(result.history) == result.epochs for result in results.values())
    assert {record.trial for result in good for record in result.history} == {0, 1, 2, 4, 5}


def test_records_are_of_trials_that_run_and_get_newer(executor: Executor) -> None:
    running: dict[int, int] = {}
    for one in train(executor, TRIALS):
        match one:
            case TrialStarted():
                running[one.trial.number] = 0
            case TrialEnded():
                del running[one.record.number]
            case EpochEnded():
                for record in one.records:
                    assert record.epoch > running[record.trial]
                    running[record.trial] = record.epoch
    assert running == {}


@pytest.mark.parametrize("stack", ["off", 3])
def test_the_same_trials_give_the_same_numbers_in_parts(build: Build, stack: StackOption) -> None:
    executor = build(stack)
    whole = train(executor, TRIALS).results
    parts = [train(executor, TRIALS[4:]).results, train(executor, TRIALS[:4]).results]
    assert numbers((parts[0] | parts[1])[number] for number in whole) == numbers(whole.values())


def test_the_best_brings_its_checkpoint(executor: Executor) -> None:
    seen = train(executor, TRIALS)
    objectives = {
        number: result.objective
        for number, result in seen.results.items()
        if result.objective is not None
    }
    best = min(objectives, key=lambda number: (objectives[number], number))
    checkpoint = seen.ended[best].checkpoint
    assert checkpoint is not None
    about = json.loads(checkpoint.about)
    assert about["trial"] == best
    assert about["seed"] == TRIALS[best].seed
    assert about["epoch"] == seen.results[best].best_epoch
    weights = safetensors.torch.load(checkpoint.tensors)
    assert sum(w.numel() for w in weights.values()) == seen.results[best].parameters
    assert seen.ended[3].checkpoint is None


def test_who_is_beaten_brings_none(executor: Executor) -> None:
    best = TrialRecord(number=9, seed=0, state=TrialState.COMPLETE, objective=-1.0)
    seen = train(executor, TRIALS, best)
    assert [ended.checkpoint for ended in seen.ended.values()] == [None] * 6


def test_what_goes_wrong_in_a_trial_is_its_result(executor: Executor) -> None:
    trials = [
        trial(0, "objective.loss=mse"),
        trial(1, "model.name=cnn", "model.filters=[4]"),
        own(2, "raises"),
        own(3, "cannot_be_built"),
        own(4, "nowhere"),
        trial(5),
    ]
    results = train(executor, trials).results
    assert {number: result.state for number, result in results.items()} == dict.fromkeys(
        range(5), TrialState.FAILED
    ) | {5: TrialState.COMPLETE}
    assert results[0].reason.startswith("setting: objective.loss")
    assert results[1].reason.startswith("model: ")
    said = "user model: ValueError: no, thanks"
    assert re.fullmatch(rf"{said} \(/.*/net\.py, line \d+\)", results[2].reason)
    assert results[3].reason.startswith("model: model.factory = 'net.py:cannot_be_built' raised")
    assert results[4].reason.startswith("user model: RecipeError: net.py:nowhere: net.py has no")
    assert results[2].values == trials[2].values


def test_a_caller_may_have_enough_and_come_back(executor: Executor) -> None:
    long: list[Trial] = [trial(number, "train.epochs=2000") for number in range(4)]
    running = executor.run(long, best=None)
    first = next(one for one in running if isinstance(one, EpochEnded))
    assert first.records[0].trial in range(4)
    running.close()
    results = train(executor, TRIALS[:2]).results
    assert [result.state for result in results.values()] == [TrialState.COMPLETE] * 2


def test_no_trials_are_no_work(executor: Executor) -> None:
    assert train(executor, []).progress == []


def test_a_with_block_gives_the_executor_itself(build: Build) -> None:
    executor = build("off")
    assert executor.__enter__() is executor


def test_the_looped_results_are_those_of_any_other_executor(build: Build, tmp_path: Path) -> None:
    """Bit for bit: a trial depends on its config, its seed and the number of threads alone."""
    reference = build_executor(
        DataShelf(tmp_path), tmp_path, trials=6, device="cpu", workers=1, stack="off"
    )
    here, there = train(build("off"), TRIALS), train(reference, TRIALS)
    assert numbers(here.results.values()) == numbers(there.results.values())
