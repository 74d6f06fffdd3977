"""Trials whose config gives no data to train on: rows like any other, and the study goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dltune.errors import DataError
from dltune.recipe.files import load_recipe
from dltune.runs.run import load_run
from dltune.search.events import Ending, StudyEnd
from dltune.search.study import run_study
from dltune.training.history import TrialState

NO_COLUMN = "data: ../../points.csv: no column is left to learn from (3 columns: a, b, y)"
RECIPE = """\
[data]
source = "points.csv"
target = "y"
drop = {choice = DROPS}
[model]
hidden = [4]
[optim]
lr = {log = [1e-3, 1e-1], points = 4}
[train]
epochs = 1
device = "cpu"
"""
GOOD, BAD = [], ["a", "b"]
HOW = [
    pytest.param({"workers": 1, "stack": "off"}, id="in process"),
    pytest.param({"workers": 1, "stack": 4}, id="in process, stacked"),
    pytest.param({"workers": 1, "stack": "auto"}, id="in process, measured"),
    pytest.param({"workers": 2, "stack": "off"}, id="two workers"),
    pytest.param({"workers": 2, "stack": "auto"}, id="two workers, measured"),
]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a table of 60 rows in it."""
    monkeypatch.chdir(tmp_path)
    rows = [f"{n % 7},{n % 5},{3 * (n % 7) - n % 5}.5" for n in range(60)]
    (tmp_path / "points.csv").write_text("\n".join(["a,b,y", *rows]) + "\n")
    return tmp_path


def search(drops: list[list[str]], *overrides: str, **how: Any) -> StudyEnd:
    """A grid over what is left out, then the rate, in this order."""
    Path("own.toml").write_text(RECIPE.replace("DROPS", str(drops).replace("'", '"')))
    recipe = load_recipe("own.toml", overrides=overrides)
    return run_study(recipe, path=Path("runs/own"), strategy="grid", **{"stack": "off"} | how)


def states(end: StudyEnd) -> str:
    return "".join(one.state[0] for one in end.trials)


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize(
    ("drops", "expected"),
    [
        pytest.param([GOOD, BAD], "ccccffff", id="later"),
        pytest.param([BAD, GOOD], "ffffcccc", id="first"),
    ],
)
def test_a_trial_without_data_has_failed(
    place: Path, how: dict[str, Any], drops: list[list[str]], expected: str
) -> None:
    end = search(drops, **how)
    assert (end.ending, states(end)) == (Ending.COMPLETE, expected)
    assert {one.reason for one in end.trials if one.state is TrialState.FAILED} == {NO_COLUMN}
    run = load_run(end.path)
    assert run.about.data.task == "regression"
    assert run.about.data.examples["dev"] == 12
    assert [trial.state for trial in run.trials] == [trial.state for trial in end.trials]


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("drops", [[GOOD, BAD], [BAD, GOOD]], ids=["later", "first"])
def test_a_resume_goes_past_it(place: Path, workers: int, drops: list[list[str]]) -> None:
    search(drops, trials=2, workers=workers)
    end = run_study(None, path=Path("runs/own"), trials=8, resume=True, stack="off")
    assert (end.ending, end.trained) == (Ending.COMPLETE, 6)
    assert states(end) == ("ccccffff" if drops[0] is GOOD else "ffffcccc")


@pytest.mark.parametrize("workers", [1, 2])
def test_where_no_trial_has_data_the_study_ends_like_any_that_fails(
    place: Path, workers: int
) -> None:
    end = search([BAD, ["b", "a"]], workers=workers)
    assert (end.ending, states(end)[:5]) == (Ending.STOPPED, "fffff")
    assert end.reason == f"the first 5 trials all failed alike: {NO_COLUMN}"
    assert load_run(end.path).about.data.task is None
    # With a column more there is one to learn from, and then the run knows its task.
    text = Path("points.csv").read_text().splitlines()
    wider = [f"c,{text[0]}", *(f"{n % 3},{line}" for n, line in enumerate(text[1:]))]
    Path("points.csv").write_text("\n".join(wider) + "\n")
    again = run_study(None, path=Path("runs/own"), resume=True, accept_changes=True, stack="off")
    assert again.ending is Ending.COMPLETE
    assert load_run(end.path).about.data.task == "regression"


def test_without_a_range_over_data_it_is_a_mistake(place: Path) -> None:
    with pytest.raises(DataError) as mistake:
        search([GOOD], 'data.drop=["a", "b"]')
    assert mistake.value.found == NO_COLUMN.removeprefix("data: ../../")
    assert mistake.value.hint.startswith("Keep at least one column")
    assert not Path("runs").exists()


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize(
    ("typed", "reason"),
    [
        pytest.param(
            "data.split.train-dev={choice = [0.001, 0.1]}",
            "data: ../../points.csv: the train-dev set is empty: its share of 60 examples",
            id="an empty split",
        ),
        pytest.param(
            "data.split.train-dev={choice = [0.02, 0.1]}",  # seen when it is moved to the device
            "data: points: the target is constant in the train-dev split of 1 examples",
            id="a constant target",
        ),
        pytest.param(
            "objective.loss={choice = ['cross-entropy', 'mse']}",
            'setting: objective.loss = "cross-entropy" is for classification',
            id="a loss of another task",
        ),
        pytest.param(
            "regularize.label_smoothing={choice = [0.1, 0.0]}",
            "setting: regularize.label_smoothing = 0.1: regression has no labels",
            id="labels to smooth",
        ),
        pytest.param(
            "model={choice = [{name = 'cnn'}, {name = 'mlp', hidden = [4]}]}",
            "model: ",
            id="a model for images",
        ),
        pytest.param(
            "data.categorical={choice = [['z'], ['a']]}",
            "data: ../../points.csv: no column 'z', which data.categorical names",
            id="a column that is not there",
        ),
    ],
)
def test_whatever_a_config_does_to_data_task_or_model(
    place: Path, how: dict[str, Any], typed: str, reason: str
) -> None:
    """The first value is the wrong one; each value has four rates."""
    key = typed.partition("=")[0]
    end = search([GOOD], "optim.lr=0.01", "data.drop=[]", typed, **how)
    assert (end.ending, states(end)) == (Ending.COMPLETE, "fc"), key
    assert end.trials[0].reason.startswith(reason)
