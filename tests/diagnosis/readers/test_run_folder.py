from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest
from dltune.diagnosis.readers.cells import setting
from dltune.diagnosis.readers.run_folder import COLUMNS, find_run, read_run
from dltune.runs.records import StoredTrial

from dltune.errors import RunFolderError
from dltune.recipe.schema import Config, flatten
from dltune.runs.csv_files import TrialsCsv
from dltune.training.history import TrialRecord, TrialState

RECIPE = """[data]
source = "sklearn:digits"
[objective]
target_error = 0.05
"""


def row_of(number: int, **changes: Any) -> dict[str, str]:
    row = {
        "trial": str(number),
        "state": "complete",
        "reason": "",
        "objective": "0.2",
        "best_epoch": "7",
        "epochs": "10",
        "train_error": "0.1",
        "dev_error": "0.2",
        "test_error": "",
        "train_dev_error": "",
        "train_examples": "100",
        "dev_examples": "50",
        "test_examples": "",
        "train_dev_examples": "",
        "model.hidden": "[64, 64]",
        "optim.lr": "0.001",
    }
    return row | {key: str(value) for key, value in changes.items()}


def write_run(folder: Path, *rows: dict[str, str], recipe: str = RECIPE) -> Path:
    folder.mkdir(parents=True)
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, fieldnames=list(row_of(0)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows or [row_of(0)])
    (folder / "trials.csv").write_text(buffer.getvalue())
    (folder / "recipe.toml").write_text(recipe)
    return folder


def refusal_of(folder: Path) -> str:
    with pytest.raises(RunFolderError) as refusal:
        read_run(str(folder), runs_dir=folder.parent)
    return str(refusal.value).replace(str(folder), "RUN")


def test_what_the_search_writes_is_read_back(tmp_path: Path) -> None:
    config = flatten(Config.model_validate({"data": {"source": "sklearn:digits"}}))
    complete = TrialRecord(
        number=0, seed=5, state=TrialState.COMPLETE, objective=0.1, best_epoch=3, epochs=4,
        train_error=0.05, dev_error=0.1, test_error=0.15, train_loss=0.3,
    )  # fmt: skip
    diverged = TrialRecord(
        number=1, seed=6, state=TrialState.DIVERGED, reason="non-finite loss", epochs=1,
        train_error=float("nan"), dev_error=float("inf"),
    )  # fmt: skip
    examples = {"train": 60, "dev": 20, "test": 20, "train_dev": None}
    table = TrialsCsv(tmp_path / "trials.csv")
    table.rewrite([StoredTrial(result=one, config=config, examples=examples)
                   for one in (complete, diverged)])  # fmt: skip
    (tmp_path / "recipe.toml").write_text('[data]\nsource = "sklearn:digits"\n')

    run = read_run(str(tmp_path), runs_dir=tmp_path)

    assert run.target_error is None
    assert (run.task, run.task_inferred) == (
        "classification",
        "every error is a whole count of examples",
    )
    first, second = run.trials
    assert (first.train_error, first.dev_error, first.test_error) == (0.05, 0.1, 0.15)
    assert (first.train_examples, first.dev_examples, first.train_dev_examples) == (60, 20, None)
    assert (first.best_epoch, first.epochs, first.objective) == (3, 4, 0.1)
    assert dict(first.config) == config
    assert (second.state, second.reason) == ("diverged", "non-finite loss")
    assert (second.train_error, second.dev_error, second.objective) == (None, None, None)
    assert run.best() == first


def test_a_search_that_runs_has_gaps_and_another_order(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", row_of(7), row_of(2), row_of(4, objective=0.2))
    run = read_run(str(folder), runs_dir=tmp_path)
    assert [row.number for row in run.trials] == [2, 4, 7]
    assert run.best().number == 2  # the first of equals is the lowest number
    with pytest.raises(RunFolderError) as refusal:
        run.trial(3)
    assert refusal.value.found == f"{folder} has no trial 3: its 3 trials are numbered 2 to 7"
    assert refusal.value.hint == "Type --trial 2, or --all."


def test_best_is_the_smallest_objective_of_the_complete(tmp_path: Path) -> None:
    rows = [
        row_of(0, objective=0.3),
        row_of(1, objective=0.2),
        row_of(2, objective=0.1, state="diverged", reason="non-finite loss"),
        row_of(3, objective=0.2),
        row_of(4, objective="nan"),
    ]
    run = read_run(str(write_run(tmp_path / "a", *rows)), runs_dir=tmp_path)
    assert run.best().number == 1
    assert run.trial(3).number == 3


def test_a_run_is_found_by_name_and_by_path(tmp_path: Path, monkeypatch: Any) -> None:
    folder = write_run(tmp_path / "runs" / "digits-1")
    monkeypatch.chdir(tmp_path)
    assert find_run("digits-1", runs_dir=Path("runs")).resolve() == folder
    assert find_run("runs/digits-1", runs_dir=Path("elsewhere")).resolve() == folder


def test_a_run_that_is_not_there(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    for name in ("digits-1", "housing"):
        write_run(runs / name)
    with pytest.raises(RunFolderError) as refusal:
        find_run("digit-1", runs_dir=runs)
    assert str(refusal.value) == (
        f"there is no run digit-1, neither as a folder nor in {runs}\n"
        f"Did you mean digits-1? Runs in {runs}: digits-1, housing."
    )
    with pytest.raises(RunFolderError) as refusal:
        find_run("digits-1", runs_dir=tmp_path / "none")
    assert refusal.value.hint == f"Runs in {tmp_path / 'none'}: none."


def test_a_long_list_of_runs_is_cut(tmp_path: Path) -> None:
    for number in range(9):
        write_run(tmp_path / f"run-{number}")
    with pytest.raises(RunFolderError) as refusal:
        find_run("zzz", runs_dir=tmp_path)
    names = ", ".join(f"run-{number}" for number in range(8))
    assert refusal.value.hint == f"Runs in {tmp_path}: {names}, ...."


def test_a_folder_without_trials_and_a_file(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert refusal_of(tmp_path / "empty") == (
        "RUN has no trials.csv: it is no run folder, or no trial has ended\n"
        f"Runs in {tmp_path}: none."
    )
    folder = write_run(tmp_path / "a")
    assert refusal_of(folder / "trials.csv") == (
        f"RUN is a file: a run is a folder with a trials.csv in it\nType dltune diagnose {folder}."
    )
    recipe = tmp_path / "recipe.toml"
    recipe.touch()
    assert refusal_of(recipe) == (  # no advice to diagnose the folder of a recipe
        f"RUN is a file: a run is a folder with a trials.csv in it\nRuns in {tmp_path}: a."
    )


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (
            {"dev_error": "abc"},
            "RUN/trials.csv, line 3, column dev_error is 'abc': a number or an empty cell is "
            "needed\nMend the cell, or take line 3 out of the file.",
        ),
        (
            {"train_error": "-0.1"},
            "RUN/trials.csv, line 3, column train_error is '-0.1': an error is 0 or more\n"
            "Mend the cell, or take line 3 out of the file.",
        ),
        (
            {"dev_examples": "49.5"},
            "RUN/trials.csv, line 3, column dev_examples is '49.5': a whole number, at least 0, is "
            "needed\nMend the cell, or take line 3 out of the file.",
        ),
        (
            {"trial": ""},
            "RUN/trials.csv, line 3, column trial is '': the number of the trial is needed\n"
            "Mend the cell, or take line 3 out of the file.",
        ),
        (
            {"state": "completed"},
            "RUN/trials.csv, line 3, column state is 'completed': one of complete, pruned, "
            "diverged, failed, interrupted is needed; did you mean complete?\n"
            "Mend the cell, or take line 3 out of the file.",
        ),
        (
            {"state": "7"},
            "RUN/trials.csv, line 3, column state is '7': one of complete, pruned, "
            "diverged, failed, interrupted is needed\n"
            "Mend the cell, or take line 3 out of the file.",
        ),
    ],
)
def test_a_damaged_cell_is_named(changes: dict[str, str], text: str, tmp_path: Path) -> None:
    folder = write_run(tmp_path / "a", row_of(0), row_of(1) | changes)
    assert refusal_of(folder) == text


def test_a_share_above_one_is_named(tmp_path: Path) -> None:
    recipe = '[data]\nsource = "a.csv"\ntask = "classification"\n'
    folder = write_run(tmp_path / "a", row_of(4, dev_error=1.5), recipe=recipe)
    assert refusal_of(folder) == (
        "RUN/trials.csv, trial 4, column dev_error is 1.5: the error of a classification is a "
        "share, from 0 to 1\n"
        'Mend the cell, or set data.task = "regression" in recipe.toml.'
    )


def test_a_cut_off_line_is_named(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "a", row_of(0), row_of(1))
    file = folder / "trials.csv"
    file.write_text(file.read_text().rstrip("\n").removesuffix(',"[64, 64]",0.001'))
    assert refusal_of(folder) == (
        "RUN/trials.csv, line 3 has 14 cells, but the header has 16\nTake line 3 out of the file."
    )


@pytest.mark.parametrize("column", COLUMNS)
def test_a_missing_column_is_named(column: str, tmp_path: Path) -> None:
    folder = write_run(tmp_path / "a")
    file = folder / "trials.csv"
    header, _, rest = file.read_text().partition("\n")
    names = [f"{name}s" if name == column else name for name in header.split(",")]
    file.write_text(",".join(names) + "\n" + rest)
    assert refusal_of(folder) == (
        f"RUN/trials.csv has no column {column}\nRename {column}s to {column}."
    )


def test_another_table_is_not_a_run(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "a")
    (folder / "trials.csv").write_text("x,y\n1,2\n")
    assert refusal_of(folder) == (
        "RUN/trials.csv has no column trial\n"
        "Diagnose a run that dltune wrote, or type --train-error and --dev-error."
    )
    (folder / "trials.csv").write_bytes(b"\xff\xfe")
    assert refusal_of(folder).startswith("RUN/trials.csv cannot be read as a table: 'utf-8' codec")


def test_a_run_without_a_trial_yet(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "a")
    header = (folder / "trials.csv").read_text().partition("\n")[0]
    (folder / "trials.csv").write_text(header + "\n")
    assert refusal_of(folder) == (
        "RUN/trials.csv has no trials yet\nWait until the first trial has ended."
    )


def test_a_missing_and_a_damaged_recipe(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "a", recipe="[data\n")
    assert refusal_of(folder).startswith("RUN/recipe.toml is not a recipe: ")
    assert refusal_of(folder).endswith("Copy the recipe of the run to RUN/recipe.toml.")
    (folder / "recipe.toml").unlink()
    assert refusal_of(folder) == (
        "RUN/recipe.toml is missing: the diagnosis takes the task and the target error from it\n"
        "Copy the recipe of the run to RUN/recipe.toml."
    )


@pytest.mark.parametrize("target", ["-0.1", "true", '"low"', "nan", "{ uniform = [0, 1] }"])
def test_a_target_that_is_no_error(target: str, tmp_path: Path) -> None:
    folder = write_run(tmp_path / "a", recipe=f"[objective]\ntarget_error = {target}\n")
    text = refusal_of(folder)
    assert text.startswith("RUN/recipe.toml, objective.target_error is ")
    assert text.endswith("Type --target-error with the human-level or best known error.")


def test_no_complete_trial_and_no_such_trial(tmp_path: Path) -> None:
    rows = [row_of(2, state="diverged"), row_of(3, state="failed"), row_of(5, state="diverged")]
    run = read_run(str(write_run(tmp_path / "a", *rows)), runs_dir=tmp_path)
    assert not run.has_complete
    with pytest.raises(RunFolderError) as refusal:
        run.best()
    assert str(refusal.value) == (
        f"{run.folder} has no complete trial: 2 diverged, 1 failed\n"
        "Type --trial 2 for what became of it, or --all."
    )
    with pytest.raises(RunFolderError) as refusal:
        run.trial(9)
    assert str(refusal.value) == (
        f"{run.folder} has no trial 9: its 3 trials are numbered 2 to 5\nType --trial 5, or --all."
    )


@pytest.mark.parametrize(
    ("recipe", "changes", "task"),
    [
        pytest.param('[data]\ntask = "regression"', {}, ("regression", ""), id="named"),
        pytest.param('[objective]\nloss = "huber"', {}, ("regression", ""), id="by the loss"),
        pytest.param(
            '[objective]\nloss = { choice = ["mse", "huber"] }', {}, ("regression", ""),
            id="by all losses",
        ),
        pytest.param(
            '[objective]\nloss = "cross-entropy"', {}, ("classification", ""), id="by cross-entropy"
        ),
        pytest.param(
            "", {}, ("classification", "every error is a whole count of examples"), id="by counts"
        ),
        pytest.param(
            "", {"dev_error": 0.2049}, ("regression", "the errors are no whole counts of examples"),
            id="no counts",
        ),
        pytest.param(
            "", {"dev_error": 2.0}, ("regression", "the errors are no whole counts of examples"),
            id="more than all",
        ),
        pytest.param("", {"train_error": "", "dev_error": ""}, (None, ""), id="nothing tells"),
    ],
)  # fmt: skip
def test_the_task(
    recipe: str, changes: dict[str, Any], task: tuple[Any, str], tmp_path: Path
) -> None:
    run = read_run(
        str(write_run(tmp_path / "a", row_of(0, **changes), recipe=recipe)), runs_dir=tmp_path
    )
    assert (run.task, run.task_inferred) == task


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("0.001", 0.001),
        ("20", 20),
        ("true", True),
        ("False", False),
        ("[0.1, 0.2]", [0.1, 0.2]),
        ("[]", []),
        ("relu", "relu"),
        ("one, two", "one, two"),
    ],
)
def test_a_setting_is_read_by_its_type(text: str, value: object) -> None:
    assert setting(text) == value
    assert type(setting(text)) is type(value)
