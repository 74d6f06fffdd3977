"""Trials that go wrong: data, a reason to stop, and never a traceback."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from dltune.recipe.files import load_recipe, parse_recipe
from dltune.search.events import Ending
from dltune.search.failures import failed_alike
from dltune.training.history import TrialRecord, TrialState
from tests.search.recipes import DIVERGING, looped_study, small
from tests.search.test_study import table


def test_diverged_trials_are_data(tmp_path: Path) -> None:
    recipe = parse_recipe(DIVERGING.replace("[1e6, 1e9]", "[1e-3, 1e9], points = 2"), folder=".")
    end = looped_study(recipe, path=tmp_path / "run", strategy="grid")
    assert [(one.state.value, one.reason) for one in end.trials] == [
        ("complete", ""),
        ("diverged", "non-finite loss in epoch 1"),
    ]
    assert end.best == end.trials[0]
    assert [row["state"] for row in table(tmp_path / "run" / "trials.csv")] == [
        "complete",
        "diverged",
    ]


def test_a_study_in_which_everything_diverges_stops(tmp_path: Path) -> None:
    end = looped_study(small(text=DIVERGING), path=tmp_path / "run", trials=64)
    assert (end.ending, end.trained, end.best) == (Ending.STOPPED, 20, None)
    assert end.reason == "the first 20 trials all diverged alike: non-finite loss in epoch 1"
    assert not (tmp_path / "run" / "best.toml").exists()
    assert not (tmp_path / "run" / "checkpoints" / "best.json").exists()


def test_a_mistake_in_the_users_model_stops_the_study_and_resume_retries(
    tmp_path: Path,
) -> None:
    (tmp_path / "net.py").write_text(
        textwrap.dedent(
            """
            import torch

            class Net(torch.nn.Module):
                def __init__(self, width, outputs):
                    super().__init__()
                    self.first = torch.nn.Linear(13, width)
                    self.trained = torch.nn.Linear(5, outputs)
                    self.last = torch.nn.Linear(width, outputs)

                def forward(self, x):  # the mistake shows in training only
                    return (self.trained if self.training else self.last)(self.first(x))

            def build(inputs, outputs, width):
                return Net(width, outputs)
            """
        )
    )
    (tmp_path / "recipe.toml").write_text(
        'data.source = "sklearn:wine"\n[model]\nfactory = "net.py:build"\n'
        'width = {int = [8, 99]}\n[train]\nepochs = 1\ndevice = "cpu"\n'
    )
    recipe = load_recipe(tmp_path / "recipe.toml")
    path = tmp_path / "runs" / "run"
    end = looped_study(recipe, path=path, trials=30)
    assert (end.ending, end.trained) == (Ending.STOPPED, 5)
    assert end.reason.startswith("the first 5 trials all failed alike: ")
    assert "shapes cannot be multiplied" in end.reason
    reasons = {row["reason"] for row in table(path / "trials.csv")}
    assert len(reasons) == 5  # each with its own width
    again = looped_study(recipe, path=path, resume=True)
    assert (again.ending, again.trained) == (Ending.STOPPED, 5)
    assert again.reason.startswith("the next 5 trials all failed alike: ")
    (tmp_path / "net.py").write_text(
        (tmp_path / "net.py").read_text().replace("Linear(5,", "Linear(width,")
    )
    mended = looped_study(recipe, path=path, trials=12, resume=True)
    assert (mended.ending, mended.trained) == (Ending.COMPLETE, 12)  # the failed ones too
    assert [one.state for one in mended.trials] == [TrialState.COMPLETE] * 12


def test_values_that_make_no_config_are_failed_trials(tmp_path: Path) -> None:
    recipe = parse_recipe(
        '[data]\nsource = "sklearn:wine"\n[model]\nhidden = {choice = [[4], [4, 4], [8]]}\n'
        'dropout = {choice = [0.1, 0.2, [0.3]]}\n[train]\nepochs = 1\ndevice = "cpu"\n',
        folder=".",
    )
    end = looped_study(recipe, path=tmp_path / "run", strategy="grid")
    failed = [one for one in end.trials if one.state is TrialState.FAILED]
    assert [tuple(one.values.values()) for one in failed] == [([4, 4], [0.3])]
    assert failed[0].reason == (
        "recipe: model: dropout has 1 numbers for 2 hidden layers; must be one number, "
        "or one a layer"
    )
    rows = table(tmp_path / "run" / "trials.csv")
    assert [row["model.hidden"] for row in rows] == ["[4]"] * 3 + ["[4, 4]"] * 3 + ["[8]"] * 3
    assert [row["dev_examples"] for row in rows[:4]] == ["36"] * 4
    assert (rows[5]["dev_examples"], rows[5]["optim.lr"]) == ("", "")
    assert sum(one.state is TrialState.COMPLETE for one in end.trials) == 8


@pytest.mark.parametrize(
    ("states", "first", "stops"),
    [
        pytest.param(["failed"] * 4, 0, False, id="four failures"),
        pytest.param(["failed"] * 5, 0, True, id="five"),
        pytest.param(["failed"] * 64, 0, True, id="a whole stack"),
        pytest.param([*["failed"] * 5, "complete"], 0, True, id="five, then a success"),
        pytest.param(["complete", *["failed"] * 5], 0, False, id="one success before"),
        pytest.param([*["failed"] * 4, "diverged"], 0, False, id="not alike"),
        pytest.param(["diverged"] * 5, 0, False, id="five diverged"),
        pytest.param(["diverged"] * 20, 0, True, id="twenty diverged"),
        pytest.param(["failed"] * 4, 5, False, id="resumed after the stop"),
        pytest.param(["failed"] * 5, 5, True, id="stops again"),
        pytest.param([], 0, False, id="nothing has ended"),
    ],
)
def test_when_a_study_stops(states: list[str], first: int, stops: bool) -> None:
    results = [
        TrialRecord(number=n, seed=0, state=TrialState(state), reason=f"reason of {n}")
        for n, state in enumerate(states, start=first)
    ]
    assert (failed_alike(results) is not None) == stops
