"""Two runs side by side: what hinders a comparison, and what differs."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import pytest

from dltune.recipe.files import parse_recipe
from dltune.runs.about import DataFacts
from dltune.runs.comparison import Comparison, Difference, compare
from dltune.runs.run import load_run
from tests.runs.folders import make_old_run, make_run, session
from tests.search.recipes import small


def compared(first: Path, second: Path) -> Comparison:
    return compare(load_run(first, histories="none"), load_run(second, histories="none"))


def names(differences: tuple[Difference, ...] | None) -> list[str]:
    return [one.name for one in differences or ()]


def test_a_run_and_its_copy(tmp_path: Path) -> None:
    found = compared(make_run(tmp_path / "a"), make_run(tmp_path / "b"))
    assert (found.obstacles, found.recipe, found.conditions) == ((), (), ())
    assert found.dev_error == 0


def test_the_dev_errors_of_the_best_trials(tmp_path: Path) -> None:
    found = compared(make_run(tmp_path / "a", [0.5, 0.25]), make_run(tmp_path / "b", [0.375, 0.5]))
    assert found.dev_error == 0.125


@pytest.mark.parametrize("outcomes", [[], [None], [float("nan")]], ids=["none", "no best", "nan"])
def test_no_difference_without_two_errors(outcomes: list[float | None], tmp_path: Path) -> None:
    found = compared(make_run(tmp_path / "a", outcomes), make_run(tmp_path / "b"))
    assert found.dev_error is None


@pytest.mark.parametrize(
    ("fields", "obstacle"),
    [
        ({"metric": "dev_loss"}, Difference(name="metric", first="dev_error", second="dev_loss")),
        (
            {"data": DataFacts(task="regression")},
            Difference(name="task", first="classification", second="regression"),
        ),
        (
            {"sessions": [session(data={"sklearn:wine#12": "b2" * 32})]},
            Difference(name="data", first=["a1" * 32], second=["b2" * 32]),
        ),
        (
            {"recipe": small("data.seed=1")},
            Difference(name="data.seed", first="not given", second="1"),
        ),
        (
            {"recipe": small("data.split.dev=0.3")},
            Difference(name="data.split.dev", first="not given", second="0.3"),
        ),
    ],
    ids=["metric", "task", "data", "seed of the split", "split"],
)
def test_what_hinders_a_comparison(
    fields: dict[str, Any], obstacle: Difference, tmp_path: Path
) -> None:
    found = compared(make_run(tmp_path / "a"), make_run(tmp_path / "b", **fields))
    assert found.obstacles == (obstacle,)
    assert found.dev_error is None


def test_the_same_data_in_another_place_hinder_nothing(tmp_path: Path) -> None:
    paths = []
    for name in ("a", "b"):
        text = f'data = {{source = "{name}.csv", target = "y"}}'
        sessions = [session(data={f"../{name}.csv": "a1" * 32})]
        recipe = parse_recipe(text, folder=tmp_path)
        paths.append(make_run(tmp_path / name, [], recipe=recipe, sessions=sessions))
    found = compared(*paths)
    assert found.obstacles == ()
    assert names(found.recipe) == ["data.source"]


def test_without_hashes_another_source_hinders(tmp_path: Path) -> None:
    other = small('data.source="sklearn:digits"')
    found = compared(make_old_run(tmp_path / "a"), make_run(tmp_path / "b", recipe=other))
    assert names(found.obstacles) == ["data.source"]


def test_the_same_file_from_run_folders_of_different_depth(tmp_path: Path) -> None:
    recipe = parse_recipe('data = {source = "a.csv", target = "y"}', folder=tmp_path)
    sources = ["../a.csv", "../../deep/../a.csv"]
    first, second = (
        make_run(path, [], recipe=recipe, sessions=[session(data={source: "a1" * 32})])
        for path, source in zip((tmp_path / "a", tmp_path / "deep" / "b"), sources, strict=True)
    )
    found = compared(first, second)
    assert (found.recipe, found.conditions) == ((), ())


def test_conditions_that_differ(tmp_path: Path) -> None:
    other = session(
        versions={"torch": "2.7.0"},
        git={"commit": "c0ffee", "dirty": True},
        code={"net.py": "d4" * 32},
        threads=2,
        accepted=("net.py has changed",),
    )
    second = make_run(
        tmp_path / "b",
        strategy="evolution",
        options={"population": 8},
        seed=3,
        sessions=[dataclasses.replace(session(), started="2026-01-01T00:00:00+00:00"), other],
    )
    # Both trials of the second run are of its last session.
    found = compared(make_run(tmp_path / "a"), second)
    assert [(one.name, one.first, one.second) for one in found.conditions] == [
        ("strategy", "random", "evolution"),
        ("seed", 0, 3),
        ("git commit", None, "c0ffee"),
        ("git has changes", None, True),
        ("torch", "2.6.0", "2.7.0"),
        ("threads", None, 2),
        ("accepted", None, "net.py has changed"),
        ("population", None, 8),
        ("code net.py", None, "d4" * 32),
    ]
    assert found.obstacles == ()


def test_a_recipe_that_cannot_be_read(tmp_path: Path) -> None:
    first, second = make_run(tmp_path / "a"), make_run(tmp_path / "b")
    (second / "recipe.toml").write_text("[data\n")
    found = compared(first, second)
    assert found.recipe is None
    assert str(second / "recipe.toml") in found.problem
    assert found.dev_error == 0  # what was measured is known all the same


def test_nothing_depends_on_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b"):
        make_run(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    found = compared(Path("a"), Path(os.path.abspath("b")))
    assert (found.recipe, found.conditions) == ((), ())
