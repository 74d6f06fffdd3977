"""Keys whose absence means never: false and "none" say it, wherever a value may stand."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dltune.diagnosis.settings import Settings
from dltune.errors import RecipeError
from dltune.recipe.files import apply_edits, load_recipe, parse_recipe
from dltune.recipe.recipe import Recipe, recipe_text_with
from dltune.recipe.schema import flatten
from dltune.recipe.schema_keys import known_paths, never_paths, section_variants, setting_keys
from dltune.recipe.toml import toml_value

DATA = 'data.source = "sklearn:digits"\n'
# Absent, these are told from the data: to say never of them would mean nothing.
INFERRED = {"data.target", "data.task", "objective.loss"}

nevers = st.sampled_from([False, "none"])
numbers = st.integers(1, 50)


def optional_paths() -> set[str]:
    """Every key of the schema that may be null."""
    return {
        f"{section}.{key}"
        for section, _, key in (path.rpartition(".") for path in known_paths())
        for model in section_variants(section).values()
        if key in setting_keys(model)
        and type(None) in get_args(setting_keys(model)[key].annotation)
    }


def recipe_of(path: str, value: Any) -> Recipe:
    return parse_recipe(f"{DATA}{path} = {toml_value(value)}\n", folder=".")


def test_every_key_that_may_be_null_is_off_with_false_or_inferred() -> None:
    assert set(never_paths()) == optional_paths() - INFERRED
    assert never_paths()


@given(st.sampled_from(never_paths()), nevers)
def test_never_is_what_an_absent_key_is(path: str, never: Any) -> None:
    assert recipe_of(path, never).config() == parse_recipe(DATA, folder=".").config()
    word = never if isinstance(never, str) else "false"
    recipe = parse_recipe(f"{DATA}{path} = 3\n", folder=".", overrides=[f"{path}={word}"])
    assert flatten(recipe.config())[path] is None


@given(st.sampled_from(never_paths()), nevers, numbers)
def test_never_is_an_option_of_a_choice(path: str, never: Any, number: int) -> None:
    recipe = recipe_of(path, {"choice": [never, number]})
    typed = parse_recipe(DATA, folder=".", spaces=[f"{path}=choice:{str(never).lower()}:{number}"])
    assert typed.space == recipe.space
    for option, expected in ((never, None), (number, number)):
        values = {path: option}
        config = recipe.config(values)
        assert flatten(config)[path] == expected
        fixed = parse_recipe(recipe_text_with(recipe, values), folder=".")
        assert fixed.config() == config
        again = recipe.space.from_unit(recipe.space.to_unit(values))
        assert again == values
        assert type(again[path]) is type(option)


@pytest.mark.parametrize("path", never_paths())
@pytest.mark.parametrize("found", ["true", '"never"', "0"])
def test_what_is_neither_a_number_nor_never_is_told_both(path: str, found: str) -> None:
    with pytest.raises(RecipeError, match="or false for never") as caught:
        parse_recipe(f"{DATA}{path} = {found}\n", folder=".")
    assert caught.value.found.startswith(f"{path} = {found}: must be ")


@pytest.mark.parametrize("path", never_paths())
def test_an_edit_replaces_never(path: str, tmp_path: Any) -> None:
    file = tmp_path / "recipe.toml"
    file.write_text(f"{DATA}{path} = false  # never\n")
    assert Settings(config=flatten(load_recipe(file).config())).number(path) is None
    apply_edits(file, {path: 3})
    assert file.read_text() == f"{DATA}{path} = 3  # never\n"
