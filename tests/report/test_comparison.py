"""Two runs side by side, at 80 columns and as a document."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.cells import cell_len

from dltune.report.comparison import comparison_document, render_comparison
from dltune.runs.comparison import Comparison, compare
from dltune.runs.overview import Overview, overview
from dltune.runs.run import load_run
from tests.runs.folders import make_run, session
from tests.search.recipes import small

NOW = datetime.datetime(2026, 2, 1, tzinfo=datetime.UTC)
Compared = tuple[Comparison, tuple[Overview, Overview]]


def compared(first: Path, second: Path) -> Compared:
    one, other = (load_run(path, histories="none") for path in (first, second))
    lines = [overview(run, is_running=False, now=NOW) for run in (one, other)]
    return compare(one, other), (lines[0], lines[1])


@pytest.fixture(name="two")
def fixture_two(tmp_path: Path) -> Compared:
    """Two searches that can be compared."""
    recipe = small(
        "optim.lr=0.01",
        "model.hidden={choice=[[8],[16],[32],[8,8],[16,16],[32,32],[8,8,8],[16,16,16],[32,32,32]]}",
    )
    changed = session(
        git={"commit": "c0ffee" * 7, "dirty": True}, versions={"torch": "2.7.0"}, ended=None
    )
    return compared(
        make_run(tmp_path / "wine-1", [0.25, None, 0.5], trials=4),
        make_run(tmp_path / "wine-2", [10 / 36], recipe=recipe, seed=3, sessions=[changed]),
    )


def test_two_searches(two: Compared, golden: Callable[[str], str]) -> None:
    assert render_comparison(*two) == golden("runs_compared.txt")


@pytest.mark.parametrize("width", [50, 60, 80, 100])
def test_no_line_is_longer_than_the_terminal(two: Compared, width: int) -> None:
    assert max(map(cell_len, render_comparison(*two, width=width).split("\n"))) <= width


def test_what_cannot_be_compared_is_said_first(tmp_path: Path) -> None:
    other = small("data.seed=1")
    told = session(data={"sklearn:wine#1": "b2" * 32})
    second = make_run(tmp_path / "b", recipe=other, metric="dev_loss", sessions=[told])
    shown = render_comparison(*compared(make_run(tmp_path / "a"), second))
    assert shown.split("\n\n")[0] == (
        "the errors cannot be compared: metric is dev_error in a, dev_loss in b; the data\n"
        "are not the same; data.seed is not given in a, 1 in b"
    )
    assert "dev error:" not in shown
    assert "  objective          0.2500           0.2500\n" in shown
    assert shown.endswith("\n  data sklearn:wine  a1a1a1a1a1       b2b2b2b2b2")


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (0.25, "dev error: the same (36 examples)"),
        (0.25 - 2 / 36, "dev error: 0.0556 lower in b (2 of 36 examples)"),
        (0.25 + 1 / 36, "dev error: 0.0278 higher in b (1 of 36 examples)"),
    ],
)
def test_the_difference_in_examples(error: float, sentence: str, tmp_path: Path) -> None:
    two = compared(make_run(tmp_path / "a", [0.25]), make_run(tmp_path / "b", [error]))
    assert f"\n\n{sentence}\n\n" in render_comparison(*two)


def test_a_copy_differs_in_nothing(tmp_path: Path) -> None:
    """Both have the same name, so that their paths tell them apart."""
    two = compared(make_run(tmp_path / "a" / "run"), make_run(tmp_path / "b" / "run"))
    shown = render_comparison(*two, width=200)
    assert str(tmp_path / "b" / "run") in shown.split("\n")[0]
    assert shown.endswith("\n\nthe recipes are the same\n\nthe conditions are the same")


def test_a_recipe_that_cannot_be_read(tmp_path: Path) -> None:
    first, second = make_run(tmp_path / "a"), make_run(tmp_path / "b")
    (second / "recipe.toml").write_text("[data\n")
    two = compared(first, second)
    shown = render_comparison(*two, width=400)
    assert f"\n\nthe recipe cannot be read: {second / 'recipe.toml'}, line 1" in shown
    assert comparison_document(*two)["recipe"] is None


def test_what_a_sweep_found(tmp_path: Path) -> None:
    paths = []
    for name, found in (("a", 0.0054), ("b", None)):
        path = make_run(tmp_path / name, [], command="lr-find", strategy="")
        (path / "result.json").write_text(json.dumps({"suggestion": found}))
        paths.append(path)
    assert "\n  found  lr 0.0054   -\n" in render_comparison(*compared(*paths))


def test_no_escape_reaches_the_terminal(tmp_path: Path) -> None:
    told = session(versions={"torch": "2\x1b[2J"}, git={"commit": "\x1b]0;x\x07", "dirty": None})
    second = make_run(tmp_path / "b\x1b[31m", sessions=[told], metric="dev_loss")
    shown = render_comparison(*compared(make_run(tmp_path / "a"), second))
    assert all(one.isprintable() for one in shown.replace("\n", ""))
    assert r"b\x1b[31m" in shown


def test_the_document(two: Compared) -> None:
    document = json.loads(json.dumps(comparison_document(*two)))
    assert document["comparable"] is True
    assert document["difference"] == 10 / 36 - 0.25
    first, second = document["runs"]
    assert (first["name"], first["state"], first["states"]) == (
        "wine-1",
        "complete",
        {"complete": 2, "diverged": 1},
    )
    assert (second["state"], second["best_trial"]["dev_error"]) == ("killed", 10 / 36)
    assert second["best_trial"]["examples"]["dev"] == 36
    lr = {"first": "{log = [0.0001, 0.1], points = 4}", "second": "0.01"}
    assert document["recipe"][1] == {"name": "optim.lr", **lr}
    assert {"name": "seed", "first": 0, "second": 3} in document["conditions"]
    assert document["recipe_problem"] is None
