"""Studies on the user's own files: found before there is a run folder, mistakes told as typed."""

from __future__ import annotations

from pathlib import Path

import pytest

from dltune.errors import DataError, DltuneError, RecipeError
from dltune.recipe.files import load_recipe
from dltune.recipe.recipe import Recipe
from dltune.runs.run import load_run
from tests.search.recipes import looped_study

TABLE = "data.source = 'points.csv'\ndata.target = 'y'\n"
OWN = """\
data.source = "rings.py:load"
model.factory = "net.py:build"
model.width = {int = [2, 4]}
train.epochs = 1
train.device = "cpu"
"""
RINGS = """\
def load():
    X = [[n % 7, n % 5] for n in range(40)]
    return X, ["odd" if n % 2 else "even" for n in range(40)]
"""
NET = """\
from torch import nn
def build(inputs, outputs, width):
    return nn.Sequential(nn.Linear(*inputs, width), nn.ReLU(), nn.Linear(width, outputs))
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder without any run folder; recipes stand in `recipes`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recipes").mkdir()
    rows = [f"{n % 7},{n % 5},{3 * (n % 7) - n % 5}.5" for n in range(40)]
    (tmp_path / "recipes" / "points.csv").write_text("\n".join(["a,b,y", *rows]) + "\n")
    (tmp_path / "recipes" / "rings.py").write_text(RINGS)
    (tmp_path / "recipes" / "net.py").write_text(NET)
    return tmp_path


def recipe(text: str, *overrides: str) -> Recipe:
    """The recipe as a command reads it from the working folder: by a relative path."""
    path = Path("recipes/own.toml")
    path.write_text(text)
    return load_recipe(path, overrides=overrides)


TABLE_SPACE = TABLE + "optim.lr = {log = [1e-3, 1e-1]}\ntrain.epochs = 1\ntrain.device = 'cpu'\n"


@pytest.mark.parametrize("text", [TABLE_SPACE, OWN], ids=["csv", "python"])
def test_the_first_study_finds_files_beside_the_recipe(place: Path, text: str) -> None:
    end = looped_study(recipe(text), path=Path("runs/own-1"), trials=2)
    assert [result.state for result in end.trials] == ["complete", "complete"]
    sizes = load_run(end.path).about.data.examples
    assert sizes == {"train": 24, "dev": 8, "test": 8, "train_dev": None}
    again = looped_study(None, path=Path("runs/own-1"), trials=3, resume=True)
    assert (again.trained, again.trials[2].state) == (1, "complete")


@pytest.mark.parametrize(
    ("text", "override", "kind", "found"),
    [
        pytest.param(
            TABLE_SPACE,
            "data.source=point.csv",
            DataError,
            "data.source = 'point.csv': no such file; did you mean 'points.csv'?",
            id="file",
        ),
        pytest.param(
            TABLE_SPACE,
            "data.target=z",
            DataError,
            "points.csv: no column 'z', which data.target names",
            id="column",
        ),
        pytest.param(
            OWN,
            "model.factory=net.py:biuld",
            RecipeError,
            "net.py:biuld: net.py has no biuld; did you mean build?",
            id="function",
        ),
        pytest.param(
            OWN,
            "model.factory=nett.py:build",
            RecipeError,
            "nett.py:build: no file recipes/nett.py; did you mean net.py?",
            id="module",
        ),
    ],
)
def test_mistakes_are_told_as_typed_and_leave_no_run_folder(
    place: Path, text: str, override: str, kind: type[DltuneError], found: str
) -> None:
    with pytest.raises(kind) as mistake:
        looped_study(recipe(text, override), path=Path("runs/own-1"), trials=2)
    assert mistake.value.found.startswith(found)
    assert not Path("runs").exists()
