"""The recipes that come with dltune: valid, described by a measurement, and searchable."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dltune.recipe.files import load_recipe
from dltune.search.study import run_study
from tests.docs.consoles import parse

FOLDER = Path(__file__).parents[2] / "recipes"
RECIPES = sorted(FOLDER.glob("*.toml"))

pytestmark = pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)


def header_of(path: Path) -> list[str]:
    """The comment that the file begins with, a line each, without the `#`."""
    lines = path.read_text(encoding="utf-8").splitlines()
    end = next(number for number, line in enumerate(lines) if not line.startswith("#"))
    return [line.removeprefix("#").removeprefix(" ") for line in lines[:end]]


def command_of(path: Path) -> str:
    """The command in the header."""
    (command,) = [line.strip() for line in header_of(path) if line.startswith("  dltune ")]
    return command


def test_the_header_says_what_was_measured_and_how(path: Path) -> None:
    header = header_of(path)
    starts = [number for number, line in enumerate(header) if line.startswith("Measured")]
    assert len(starts) == 1, "the header needs one paragraph that starts with `# Measured`"
    measured = " ".join(header[starts[0] :])
    assert re.search(r"\bseeds? \d", measured)
    assert re.search(r"\btorch \d+\.\d+", measured)
    assert re.search(r"\berror \d", measured)


def test_the_command_of_the_header_is_about_this_recipe(path: Path) -> None:
    context = parse(command_of(path))
    assert context.info_name == "search"
    assert context.params["recipe"] == Path("recipes") / path.name


def test_two_trials_of_its_own_search_complete(path: Path, tmp_path: Path) -> None:
    strategy = parse(command_of(path)).params["strategy"]
    recipe = load_recipe(path, overrides=["train.epochs=1", "train.device=cpu"])
    end = run_study(recipe, path=tmp_path / "run", strategy=strategy, trials=2)
    assert [(result.state.value, result.epochs) for result in end.trials] == [("complete", 1)] * 2
    assert end.best is not None
    assert end.best.test_error is not None
