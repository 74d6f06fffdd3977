"""Recipe to text to recipe, values to the unit cube and back, for recipes of any shape."""

from __future__ import annotations

from typing import Any

import tomlkit
from hypothesis import given
from hypothesis import strategies as st

from dltune.recipe.edits import edit_text, to_item
from dltune.recipe.files import parse_recipe
from dltune.recipe.ranges import parse_range
from dltune.recipe.recipe import Recipe, recipe_text_with

rates = st.floats(1e-6, 1.0)
shares = st.floats(0, 0.99)
widths = st.integers(1, 2000)


def pair(values: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    # Bounds that differ in their last digits only are refused.
    two = st.lists(values, min_size=2, max_size=2).map(sorted)
    return two.filter(lambda pair: pair[1] - pair[0] > 1e-9 * pair[1])


def table(kind: str, bounds: st.SearchStrategy[Any], count: str = "") -> st.SearchStrategy[Any]:
    optional = {count: st.integers(2, 6)} if count else {}
    return perhaps_with_start(kind, st.fixed_dictionaries({kind: bounds}, optional=optional))


def choice(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    options = st.lists(values, min_size=1, max_size=3, unique=True)
    return perhaps_with_start("choice", st.fixed_dictionaries({"choice": options}))


def perhaps_with_start(kind: str, ranges: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return ranges | ranges.flatmap(
        lambda table: st.sampled_from(table[kind]).map(lambda at: table | {"start": at})
    )


rate = rates | table("log", pair(rates), "points") | table("log", pair(rates), "per_decade")
share = shares | table("uniform", pair(shares), "points") | choice(shares)
width = widths | table("int", pair(widths), "points") | table("int_log", pair(widths), "per_decade")


def section(**keys: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries({}, optional=keys)


def choice_of_tables(
    tables: st.SearchStrategy[Any], shared: st.SearchStrategy[Any]
) -> st.SearchStrategy[Any]:
    options = st.lists(
        tables, min_size=1, max_size=3, unique_by=lambda option: repr(sorted(option.items()))
    )
    return st.tuples(options, shared).map(lambda pair: {"choice": pair[0]} | pair[1])


sgd = st.fixed_dictionaries({"name": st.just("sgd")}, optional={"lr": rate})
adam = st.fixed_dictionaries(
    {"name": st.just("adam")},
    optional={"lr": rate, "amsgrad": choice(st.booleans()) | st.just(True)},
)
nested = choice_of_tables(
    section(momentum=share, dampening=share), st.just({"name": "momentum", "lr": 0.1})
)
optim = (
    sgd
    | adam
    | choice_of_tables(sgd | adam | nested, section(weight_decay=rate))
    | choice_of_tables(section(lr=rate), st.just({"name": "adam"}))
)
recipes = st.fixed_dictionaries(
    {
        "data": st.fixed_dictionaries(
            {"source": st.text(min_size=1, max_size=8)},
            optional={"split": section(dev=st.floats(0.1, 0.4), stratify=st.booleans())},
        )
    },
    optional={
        "model": section(hidden=st.lists(width, max_size=3), dropout=share | choice(shares)),
        "optim": optim,
        "train": section(epochs=width, batch_size=width | st.just("full")),
    },
)


def dumped(plain: dict[str, Any], *, inline: bool) -> str:
    """The table as text: sections with headers, or everything on one line each."""
    if inline:
        return "".join(f"{key} = {to_item(value).as_string()}\n" for key, value in plain.items())
    return tomlkit.dumps(plain)


def recipe_of(plain: dict[str, Any], *, inline: bool = False) -> Recipe:
    return parse_recipe(dumped(plain, inline=inline), folder=".")


@given(recipes, st.booleans())
def test_recipe_to_text_to_recipe(plain: dict[str, Any], inline: bool) -> None:
    recipe = recipe_of(plain, inline=inline)
    assert recipe.table == plain
    assert parse_recipe(recipe.text, folder=".") == recipe


@given(recipes, st.booleans(), st.data())
def test_values_to_the_unit_cube_and_back(
    plain: dict[str, Any], inline: bool, data: st.DataObject
) -> None:
    recipe = recipe_of(plain, inline=inline)
    size = len(recipe.space)
    values = recipe.space.from_unit(
        data.draw(st.lists(st.floats(0, 1), min_size=size, max_size=size))
    )
    assert recipe.space.contains(values)
    again = recipe.space.from_unit(recipe.space.to_unit(values))
    assert again.keys() == values.keys()
    for name, value in values.items():
        if isinstance(value, float):
            assert abs(again[name] - value) <= 1e-12
        else:
            assert again[name] == value


@given(recipes, st.booleans(), st.data())
def test_a_chosen_config_to_text_and_back(
    plain: dict[str, Any], inline: bool, data: st.DataObject
) -> None:
    recipe = recipe_of(plain, inline=inline)
    size = len(recipe.space)
    values = recipe.space.from_unit(
        data.draw(st.lists(st.floats(0, 1), min_size=size, max_size=size))
    )
    fixed = parse_recipe(recipe_text_with(recipe, values), folder=".")
    assert len(fixed.space) == 0
    assert fixed.config() == recipe.config(values)


@given(recipes)
def test_grids_have_the_size_they_say_and_valid_points(plain: dict[str, Any]) -> None:
    recipe = recipe_of(plain)
    if recipe.space.grid_size() > 2000:  # long, and no different
        return
    points = list(recipe.space.grid())
    assert len(points) == recipe.space.grid_size()
    assert all(recipe.space.contains(point) for point in points)


@given(recipes, st.booleans(), rates)
def test_an_override_changes_one_thing(plain: dict[str, Any], inline: bool, value: float) -> None:
    text = dumped(plain, inline=inline)
    recipe = parse_recipe(text, folder=".", overrides=[f"regularize.l2={value!r}"])
    assert recipe.table == plain | {"regularize": {"l2": value}}


keys = st.text("abc", min_size=1, max_size=2)
plain_values = st.recursive(
    st.booleans() | st.integers(-99, 99) | st.floats(-9, 9) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(keys, plain_values, max_size=4), keys, keys, plain_values)
def test_any_toml_can_be_edited(
    plain: dict[str, Any], section_name: str, key: str, value: Any
) -> None:
    content = plain.get(section_name)
    expected = dict(plain)
    if isinstance(content, dict):
        expected[section_name] = content | {key: value}
        edited = edit_text(tomlkit.dumps(plain), {(section_name, key): value})
    else:
        expected[section_name] = value
        edited = edit_text(tomlkit.dumps(plain), {(section_name,): value})
    assert tomlkit.parse(edited).unwrap() == expected


@given(share | rate | width)
def test_range_tables(value: Any) -> None:
    if isinstance(value, dict):
        assert parse_range(parse_range(value).toml()) == parse_range(value)
