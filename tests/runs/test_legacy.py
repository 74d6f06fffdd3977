"""Run folders of dltune 0.1.0 as it first was, kept in `of_0_1_0` with what it said of them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from dltune.cli.main import main
from dltune.errors import RunFolderError
from dltune.runs.about import DataFacts
from dltune.runs.legacy import upgraded
from dltune.runs.rebuild import rebuild_csv
from dltune.runs.run import load_run
from dltune.search.study import run_study
from dltune.training.history import TrialRecord, TrialState

OLD = Path(__file__).parent / "of_0_1_0"


@pytest.mark.parametrize("name", ["search", "train"])
@pytest.mark.parametrize(("command", "code"), [("report", 0), ("diagnose", 1)])
def test_commands_say_what_they_said(
    name: str,
    command: str,
    code: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shutil.copytree(OLD / name, tmp_path / name)  # a report rewrites the CSV files
    monkeypatch.chdir(tmp_path)
    found = main([command, name])
    said = "diagnosis" if command == "diagnose" else "report"
    assert capsys.readouterr().out == (OLD / f"{name}-{said}.txt").read_text()
    # of the search one trial diverged, which a report counts
    assert found == (1 if (command, name) == ("report", "search") else code)


def test_what_an_old_folder_holds() -> None:
    run = load_run(OLD / "search")
    assert (run.about.command, run.about.strategy, run.about.format) == ("search", "random", 0)
    assert run.about.data == DataFacts(
        task="classification",
        task_inferred="every error is a whole count of examples",
        examples={"train": 106, "dev": 36, "test": 36, "train_dev": None},
    )
    assert run.states == {"complete": 5, "diverged": 1}
    assert run.best is not None
    assert run.best.number == 2
    assert run.best.examples == {"train": 106, "dev": 36, "test": 36}
    assert [len(trial.history) for trial in run.trials] == [trial.epochs for trial in run.trials]
    train = load_run(OLD / "train")
    assert (train.about.command, train.about.strategy, train.about.has_target) == (
        "train",
        "",
        True,
    )
    assert train.about.data.task == "regression"


def test_its_csv_files_are_rebuilt_from_its_journal(tmp_path: Path) -> None:
    shutil.copytree(OLD / "search", tmp_path / "search")
    (tmp_path / "search" / "trials.csv").unlink()
    rebuild_csv(tmp_path / "search")
    assert len((tmp_path / "search" / "trials.csv").read_text().splitlines()) == 7
    history = (OLD / "search" / "history.csv").read_text()
    assert (tmp_path / "search" / "history.csv").read_text() == history


def test_a_resume_refuses_it_and_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "search"
    shutil.copytree(OLD / "search", path)
    before = {file: file.read_bytes() for file in path.iterdir()}
    with pytest.raises(RunFolderError) as refused:
        run_study(None, path=path, trials=9, resume=True)
    assert str(refused.value) == (
        f"{path} was written by an older dltune, without hashes of its data and code: nothing "
        "tells whether new trials could be compared with the old ones\n"
        "Start a new study with another --name; report and diagnose read the old one."
    )
    assert {file: file.read_bytes() for file in path.iterdir()} == before


OF_STUDY = {
    "strategy": "random",
    "options": {},
    "seed": 0,
    "trials": 1,
    "metric": "dev_error",
    "examples": {},
    "version": "0.1.0",
}


def record(config: dict[str, object], **fields: object) -> TrialRecord:
    return TrialRecord(
        number=0,
        seed=0,
        state=TrialState.COMPLETE,
        config=config,
        **{"train_error": 0.1, "dev_error": 0.2, "examples": {"train": 100, "dev": 50}} | fields,  # type: ignore[arg-type]
    )


COUNTS = "every error is a whole count of examples"
NO_COUNTS = "the errors are no whole counts of examples"


@pytest.mark.parametrize(
    ("trial", "task"),
    [
        pytest.param(record({"data.task": "regression"}), ("regression", ""), id="named"),
        pytest.param(record({"objective.loss": "huber"}), ("regression", ""), id="by the loss"),
        pytest.param(
            record({"objective.loss": "cross-entropy"}), ("classification", ""), id="cross-entropy"
        ),
        pytest.param(record({}), ("classification", COUNTS), id="by counts"),
        pytest.param(record({}, dev_error=0.2049), ("regression", NO_COUNTS), id="no counts"),
        pytest.param(record({}, dev_error=2.0), ("regression", NO_COUNTS), id="more than all"),
        pytest.param(record({}, train_error=None, dev_error=None), (None, ""), id="nothing tells"),
        pytest.param(
            record({}, dev_error=float("nan"), train_error=None), (None, ""), id="not a number"
        ),
        pytest.param(
            # 100,000 examples, of which 20,000 were measured: 1/20,000 is a count of those only.
            record({}, train_error=0.00005, examples={"train": 100_003, "dev": 50}),
            ("classification", COUNTS),
            id="measured in part",
        ),
        pytest.param(
            record({}, train_error=1 / 30_000, examples={"train": 90_001, "dev": 30_000}),
            ("classification", COUNTS),
            id="as many as dev",
        ),
    ],
)
def test_the_task_is_told_as_that_version_told_it(
    trial: TrialRecord, task: tuple[str | None, str], tmp_path: Path
) -> None:
    about, _ = upgraded(OF_STUDY, [trial], tmp_path / "recipe.toml")
    assert (about.data.task, about.data.task_inferred) == task


@pytest.mark.parametrize(
    ("recipe", "has"),
    [
        ("[objective]\ntarget_error = 0.1\n", True),
        ("[objective]\nmetric = 'dev_loss'\n", False),
        ("", False),
        ("not toml", False),
        (None, False),
    ],
)
def test_a_target_is_one_that_the_recipe_names(
    recipe: str | None, has: bool, tmp_path: Path
) -> None:
    if recipe is not None:
        (tmp_path / "recipe.toml").write_text(recipe)
    about, _ = upgraded(OF_STUDY, [], tmp_path / "recipe.toml")
    assert about.has_target is has
