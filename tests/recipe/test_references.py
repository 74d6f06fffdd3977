"""References to Python files: what they import, and what they say when they cannot."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from dltune.errors import RecipeError
from dltune.recipe.references import load_reference

EXAMPLE = 'Write it like "my_net.py:build".'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "neighbour.py").write_text("WIDTH = 7\n", encoding="utf-8")
    (tmp_path / "net.py").write_text(
        "from neighbour import WIDTH\n\ndef build(width=WIDTH):\n    return width\n",
        encoding="utf-8",
    )
    return tmp_path


def test_a_file_may_import_its_neighbours(folder: Path) -> None:
    path = list(sys.path)
    assert load_reference("net.py:build", folder)() == 7
    assert sys.path == path


def test_a_file_runs_once_until_it_changes(folder: Path) -> None:
    first = load_reference("net.py:build", folder)
    assert load_reference(f"{folder}/net.py:build", "elsewhere") is first
    net = folder / "net.py"
    net.write_text("def build():\n    return 8\n", encoding="utf-8")
    os.utime(net, ns=(1, 1))
    assert load_reference("net.py:build", folder)() == 8


def test_files_of_one_name_do_not_shadow_each_other(folder: Path) -> None:
    (folder / "other").mkdir()
    (folder / "other" / "net.py").write_text("def build():\n    return 9\n", encoding="utf-8")
    assert load_reference("net.py:build", folder)() == 7
    assert load_reference("other/net.py:build", folder)() == 9


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("net.py", f'"net.py": must be a Python file and a name in it\n{EXAMPLE}'),
        ("net:build", f'"net:build": must be a Python file and a name in it\n{EXAMPLE}'),
        ("net.py:a b", f'"net.py:a b": must be a Python file and a name in it\n{EXAMPLE}'),
        ("nte.py:build", "nte.py:build: no file {folder}/nte.py; did you mean net.py?\n" + EXAMPLE),
        ("xyz.py:build", "xyz.py:build: no file {folder}/xyz.py\n" + EXAMPLE),
        ("net.py:biuld", "net.py:biuld: net.py has no biuld; did you mean build?"),
        ("net.py:xyz", "net.py:xyz: net.py has no xyz; it has WIDTH, build"),
    ],
)
def test_what_a_reference_refuses(folder: Path, reference: str, message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load_reference(reference, folder)
    assert str(caught.value) == message.replace("{folder}", str(folder))


@pytest.mark.parametrize(
    ("content", "line", "message"),
    [
        ("x = 1\ny = 1 / 0\n", 2, "ZeroDivisionError: division by zero"),
        ("def f(:\n", 1, "SyntaxError: invalid syntax"),
        ("import no_such_module_here\n", 1, "ModuleNotFoundError: No module named"),
    ],
)
def test_a_file_that_fails_names_its_line(
    tmp_path: Path, content: str, line: int, message: str
) -> None:
    path = tmp_path / "net.py"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(RecipeError) as caught:
        load_reference("net.py:f", tmp_path)
    assert str(caught.value).startswith(f"{path}, line {line}: failed: {message}")
    assert caught.value.__cause__ is not None
