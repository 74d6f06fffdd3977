"""The loop of a search, with an executor that is told what happens to the trials."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from dltune.errors import RunFolderError
from dltune.recipe.files import relocate
from dltune.runs.checkpoint import read_checkpoint
from dltune.runs.folder import RunFolder
from dltune.search.block import ASK_AT_ONCE, first_open
from dltune.search.events import Ending, EventKind, StudyEnd, StudyEvent
from dltune.search.executors.protocol import EpochEnded, Noted, Progress, TrialStarted
from dltune.search.strategies.registry import build_strategy
from dltune.search.study_loop import StudyLoop
from dltune.training.history import Trial, TrialState
from tests.search.made_up import Scripted, about, ended, opened, record
from tests.search.recipes import small

OBJECTIVES = [0.4, 0.1, 0.3, 0.2, 0.1, 0.5, 0.25, 0.35]


def objective(number: int) -> float:
    return OBJECTIVES[number % len(OBJECTIVES)]


def as_they_come(trials: Sequence[Trial]) -> Iterator[Progress]:
    for trial in trials:
        yield TrialStarted(trial=trial)
        yield ended(trial, objective(trial.number))


def all_at_once_last_first(trials: Sequence[Trial]) -> Iterator[Progress]:
    """As in a stack: all start, have their epochs together, and end in another order."""
    for trial in trials:
        yield TrialStarted(trial=trial)
    yield EpochEnded(records=[record(trial.number, 1, 0.5) for trial in trials])
    for trial in reversed(trials):
        yield ended(trial, objective(trial.number))


def search(
    path: Path,
    executor: Scripted,
    *,
    trials: int = 8,
    strategy: str = "random",
    events: list[StudyEvent] | None = None,
    **options: int,
) -> StudyEnd:
    """A session of a study, the first one or a resumed one."""
    recipe = small()
    if path.exists():
        folder = opened(path)
    else:
        folder = RunFolder.create(path, relocate(recipe, path), about(trials))
    searcher = build_strategy(strategy, recipe.space, 0, **options)
    told = first_open(folder.trials, searcher, pruned=False)
    searcher.tell([folder.trials[number] for number in range(told)])
    loop = StudyLoop(
        folder=folder,
        strategy=searcher,
        told=told,
        pruner=None,
        executor=executor,
        total=trials,
        data_hashes={},
        on_event=[].append if events is None else events.append,
    )
    try:
        return loop.run()
    finally:
        folder.close()


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def take_from_journal(path: Path, numbers: set[int]) -> None:
    """Leave these trials out of the journal, as if the study had been killed before they ended."""
    journal = path / "study.journal"
    lines = journal.read_text().splitlines(keepends=True)
    kept = [line for line in lines if not any(f'"number":{n},' in line for n in numbers)]
    assert len(kept) == len(lines) - len(numbers)
    journal.write_text("".join(kept))


@pytest.mark.parametrize("strategy", ["grid", "random", "evolution"])
def test_the_order_in_which_trials_end_changes_nothing(tmp_path: Path, strategy: str) -> None:
    options = {"population": 4} if strategy == "evolution" else {}
    first = search(tmp_path / "a", Scripted(as_they_come), strategy=strategy, **options)
    other = search(tmp_path / "b", Scripted(all_at_once_last_first), strategy=strategy, **options)
    assert [result.number for result in other.trials] == list(range(8))
    assert other.trials == first.trials
    assert other.best == first.best
    for name in ("trials.csv", "history.csv"):
        assert (tmp_path / "a" / name).read_text() == (tmp_path / "b" / name).read_text()
    assert read_checkpoint(tmp_path / "b").trial == 1


def test_a_strategy_that_does_not_learn_is_asked_for_many_trials(tmp_path: Path) -> None:
    executor = Scripted(as_they_come)
    search(tmp_path / "run", executor, trials=ASK_AT_ONCE + 5)
    assert list(map(len, executor.asked)) == [ASK_AT_ONCE, 5]


def test_a_strategy_that_learns_gives_a_generation(tmp_path: Path) -> None:
    executor = Scripted(all_at_once_last_first)
    search(tmp_path / "run", executor, strategy="evolution", population=3)
    assert executor.asked == [[0, 1, 2], [3, 4, 5], [6, 7]]


@pytest.mark.parametrize("strategy", ["grid", "random", "evolution"])
def test_a_resume_trains_what_is_missing_and_no_more(tmp_path: Path, strategy: str) -> None:
    options = {"population": 6} if strategy == "evolution" else {}
    whole = search(tmp_path / "whole", Scripted(as_they_come), strategy=strategy, **options)
    path, executor = tmp_path / "parts", Scripted(as_they_come)
    search(path, Scripted(as_they_come), trials=6, strategy=strategy, **options)
    take_from_journal(path, {1, 4})
    end = search(path, executor, strategy=strategy, **options)
    blocks = [[1, 4], [6, 7]] if strategy == "evolution" else [[1, 4, 6, 7]]
    assert executor.asked == blocks
    assert (end.ending, end.trained) == (Ending.COMPLETE, 4)
    assert end.trials == whole.trials
    for name in ("trials.csv", "history.csv"):
        assert (path / name).read_text() == (tmp_path / "whole" / name).read_text()


def test_values_that_the_strategy_would_not_choose_again_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "run"
    end = search(path, Scripted(as_they_come), trials=3)
    take_from_journal(path, {1})
    journal, rate = path / "study.journal", end.trials[2].values["optim.lr"]
    before, _, last = journal.read_text().rpartition('"op_code":4')
    changed = last.replace(f'"optim.lr":{rate!r}', '"optim.lr":0.05')
    journal.write_text(f'{before}"op_code":4{changed}')
    with pytest.raises(RunFolderError) as refused:
        search(path, Scripted(as_they_come), trials=3)
    assert refused.value.found == (
        f"{path}: trial 2 does not repeat: optim.lr was 0.05, would now be {rate!r}"
    )
    assert refused.value.hint == (
        "Go on with the versions of dltune and numpy that started the study, "
        "or start a new one with another --name."
    )


class TestCtrlC:
    @pytest.fixture(name="path")
    def fixture_path(self, tmp_path: Path) -> Path:
        """Of eight trials that train together, two have ended, and one has started again."""

        def script(trials: Sequence[Trial]) -> Iterator[Progress]:
            for trial in trials:
                yield TrialStarted(trial=trial)
            for epoch in (1, 2):
                yield EpochEnded(records=[record(trial.number, epoch, 0.5) for trial in trials])
            yield ended(trials[6], 0.25)
            yield ended(trials[2], 0.25)
            yield TrialStarted(trial=trials[4])  # its worker has died
            yield EpochEnded(records=[record(4, 1, 0.5)])
            raise KeyboardInterrupt

        executor, path = Scripted(script), tmp_path / "run"
        end = search(path, executor)
        assert (end.ending, end.trained) == (Ending.INTERRUPTED, 2)
        return path

    def test_what_is_finished_is_kept_and_the_rest_said(self, path: Path) -> None:
        found = [(row["trial"], row["state"], row["epochs"]) for row in table(path / "trials.csv")]
        assert found == [
            ("0", "interrupted", "2"),
            ("1", "interrupted", "2"),
            ("2", "complete", "1"),
            ("3", "interrupted", "2"),
            ("4", "interrupted", "1"),
            ("5", "interrupted", "2"),
            ("6", "complete", "1"),
            ("7", "interrupted", "2"),
        ]
        assert [row["trial"] for row in table(path / "history.csv")] == ["2", "6"]
        assert read_checkpoint(path).trial == 2

    def test_a_resume_trains_the_rest(self, path: Path) -> None:
        executor = Scripted(as_they_come)
        end = search(path, executor)
        assert executor.asked == [[0, 1, 3, 4, 5, 7]]
        assert end.trained == 6
        assert {row["state"] for row in table(path / "trials.csv")} == {"complete"}


class TestFirstTrials:
    """A study whose first trials all go wrong stops; the first by number, not to end."""

    def search(self, path: Path, diverging: range, order: Sequence[int]) -> StudyEnd:
        def script(trials: Sequence[Trial]) -> Iterator[Progress]:
            by_number = {trial.number: trial for trial in trials}
            for trial in trials:
                yield TrialStarted(trial=trial)
            for number in order:
                if number in diverging:
                    reason = f"non-finite loss in epoch {number}"
                    yield ended(by_number[number], None, state=TrialState.DIVERGED, reason=reason)
                else:
                    yield ended(by_number[number], 0.5)

        return search(path, Scripted(script), trials=30)

    def test_diverged_ones_end_first_and_say_nothing(self, tmp_path: Path) -> None:
        order = [*range(1, 30), 0]
        end = self.search(tmp_path / "run", range(1, 30), order)
        assert (end.ending, end.trained) == (Ending.COMPLETE, 30)

    def test_a_good_one_that_ends_first_does_not_save_the_study(self, tmp_path: Path) -> None:
        end = self.search(tmp_path / "run", range(25), [29, *range(29)])
        assert (end.ending, end.trained) == (Ending.STOPPED, 21)
        assert end.reason == "the first 20 trials all diverged alike: non-finite loss in epoch 0"
        states = [row["state"] for row in table(tmp_path / "run" / "trials.csv")]
        assert states == ["diverged"] * 20 + ["interrupted"] * 9 + ["complete"]

    def test_a_resume_waits_for_as_many_again(self, tmp_path: Path) -> None:
        self.search(tmp_path / "run", range(25), range(30))

        def script(trials: Sequence[Trial]) -> Iterator[Progress]:
            for trial in trials:
                yield TrialStarted(trial=trial)
                yield ended(trial, None, state=TrialState.FAILED, reason="out of memory")

        end = search(tmp_path / "run", Scripted(script), trials=30)
        assert (end.ending, end.trained) == (Ending.STOPPED, 5)
        assert end.reason == "the next 5 trials all failed alike: out of memory"


def test_events_tell_what_runs(tmp_path: Path) -> None:
    def script(trials: Sequence[Trial]) -> Iterator[Progress]:
        for trial in trials:
            yield TrialStarted(trial=trial)
        yield Noted(text="stacks of 3")
        yield EpochEnded(records=[record(0, 1, 0.5), record(1, 1, 0.25), record(2, 1, 0.75)])
        yield ended(trials[1], 0.25)
        yield EpochEnded(records=[record(0, 2, 0.125), record(2, 2, 0.5)])
        yield ended(trials[2], 0.5)
        yield ended(trials[0], 0.125)

    events: list[StudyEvent] = []
    search(tmp_path / "run", Scripted(script), trials=3, events=events)
    seen = [(one.kind, one.done, one.running, one.share) for one in events]
    assert seen == [  # of two epochs each
        (EventKind.STARTED, 0, 0, 0.0),
        (EventKind.TRAINING, 0, 1, 0.0),
        (EventKind.NOTED, 0, 3, 0.0),
        (EventKind.EPOCH, 0, 3, 1.5),
        (EventKind.TRIAL, 1, 2, 1.0),
        (EventKind.EPOCH, 1, 2, 2.0),
        (EventKind.TRIAL, 2, 1, 1.0),
        (EventKind.TRIAL, 3, 0, 0.0),
    ]
    assert events[2].notes == ("stacks of 3",)
    assert events[3].leader == record(1, 1, 0.25)
    assert [one.trial for one in events[3].records] == [0, 1, 2]
    assert events[4].leader == record(0, 1, 0.5)
    assert events[5].leader == record(0, 2, 0.125)
    assert [one.best and one.best.number for one in events] == [None] * 4 + [1, 1, 1, 0]
    assert {(one.total, one.metric) for one in events} == {(3, "dev_error")}


def test_only_the_weights_of_the_best_are_held(tmp_path: Path) -> None:
    """Hundreds of trials may end between two writes; each brings the best weights so far."""
    counts = itertools.count()

    def script(trials: Sequence[Trial]) -> Iterator[Progress]:
        for trial in trials:
            yield TrialStarted(trial=trial)
            yield ended(trial, 1.0 / (1 + next(counts)))

    path = tmp_path / "run"
    end = search(path, Scripted(script), trials=40)
    assert end.best is not None
    assert end.best.number == 39
    kept = sorted(file.name for file in (path / "checkpoints").iterdir())
    assert kept == ["best.json", "best.safetensors"]
    assert read_checkpoint(path).trial == 39
