"""The housing recipe: a grid of known size over a table that can be made again."""

from __future__ import annotations

from pathlib import Path

import pytest

from dltune.cli.main import main
from dltune.recipe.files import load_recipe
from tests.scripts.loading import load_file

RECIPES = Path(__file__).parents[2] / "recipes"


def test_the_size_of_the_grid_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = RECIPES / "housing-csv.toml"
    assert load_recipe(recipe).space.grid_size() == 2 * 4 * 3
    code = main(
        [
            *("search", str(recipe), "--strategy", "grid", "--trials", "1"),
            *("--set", "train.epochs=1", "--runs-dir", str(tmp_path), "--name", "one"),
        ]
    )
    assert code == 0
    assert f"{tmp_path / 'one'}: 1 trial of a grid of 24 points\n" in capsys.readouterr().err


def test_the_table_is_what_its_script_makes() -> None:
    script = load_file(RECIPES / "data" / "make_housing.py")
    assert (RECIPES / "data" / "housing.csv").read_bytes() == script.make_csv().encode()
    rows = script.make_rows()
    assert len(rows) == script.ROWS == 1200
    # The prices are the formula's but for the noise, whose logarithm has a deviation of 0.06.
    ratios = [row[-1] / script.price(*row[:-1]) for row in rows]
    assert sum(ratios) / len(ratios) == pytest.approx(1.0, abs=4 * 0.06 / 1200**0.5 + 0.06**2)
