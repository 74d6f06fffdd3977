"""The run folder: what is in it, in which order it is written, and what a crash leaves."""

from __future__ import annotations

import csv
import dataclasses
import itertools
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import torch

from dltune.errors import RunFolderError
from dltune.recipe.files import load_recipe, relocate
from dltune.recipe.recipe import Recipe
from dltune.recipe.schema import flatten
from dltune.runs.checkpoint import read_checkpoint
from dltune.runs.folder import RunFolder
from dltune.runs.new_run import new_run_path
from dltune.runs.rebuild import rebuild_csv
from dltune.runs.run import check_is_run_folder, load_run
from dltune.training.history import Trial, TrialRecord, TrialState
from tests.search.made_up import Finished, about, append, bare, finished, opened
from tests.search.recipes import CONDITIONAL, small

OUTCOMES = [0.5, None, 0.2, 0.3, 0.2]


@pytest.fixture(name="recipe")
def fixture_recipe() -> Recipe:
    return small()


def write_trials(path: Path, recipe: Recipe, count: int = len(OUTCOMES)) -> None:
    """A folder with the first of these outcomes, in blocks of two."""
    folder = RunFolder.create(path, relocate(recipe, path), about())
    block = []
    for number, objective in enumerate(OUTCOMES[:count]):
        if objective is None:
            one = finished(recipe, number, None, TrialState.DIVERGED, "non-finite loss in epoch 2")
        else:
            one = finished(recipe, number, objective)
        block.append(one)
        if len(block) == 2:
            append(folder, *block)
            block = []
    append(folder, *block)
    folder.close()


def cut_off(trial: Trial) -> TrialRecord:
    """A trial that was interrupted after an epoch."""
    return trial.record(TrialState.INTERRUPTED, "interrupted; --resume trains it again", epochs=1)


def failed(recipe: Recipe, number: int) -> TrialRecord:
    record = finished(recipe, number, 0.1).record
    return dataclasses.replace(record, state=TrialState.FAILED, objective=None)


def interrupted(recipe: Recipe, number: int, error: float) -> Finished:
    """A trial that was cut off after a good epoch."""
    one = finished(recipe, number, error)
    state = TrialState.INTERRUPTED
    return dataclasses.replace(one, record=dataclasses.replace(one.record, state=state))


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def files_of(path: Path) -> dict[str, str]:
    names = ("trials.csv", "history.csv", "best.toml", "recipe.toml")
    return {name: (path / name).read_text() for name in names}


def test_the_files_of_a_run_folder(tmp_path: Path, recipe: Recipe) -> None:
    path = tmp_path / "runs" / "first"
    write_trials(path, recipe)
    assert sorted(file.name for file in path.rglob("*") if file.is_file()) == [
        "best.json",
        "best.safetensors",
        "best.toml",
        "history.csv",
        "recipe.toml",
        "study.journal",
        "trials.csv",
    ]
    assert (path / "recipe.toml").read_text() == "# dltune recipe, format 1\n" + recipe.text
    trials, history = rows(path / "trials.csv"), rows(path / "history.csv")
    assert [row["trial"] for row in trials] == ["0", "1", "2", "3", "4"]
    assert [row["state"] for row in trials] == ["complete", "diverged", *["complete"] * 3]
    assert trials[1]["reason"] == "non-finite loss in epoch 2"
    assert [row["objective"] for row in trials] == ["0.5", "", "0.2", "0.3", "0.2"]
    assert [(row["trial"], row["epoch"]) for row in history][:3] == [
        ("0", "1"),
        ("0", "2"),
        ("1", "1"),
    ]
    assert [row["dev_error"] for row in history][:4] == ["1.0", "0.5", "nan", "nan"]
    assert {row["dead_units"] for row in history} == {""}
    first = trials[0]
    assert (first["train_examples"], first["train_dev_examples"]) == ("106", "")
    assert float(first["optim.lr"]) == finished(recipe, 0, 0.5).record.values["optim.lr"]


def test_the_best_is_ready_to_train_and_its_weights_are_kept(
    tmp_path: Path, recipe: Recipe
) -> None:
    write_trials(tmp_path / "run", recipe)
    best = finished(recipe, 2, 0.2)  # trial 4 is as good, but later
    assert (
        (tmp_path / "run" / "best.toml").read_text().startswith("# Trial 2 of run: dev_error 0.2\n")
    )
    assert load_recipe(tmp_path / "run" / "best.toml").config() == best.config
    assert "# the one that matters" in (tmp_path / "run" / "best.toml").read_text()
    checkpoint = read_checkpoint(tmp_path / "run")
    assert (checkpoint.trial, checkpoint.epoch, checkpoint.config) == (2, 2, best.config)
    assert torch.equal(checkpoint.weights["0.weight"], torch.full((2, 3), 2.0))


def test_file_references_hold_from_the_run_folder(tmp_path: Path) -> None:
    (tmp_path / "wine.csv").write_text("a,b\n1,2\n")
    text = small().text.replace("sklearn:wine", "wine.csv")
    (tmp_path / "recipe.toml").write_text(text)
    path = tmp_path / "runs" / "first"
    recipe = relocate(load_recipe(tmp_path / "recipe.toml"), path)
    RunFolder.create(path, recipe, about()).close()
    stored = load_run(path).recipe
    assert stored.table["data"]["source"] == "../../wine.csv"
    assert (stored.folder / stored.table["data"]["source"]).exists()


def test_hyperparameters_of_a_conditional_space_have_their_columns(tmp_path: Path) -> None:
    recipe = small(text=CONDITIONAL)
    write_trials(tmp_path / "run", recipe)
    trials = rows(tmp_path / "run" / "trials.csv")
    optimizers = [finished(recipe, n, 0.1).record.values["optim"] for n in range(5)]
    assert {"momentum", "adam"} == set(optimizers)
    assert [row["optim.name"] for row in trials] == optimizers
    for row in trials:
        assert (row["optim.momentum"] == "") == (row["optim.name"] == "adam")
        assert (row["optim.betas"] == "") == (row["optim.name"] == "momentum")
        assert row["model.hidden"] in ("[8]", "[8, 4]")
    sections = [name.partition(".")[0] for name in trials[0] if "." in name]
    assert len([1 for a, b in itertools.pairwise(sections) if a != b]) == 6


def test_columns_do_not_depend_on_the_trials(tmp_path: Path) -> None:
    recipe = small(text=CONDITIONAL)
    headers = set()
    for name, numbers in {"none": [], "one": [0], "two": [1, 0]}.items():
        folder = RunFolder.create(tmp_path / name, recipe, about())
        append(folder, *[finished(recipe, number, 0.5) for number in numbers])
        folder.close()
        headers.add((tmp_path / name / "trials.csv").read_text().partition("\n")[0])
    assert len(headers) == 1
    columns = headers.pop().split(",")
    assert {"optim.momentum", "optim.betas"} <= set(columns)


class TestGaps:
    """Trials that end in another order than that of their numbers."""

    @pytest.fixture(name="folder")
    def fixture_folder(self, tmp_path: Path, recipe: Recipe) -> RunFolder:
        folder = RunFolder.create(tmp_path / "run", recipe, about())
        append(folder, *[finished(recipe, number, 0.5) for number in (7, 2)])
        append(folder, *[finished(recipe, 4, 0.25)])
        return folder

    def test_rows_stand_as_the_trials_ended_until_they_are_sorted(self, folder: RunFolder) -> None:
        def numbers(name: str) -> list[int]:
            return [int(row["trial"]) for row in rows(folder.path / name)]

        assert numbers("trials.csv") == [7, 2, 4]
        assert numbers("history.csv") == [7, 7, 2, 2, 4, 4]
        folder.sort()
        folder.close()
        assert numbers("trials.csv") == [2, 4, 7]
        assert numbers("history.csv") == [2, 2, 4, 4, 7, 7]
        assert [row["epoch"] for row in rows(folder.path / "history.csv")] == ["1", "2"] * 3

    def test_files_in_order_are_left_alone(self, tmp_path: Path, recipe: Recipe) -> None:
        write_trials(tmp_path / "run", recipe)
        folder = opened(tmp_path / "run")
        files = [tmp_path / "run" / name for name in ("trials.csv", "history.csv")]
        before = [file.stat().st_ino for file in files]  # a file that is replaced is another one
        folder.sort()
        folder.close()
        assert [file.stat().st_ino for file in files] == before

    def test_reading_gives_them_in_order_of_number(self, folder: RunFolder, recipe: Recipe) -> None:
        folder.close()
        run = load_run(folder.path)
        assert run.trials == tuple(
            finished(recipe, n, 0.25 if n == 4 else 0.5).record for n in (2, 4, 7)
        )
        assert run.best == run.trials[1]

    def test_a_resume_fills_them(self, folder: RunFolder, recipe: Recipe) -> None:
        folder.close()
        again = opened(folder.path)
        assert sorted(again.trials) == [2, 4, 7]
        append(again, *[finished(recipe, number, 0.5) for number in (3, 0)])
        again.close()
        assert [result.number for result in load_run(folder.path).trials] == [0, 2, 3, 4, 7]
        assert [int(row["trial"]) for row in rows(folder.path / "trials.csv")] == [2, 4, 7, 3, 0]

    def test_interrupted_trials_take_their_place(self, folder: RunFolder, recipe: Recipe) -> None:
        one = finished(recipe, 3, 0.5)
        trial = Trial(number=3, config=one.config, seed=one.record.seed, values=one.record.values)
        folder.append([cut_off(trial)], {})
        folder.sort()
        folder.close()
        found = [(row["trial"], row["state"]) for row in rows(folder.path / "trials.csv")]
        assert found[1:3] == [("3", "interrupted"), ("4", "complete")]


class TestWeights:
    """The weights are always those of the trial that `best.toml` names."""

    @pytest.fixture(name="folder")
    def fixture_folder(self, tmp_path: Path, recipe: Recipe) -> RunFolder:
        folder = RunFolder.create(tmp_path / "run", relocate(recipe, tmp_path / "run"), about())
        append(folder, *[finished(recipe, 5, 0.25)])
        return folder

    def kept(self, folder: RunFolder) -> tuple[str, int]:
        """The first line of `best.toml`, and the trial of the only weights."""
        kept = sorted(file.name for file in (folder.path / "checkpoints").iterdir())
        assert kept == ["best.json", "best.safetensors"]
        title = (folder.path / "best.toml").read_text().partition("\n")[0]
        return title, read_checkpoint(folder.path).trial

    def test_of_equal_trials_the_lower_number_is_the_best(
        self, folder: RunFolder, recipe: Recipe
    ) -> None:
        append(folder, *[finished(recipe, 6, 0.25)])
        assert self.kept(folder) == ("# Trial 5 of run: dev_error 0.25", 5)
        append(folder, *[finished(recipe, 3, 0.25), finished(recipe, 8, 0.25)])
        assert self.kept(folder) == ("# Trial 3 of run: dev_error 0.25", 3)
        folder.close()

    def test_those_of_a_trial_that_the_journal_does_not_have_go(
        self, folder: RunFolder, recipe: Recipe
    ) -> None:
        journal = folder.path / "study.journal"
        whole = journal.read_bytes()
        journal.unlink()
        journal.mkdir()  # the system refuses to write in it
        with pytest.raises(IsADirectoryError):
            append(folder, *[finished(recipe, 1, 0.125)])
        folder.close()
        journal.rmdir()
        journal.write_bytes(whole)
        opened(folder.path).close()
        assert self.kept(folder) == ("# Trial 5 of run: dev_error 0.25", 5)

    def test_those_of_a_trial_that_the_journal_has_stay(
        self, folder: RunFolder, recipe: Recipe
    ) -> None:
        table = folder.path / "trials.csv"
        table.unlink()
        table.mkdir()
        with pytest.raises(IsADirectoryError):
            append(folder, *[finished(recipe, 1, 0.125)])
        folder.close()
        table.rmdir()
        opened(folder.path).close()
        assert self.kept(folder) == ("# Trial 1 of run: dev_error 0.125", 1)

    def test_a_best_trial_without_weights_leaves_none_of_another(
        self, folder: RunFolder, recipe: Recipe
    ) -> None:
        one = dataclasses.replace(finished(recipe, 1, 0.125), checkpoint=None)
        append(folder, *[one])
        folder.close()
        assert list((folder.path / "checkpoints").iterdir()) == []


@pytest.mark.parametrize(
    ("file", "damage"),
    [
        pytest.param("trials.csv", lambda text: text[:-30], id="half a row of trials.csv"),
        pytest.param("trials.csv", lambda text: "", id="trials.csv is empty"),
        pytest.param(
            "history.csv",
            lambda text: text + text.splitlines(keepends=True)[-1].replace("4,2,", "5,1,", 1),
            id="history of a trial that is not in the journal",
        ),
        pytest.param("history.csv", lambda text: text + "5,1,0.01,0.", id="half a row of history"),
        pytest.param("study.journal", lambda text: text + '{"op_code":4,"wor', id="half an entry"),
        pytest.param("best.toml", lambda text: text.replace("Trial 2", "Trial 0"), id="old best"),
    ],
)
def test_opening_mends_what_a_crash_leaves(
    tmp_path: Path, recipe: Recipe, file: str, damage: object
) -> None:
    write_trials(tmp_path / "run", recipe)
    whole = files_of(tmp_path / "run")
    damaged = tmp_path / "run" / file
    damaged.write_text(damage(damaged.read_text()))  # type: ignore[operator]
    assert len(load_run(tmp_path / "run").trials) == 5
    folder = opened(tmp_path / "run")
    assert files_of(tmp_path / "run") == whole
    append(folder, *[finished(recipe, 5, 0.1)])
    folder.close()
    write_six = [result.number for result in load_run(tmp_path / "run").trials]
    assert write_six == [0, 1, 2, 3, 4, 5]
    assert len(rows(tmp_path / "run" / "history.csv")) == 12


def test_a_journal_that_lost_its_last_entry_loses_that_trial_everywhere(
    tmp_path: Path, recipe: Recipe
) -> None:
    write_trials(tmp_path / "run", recipe)
    journal = tmp_path / "run" / "study.journal"
    journal.write_bytes(journal.read_bytes()[:-40])  # half of trial 4 reached the disk
    opened(tmp_path / "run").close()
    write_trials(tmp_path / "four", recipe, count=4)
    found = files_of(tmp_path / "run")
    expected = files_of(tmp_path / "four")
    assert found["trials.csv"] == expected["trials.csv"]
    assert found["history.csv"] == expected["history.csv"]


@pytest.mark.slow
def test_a_lock_left_behind_by_a_killed_process_is_taken_over(
    tmp_path: Path, recipe: Recipe
) -> None:
    write_trials(tmp_path / "run", recipe)
    lock = tmp_path / "run" / "study.journal.lock"
    lock.symlink_to((tmp_path / "run" / "study.journal").resolve())
    folder = opened(tmp_path / "run")
    append(folder, *[finished(recipe, 5, 0.1)])
    folder.close()
    assert not lock.is_symlink()
    assert len(load_run(tmp_path / "run").trials) == 6


class TestInterrupted:
    """A trial that was cut off is kept as far as it had come, until it has been trained again."""

    @pytest.fixture(name="path")
    def fixture_path(self, tmp_path: Path, recipe: Recipe) -> Path:
        """Trials 0 to 4 done, the best with 0.3; then 5 and 6 were cut off."""
        write_trials(tmp_path / "run", recipe)
        folder = opened(tmp_path / "run")
        append(folder, interrupted(recipe, 5, 0.1), interrupted(recipe, 6, 0.15))
        folder.sort()
        folder.close()
        return tmp_path / "run"

    def test_it_may_be_the_best(self, path: Path) -> None:
        run = load_run(path)
        assert (len(run.done), len(run.trials), run.is_complete) == (5, 7, False)
        assert run.best is not None
        assert (run.best.number, run.best.state) == (5, TrialState.INTERRUPTED)
        assert run.best.history
        assert "# Trial 5 of run" in (path / "best.toml").read_text()
        assert read_checkpoint(path).trial == 5
        states = [row["state"] for row in rows(path / "trials.csv")]
        assert states == ["complete", "diverged", *["complete"] * 3, *["interrupted"] * 2]

    def test_opening_changes_nothing(self, path: Path) -> None:
        before, run = files_of(path), load_run(path)
        folder = opened(path)
        assert (sorted(folder.trials), sorted(folder.interrupted)) == ([0, 1, 2, 3, 4], [5, 6])
        folder.close()
        rebuild_csv(path)
        assert files_of(path) == before
        assert repr(load_run(path).trials) == repr(run.trials)  # NaN is not equal to itself

    def test_what_is_trained_again_takes_its_place(self, path: Path, recipe: Recipe) -> None:
        folder = opened(path)
        append(folder, finished(recipe, 5, 0.15))  # worse than it was, on another machine
        assert folder.best is folder.trials[5]
        assert sorted(folder.interrupted) == [6]
        folder.sort()
        folder.close()
        run = load_run(path)
        assert (len(run.done), run.best) == (6, run.trials[5])
        assert run.trials[5].objective == 0.15
        assert run.trials[5].history == finished(recipe, 5, 0.15).record.history
        assert [row["trial"] for row in rows(path / "trials.csv")] == [*"0123456"]
        assert read_checkpoint(path).trial == 5

    def test_one_that_diverges_then_is_no_candidate(self, path: Path, recipe: Recipe) -> None:
        folder = opened(path)
        lost = finished(recipe, 5, 0.1).record
        lost = dataclasses.replace(lost, state=TrialState.DIVERGED, objective=None)
        folder.append([lost], {})
        assert folder.best is folder.interrupted[6]
        folder.close()
        assert "# Trial 6 of run" in (path / "best.toml").read_text()
        with pytest.raises(
            RunFolderError, match=r"keeps no weights\nTrain it again: dltune train "
        ):
            read_checkpoint(path)

    def test_the_best_that_is_done_keeps_its_weights(self, path: Path, recipe: Recipe) -> None:
        folder = opened(path)
        append(folder, finished(recipe, 7, 0.18))  # while two that were cut off lead
        assert read_checkpoint(path).trial == 5
        folder.append([failed(recipe, number) for number in (5, 6)], {})
        folder.close()
        assert folder.best is folder.trials[7]
        assert read_checkpoint(path).trial == 7
        assert len(list((path / "checkpoints").iterdir())) == 2

    def test_so_does_one_of_an_earlier_session(self, path: Path, recipe: Recipe) -> None:
        folder = opened(path)
        folder.append([failed(recipe, number) for number in (5, 6)], {})
        folder.close()
        assert folder.best is folder.trials[2]
        assert read_checkpoint(path).trial == 2

    def test_where_none_is_left_there_is_no_best(self, tmp_path: Path, recipe: Recipe) -> None:
        path = tmp_path / "run"
        folder = RunFolder.create(path, relocate(recipe, path), about())
        append(folder, interrupted(recipe, 0, 0.3))
        folder.close()
        assert read_checkpoint(path).trial == 0
        folder = opened(path)
        folder.append([failed(recipe, 0)], {})
        folder.close()
        assert load_run(path).best is None
        assert not (path / "best.toml").exists()
        assert list((path / "checkpoints").iterdir()) == []

    def test_it_stays_where_it_was_brought_further(self, path: Path, recipe: Recipe) -> None:
        """A resume that is interrupted at once takes nothing away."""
        before = load_run(path)
        folder = opened(path)
        append(folder, interrupted(recipe, 5, 0.4), interrupted(recipe, 6, 0.14))
        folder.sort()
        folder.close()
        run = load_run(path)
        assert run.trials[5] == before.trials[5]
        assert run.trials[6].objective == 0.14
        assert read_checkpoint(path).trial == 5

    def test_without_an_objective_the_one_with_more_epochs_stays(
        self, path: Path, recipe: Recipe
    ) -> None:
        folder = opened(path)
        one = finished(recipe, 7, 0.5)
        trial = Trial(number=7, config=one.config, seed=one.record.seed, values=one.record.values)
        folder.append([dataclasses.replace(cut_off(trial), epochs=3)], {})
        folder.close()
        again = opened(path)
        again.append([cut_off(trial)], {})
        again.close()
        assert load_run(path).trial(7).epochs == 3


def test_reading_gives_back_what_was_written(tmp_path: Path, recipe: Recipe) -> None:
    write_trials(tmp_path / "run", recipe)
    run = load_run(tmp_path / "run")
    expected = finished(recipe, 3, 0.3)
    assert run.name == "run"
    assert run.about == about()
    assert run.recipe.space == recipe.space
    assert run.trials[3] == expected.record
    assert run.trials[3].config == flatten(expected.config)
    assert run.best == run.trials[2]
    assert not run.is_complete
    assert load_run(tmp_path / "run", histories="none").trials[3] == bare(expected)


def test_reading_changes_nothing_and_rebuilding_mends(tmp_path: Path, recipe: Recipe) -> None:
    write_trials(tmp_path / "run", recipe)
    whole = files_of(tmp_path / "run")
    (tmp_path / "run" / "trials.csv").write_text("trial,st")
    load_run(tmp_path / "run")
    assert (tmp_path / "run" / "trials.csv").read_text() == "trial,st"
    assert rebuild_csv(tmp_path / "run") == []
    assert len(load_run(tmp_path / "run").trials) == 5
    assert files_of(tmp_path / "run") == whole


def test_reading_needs_no_torch(tmp_path: Path, recipe: Recipe) -> None:
    write_trials(tmp_path / "run", recipe)
    program = (
        "import sys\nfrom pathlib import Path\nfrom dltune.runs.run import load_run\n"
        f"print(len(load_run(Path({str(tmp_path / 'run')!r})).trials))\n"
        "print([name for name in ('torch', 'pandas', 'sklearn') if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.splitlines() == ["5", "[]"]


def test_the_stored_recipe_is_valid_toml_with_the_ranges(tmp_path: Path, recipe: Recipe) -> None:
    write_trials(tmp_path / "run", recipe)
    table = tomllib.loads((tmp_path / "run" / "recipe.toml").read_text())
    assert table["optim"]["lr"] == {"log": [1e-4, 1e-1], "points": 4}


class TestErrors:
    def test_a_folder_that_is_taken(self, tmp_path: Path, recipe: Recipe) -> None:
        write_trials(tmp_path / "run", recipe)
        for attempt in (
            lambda: RunFolder.create(tmp_path / "run", recipe, about()),
            lambda: new_run_path(tmp_path, name="run", stem="recipe"),
        ):
            with pytest.raises(RunFolderError) as caught:
                attempt()
            assert str(caught.value) == (
                f"{tmp_path / 'run'}: already exists and is not empty\n"
                "Type --resume to go on with it, or --name and another name."
            )

    def test_an_empty_folder_is_free(self, tmp_path: Path, recipe: Recipe) -> None:
        (tmp_path / "run").mkdir()
        RunFolder.create(tmp_path / "run", recipe, about()).close()
        assert load_run(tmp_path / "run").trials == ()

    def test_names_are_found(self, tmp_path: Path) -> None:
        assert new_run_path(tmp_path, name=None, stem="wine") == tmp_path / "wine-1"
        (tmp_path / "wine-1").mkdir()
        (tmp_path / "wine-2").mkdir()
        assert new_run_path(tmp_path, name=None, stem="wine") == tmp_path / "wine-3"
        assert new_run_path(tmp_path, name="tuned", stem="wine") == tmp_path / "tuned"

    @pytest.mark.parametrize("name", ["", "..", "a/b", ".a", "-a", "a\nb", "a\x1b[31m", "a\udcff"])
    def test_names_that_are_no_folder_names(self, tmp_path: Path, name: str) -> None:
        with pytest.raises(RunFolderError) as caught:
            new_run_path(tmp_path, name=name, stem="wine")
        assert str(caught.value) == (
            f"--name {name!r}: must be the name of one folder, without slashes or control "
            "characters, and with no dot or hyphen in front\n"
            "Use --runs-dir for the place: --runs-dir my/runs --name first."
        )

    def test_a_folder_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(RunFolderError) as caught:
            load_run(tmp_path / "run")
        assert str(caught.value) == (
            f"{tmp_path / 'run'}: no such run folder\nCheck --runs-dir and --name."
        )

    def test_a_folder_of_something_else(self, tmp_path: Path) -> None:
        with pytest.raises(RunFolderError) as caught:
            check_is_run_folder(tmp_path)
        assert str(caught.value) == (
            f"{tmp_path}: has no study.journal, so it is not a run folder\n"
            "Name a folder that dltune search or dltune train has written."
        )

    def test_a_journal_that_is_damaged(self, tmp_path: Path, recipe: Recipe) -> None:
        write_trials(tmp_path / "run", recipe)
        journal = tmp_path / "run" / "study.journal"
        journal.write_text("not a journal\n" + journal.read_text())
        with pytest.raises(RunFolderError) as caught:
            load_run(tmp_path / "run")
        assert caught.value.found.startswith(
            f"{journal}: damaged, or not of a dltune study (JSONDecodeError: "
        )
        assert caught.value.hint == (
            "Start again with --name and a new name; the CSV files can still be read."
        )

    def test_a_folder_in_which_another_process_writes(self, tmp_path: Path, recipe: Recipe) -> None:
        folder = RunFolder.create(tmp_path / "run", recipe, about())
        program = (
            "from pathlib import Path\nfrom dltune.runs.folder import RunFolder\n"
            f"try: RunFolder.open(Path({str(tmp_path / 'run')!r}), begin=print)\n"
            "except Exception as error: print(error)"
        )
        command = [sys.executable, "-c", program]
        said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
        folder.close()
        assert said.stdout == (
            f"{tmp_path / 'run'}: another dltune process is writing in this run folder\n"
            "Wait for it, stop it with Ctrl-C, or start a study with another --name.\n"
        )
        opened(tmp_path / "run").close()
