"""Recipe files and values that nobody can work with end in a message, at once."""

from __future__ import annotations

import cProfile
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from dltune.errors import RecipeError
from dltune.recipe.edits import edit_text
from dltune.recipe.files import load_recipe, parse_recipe, relocate
from dltune.recipe.overrides import parse_word
from dltune.recipe.recipe import recipe_text_with
from dltune.recipe.toml import LARGEST_INT
from dltune.runs.csv_files import columns_of

DATA = '[data]\nsource = "a.csv"\n'
DEEP = ("tables and lists must be nested 32 levels deep at most", "[" * 33 + "]" * 33)
VERY_DEEP = (DEEP[0], "[" * 20_000 + "]" * 20_000)
DEEP_TABLES = (DEEP[0], "{a = " * 33 + "1" + "}" * 33)
LONG = (f"must lie within plus or minus {LARGEST_INT}", "1" + "0" * 5000)
LONG_BY_ONE = (LONG[0], str(LARGEST_INT + 1))


def lists(levels: int) -> str:
    return "[" * levels + "]" * levels


@pytest.mark.parametrize(
    ("message", "value"),
    [DEEP, VERY_DEEP, DEEP_TABLES, LONG, LONG_BY_ONE],
    ids=["deep", "very deep", "deep tables", "long", "long by one"],
)
def test_values_that_nobody_can_work_with(tmp_path: Path, message: str, value: str) -> None:
    file = tmp_path / "recipe.toml"
    file.write_text(f"{DATA}[optim]\nlr = {value}\n")
    with pytest.raises(RecipeError) as in_file:
        load_recipe(file)
    assert in_file.value.found.startswith(f"{file}: ")
    assert message in in_file.value.found
    with pytest.raises(RecipeError, match=re.escape(message)):
        parse_recipe(DATA, folder=".", overrides=[f"optim.lr={value}"])
    with pytest.raises(RecipeError, match=re.escape(message)):
        parse_recipe(DATA, folder=".", spaces=[f"optim.lr=choice:1:{value}"])


def test_values_just_within_the_limits_are_read_and_edited() -> None:
    assert parse_word(lists(31)) is not None
    with pytest.raises(RecipeError, match=r"^optim.lr = \[+\]+: must be a number$"):
        parse_recipe(DATA, folder=".", overrides=[f"optim.lr={lists(30)}"])
    factory = f'{DATA}[model]\nfactory = "net.py:build"\nwidths = {lists(29)}\n'
    recipe = parse_recipe(factory, folder=".", overrides=[f"train.seed={LARGEST_INT}"])
    assert recipe.config().train.seed == LARGEST_INT


@pytest.mark.parametrize("edit", ["optim.lr=1e999", "optim.lr=nan", "optim.lr=-inf"])
def test_numbers_that_are_not_finite(edit: str) -> None:
    with pytest.raises(RecipeError, match="must be a finite number"):
        parse_recipe(DATA, folder=".", overrides=[edit])


@pytest.mark.parametrize("value", ["1979-05-27", "07:32:00", "1979-05-27T07:32:00Z"])
def test_dates(value: str) -> None:
    with pytest.raises(RecipeError, match=r"^optim.lr = .*: must be a number$"):
        parse_recipe(f"{DATA}[optim]\nlr = {value}\n", folder=".")
    with pytest.raises(RecipeError, match=r"^model: day must be no date or time"):
        parse_recipe(f'{DATA}[model]\nfactory = "net.py:build"\nday = {value}\n', folder=".")


def test_an_option_that_is_no_number() -> None:
    """Nothing equals it: no trial could be told that it has it."""
    with pytest.raises(RecipeError, match="the option nan"):
        parse_recipe(f'{DATA}[model]\nfactory = "a.py:b"\nx = {{choice = [nan, 1]}}\n', folder=".")


def test_a_grid_of_too_many_points() -> None:
    with pytest.raises(RecipeError, match="per_decade = 900000: gives more than 1000000 values"):
        parse_recipe(DATA, folder=".", spaces=["optim.lr=log:1e-5:1:per_decade=900000"])


class TestFiles:
    def refused(self, path: Path) -> str:
        with pytest.raises(RecipeError) as caught:
            load_recipe(path)
        return caught.value.found

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with names")
    def test_a_pipe_is_not_waited_for(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "recipe.toml")
        assert self.refused(tmp_path / "recipe.toml").endswith("a recipe must be a file")

    @pytest.mark.skipif(not Path("/dev/zero").exists(), reason="there are no devices")
    def test_a_device_without_end(self) -> None:
        assert self.refused(Path("/dev/zero")).endswith("a recipe must be a file")

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"", "data.source: missing"),
            (b"\xef\xbb\xbf" + DATA.encode(), ""),
            (DATA.replace("\n", "\r\n").encode(), ""),
            (DATA.encode("utf-16"), "must be UTF-8 text, but byte 0 is not"),
            (b'[data]\nsource = "a\0.csv"\n', "line 2, column 12: not valid TOML"),
            (b"[optim]\nlr = 1\nlr = 2\n", "line 3, column 7: not valid TOML"),
            (b"optim.lr = 1\n[optim]\neps = 1\n", "line 2, column 7: not valid TOML"),
            (b"optim.lr = 1\noptim.lr.x = 1\n", "line 2, column 15: not valid TOML"),
        ],
        ids=["empty", "BOM", "CRLF", "UTF-16", "NUL", "twice", "dotted", "below a value"],
    )
    def test_contents(self, tmp_path: Path, content: bytes, message: str) -> None:
        file = tmp_path / "recipe.toml"
        file.write_bytes(content)
        if message:
            assert message in self.refused(file)
        else:
            assert load_recipe(file, overrides=["optim.lr=1"]).config().optim.lr == 1


class TestLarge:
    """Twice as much of it is twice the work, and not four times."""

    def calls(self, work: Callable[[], object]) -> int:
        profile = cProfile.Profile()
        profile.runcall(work)
        profile.create_stats()
        return sum(entry[1] for entry in profile.stats.values())  # type: ignore[attr-defined]

    def use(self, text: str) -> None:
        recipe = parse_recipe(text, folder="recipes")
        values = recipe.space.from_unit([0.5] * len(recipe.space))
        recipe_text_with(recipe, values)
        columns_of(relocate(recipe, "runs/first"))
        recipe.space.to_unit(values)

    @pytest.mark.parametrize(
        "text",
        [
            lambda size: f"{DATA}[optim]\nlr = {{choice = {[n / 1e6 for n in range(1, size)]}}}\n",
            lambda size: f"{DATA}drop = {[str(n) for n in range(size)]}\n",
            lambda size: "# comment\n" * size + DATA,
            lambda size: f"# {'x' * 10 * size}\n" + DATA,
        ],
        ids=["options", "columns", "comments", "a comment"],
    )
    def test_work_grows_with_the_size(self, text: Callable[[int], str]) -> None:
        self.use(text(4))  # what is read once
        small, large = (self.calls(lambda size=size: self.use(text(size))) for size in (200, 800))
        assert large < 6 * small

    def test_an_edit_that_changes_nothing_takes_no_second_reading(self) -> None:
        text = f"# {'x' * 100_000}\n{DATA}[optim]\nlr = 1\n"
        assert self.calls(lambda: edit_text(text, {("optim", "lr"): 1})) < 10_000
        assert edit_text("x = 1\n", {("x",): True}) == "x = true\n"
        assert edit_text("x = 1\n", {("x",): 1.0}) == "x = 1.0\n"
