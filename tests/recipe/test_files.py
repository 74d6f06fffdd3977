"""Recipes on disk: reading, editing in place, moving, and writing a chosen config."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from dltune.errors import RecipeError
from dltune.recipe.files import (
    apply_edits,
    load_recipe,
    parse_recipe,
    relocate,
)
from dltune.recipe.recipe import recipe_text_with

RECIPE = """# Houses
[data]  # the data
source = "houses.csv"  # where
split = { dev = 0.2, test = 0.2 }  # shares

[model]
hidden = [
  64,  # first
  { int = [3, 9] },
]

[optim]
weight_decay = { log = [1e-5, 1e-2] }  # decay

# plain
[[optim.choice]]
name = "sgd"
lr = { log = [1e-4, 1e-1] }  # rate of sgd

# fancy
[[optim.choice]]
name = "adam"  # Adam
eps = 1e-7  # odd

# training
[train]
epochs = 3  # few
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "houses.toml"
    path.write_text(RECIPE, encoding="utf-8")
    return path


def refusal(path: Path, **options: list[str]) -> str:
    with pytest.raises(RecipeError) as caught:
        load_recipe(path, **options)  # type: ignore[arg-type]
    return str(caught.value)


def test_load(path: Path) -> None:
    recipe = load_recipe(path, overrides=["train.epochs=5"], spaces=["train.seed=int:0:9"])
    assert recipe.folder == path.parent
    assert [one.name for one in recipe.space.dimensions] == [
        "model.hidden.1",
        "optim.weight_decay",
        "optim",
        "optim[sgd].lr",
        "train.seed",
    ]
    assert parse_recipe(recipe.text, folder=path.parent) == recipe
    assert path.read_text(encoding="utf-8") == RECIPE


def test_windows_files(path: Path) -> None:
    path.write_bytes(b"\xef\xbb\xbf" + RECIPE.replace("\n", "\r\n").encode())
    apply_edits(path, {"train.epochs": 9, "optim[sgd].momentum": None, "train.seed": 1})
    content = path.read_bytes()
    assert content.count(b"\n") == content.count(b"\r\n")
    assert b"epochs = 9  # few\r\nseed = 1\r\n" in content


def test_mistakes_name_the_file(path: Path) -> None:
    path.write_text("[data]\nsource = 3\n", encoding="utf-8")
    assert refusal(path) == f"data.source = 3: must be text in quotes\nEdit {path}."
    assert refusal(path, overrides=["data.source=4"]) == (
        f"data.source = 4: must be text in quotes\nLook at --set, --space and {path}."
    )


def test_broken_toml_names_the_file(path: Path) -> None:
    path.write_text("[data]\nsource = houses.csv\n", encoding="utf-8")
    assert refusal(path) == (
        f"{path}, line 2, column 10: not valid TOML: Invalid value; text needs quotes"
    )


def test_missing_files_have_neighbours(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = path.parent
    monkeypatch.chdir(folder)
    (folder / "recipes").mkdir()
    (folder / "recipes" / "digits.toml").write_text("", encoding="utf-8")
    assert refusal(folder / "house.toml") == (
        f"{folder}/house.toml: no such file\nDid you mean {path}?"
    )
    assert refusal(Path("digits")) == "digits: no such file\nDid you mean recipes/digits.toml?"
    assert refusal(Path("xyz.toml")) == ("xyz.toml: no such file\nName an existing .toml file.")
    assert refusal(folder) == f"{folder}: is a folder; recipes in it: {path}"


def test_files_must_be_text(path: Path) -> None:
    path.write_bytes(b"a = \xff")
    assert refusal(path) == f"{path}: must be UTF-8 text, but byte 4 is not"


def test_edits_keep_everything_else(path: Path) -> None:
    apply_edits(
        path,
        {
            "optim[sgd].lr": {"log": [1e-3, 1e-1]},
            "optim[adam].lr": 0.01,
            "model.dropout": 0.5,
            "model.hidden.1": 8,
            "data.split.train-dev": 0.1,
            "train.epochs": None,
            "regularize.l2": 0.1,
        },
    )
    expected = (
        RECIPE.replace("{ log = [1e-4, 1e-1] }", "{log = [0.001, 0.1]}")
        .replace("eps = 1e-7  # odd\n", "eps = 1e-7  # odd\nlr = 0.01\n")
        .replace("{ int = [3, 9] },\n]\n", "8,\n]\ndropout = 0.5\n")
        .replace("test = 0.2 }", "test = 0.2, train-dev = 0.1}")
        .replace("epochs = 3  # few\n", "")
        + "\n[regularize]\nl2 = 0.1\n"
    )
    assert path.read_text(encoding="utf-8") == expected


def test_new_keys_stand_above_what_introduces_the_next_section(path: Path) -> None:
    apply_edits(path, {"optim[adam].amsgrad": True})
    text = path.read_text(encoding="utf-8")
    assert text == RECIPE.replace("# odd\n", "# odd\namsgrad = true\n")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train.epochs": 0}, "train.epochs = 0: must be at least 1"),
        ({"train.epochs": 1, "train.epoks": 2}, "train.epoks: unknown key; did you mean train.epo"),
        ({"data.source": None}, "data.source: missing"),
    ],
)
def test_a_recipe_is_never_left_broken(
    path: Path, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(RecipeError, match=message):
        apply_edits(path, changes)
    assert path.read_text(encoding="utf-8") == RECIPE
    assert os.listdir(path.parent) == [path.name]


def test_edits_go_through_links_and_keep_permissions(path: Path) -> None:
    path.chmod(0o640)
    link = path.parent / "link.toml"
    link.symlink_to(path)
    apply_edits(link, {"train.epochs": 4})
    assert link.is_symlink()
    assert "epochs = 4  # few" in path.read_text(encoding="utf-8")
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert sorted(os.listdir(path.parent)) == [path.name, link.name]


def test_fixed_recipes_keep_the_chosen_option(path: Path) -> None:
    recipe = load_recipe(path)
    values = {
        "model.hidden.1": 5,
        "optim.weight_decay": 0.001,
        "optim": "sgd",
        "optim[sgd].lr": 0.01,
    }
    text = recipe_text_with(recipe, values)
    assert text == (
        RECIPE[: RECIPE.index("weight_decay")].replace("{ int = [3, 9] }", "5")
        + 'weight_decay = 0.001  # decay\nname = "sgd"\nlr = 0.01 # rate of sgd\n\n# plain\n\n'
        + RECIPE[RECIPE.index("# training") :]
    )
    assert parse_recipe(text, folder=path.parent).config() == recipe.config(values)


@pytest.mark.parametrize(
    "layout",
    [
        '[optim]\nlr = {log = [1e-4, 1e-1]}  # kept\n[data]\nsource = "a.csv"  # kept',
        'data.source = "a.csv"  # kept\noptim.lr = {log = [1e-4, 1e-1]}  # kept\n',
        'data = {source = "a.csv"}  # kept\noptim = {lr = {log = [1e-4, 1e-1]}}  # kept',
        '[data]\nsource = "a.csv"  # kept\n[train]\n# kept\n[optim]\n[optim.lr]\nlog = [1e-4, 1]',
        "[data.split]\ndev = 0.1  # kept\n[optim]\nlr = {int = [1, 3]}  # kept\n[data]\n"
        'source = "a.csv"  # kept',
    ],
)
@pytest.mark.parametrize(
    "override", ["optim.eps=0.1", "data.split.dev=0.3", "train.epochs=4", "regularize.l1=0.1"]
)
def test_any_layout_can_be_edited(layout: str, override: str) -> None:
    recipe = parse_recipe(layout, folder=".", overrides=[override])
    assert recipe.text.count("kept") == layout.count("kept")
    for unit in (0.0, 0.4, 1.0):
        values = recipe.space.from_unit([unit] * len(recipe.space))
        text = recipe_text_with(recipe, values)
        assert text.count("kept") == layout.count("kept")
        assert parse_recipe(text, folder=".").config() == recipe.config(values)


def test_relocated_recipes_find_their_files(tmp_path: Path) -> None:
    text = (
        '[data]\nsource = {choice = ["a.csv", "/data/b.csv", "sklearn:digits", "../load.py:f"]}\n'
        '[[model.choice]]\nname = "mlp"\n[[model.choice]]\nfactory = "nets/net.py:build"  # mine\n'
    )
    recipe = parse_recipe(text, folder=tmp_path / "recipes")
    moved = relocate(recipe, tmp_path / "runs" / "first")
    assert moved.table == {
        "data": {
            "source": {
                "choice": [
                    "../../recipes/a.csv",
                    "/data/b.csv",
                    "sklearn:digits",
                    "../../load.py:f",
                ]
            }
        },
        "model": {
            "choice": [{"name": "mlp"}, {"factory": "../../recipes/nets/net.py:build"}],
        },
    }
    assert moved.folder == tmp_path / "runs" / "first"
    assert moved.text.endswith("# mine\n")
    assert relocate(moved, tmp_path / "recipes") == recipe


def test_a_start_that_is_a_file_is_relocated_with_its_options(tmp_path: Path) -> None:
    text = (
        'data.source = "sklearn:digits"\n'
        'model.factory = {choice = ["a.py:net", "b.py:net"], start = "b.py:net"}\n'
    )
    recipe = parse_recipe(text, folder=tmp_path)
    moved = relocate(recipe, tmp_path / "runs")
    assert moved.table["model"]["factory"] == {
        "choice": ["../a.py:net", "../b.py:net"],
        "start": "../b.py:net",
    }
    assert relocate(moved, tmp_path) == recipe


def test_fixed_recipes_have_no_start_left() -> None:
    text = (
        'data.source = "a.csv"\n[optim]\nstart = "adam"\nweight_decay = 0.1  # kept\n'
        '[[optim.choice]]\nname = "sgd"\n[[optim.choice]]\nname = "adam"\n'
        "lr = {log = [1e-4, 0.1], start = 1e-3}\n"
    )
    recipe = parse_recipe(text, folder=".")
    assert recipe.space.start is not None
    fixed = parse_recipe(recipe_text_with(recipe, recipe.space.start), folder=".")
    assert fixed.table["optim"] == {"weight_decay": 0.1, "name": "adam", "lr": 1e-3}
    assert "# kept" in fixed.text


def test_relocating_to_the_same_folder_changes_nothing(path: Path) -> None:
    recipe = load_recipe(path)
    assert relocate(recipe, path.parent) == recipe
