"""References to Python files: what they import, and what they say when they cannot."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from dltune.errors import RecipeError
from dltune.recipe.references import imported_sources, load_reference, neighbours

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


class TestNeighboursOfOneName:
    """Two files in two folders, each with a `shared` of its own beside it."""

    @pytest.fixture
    def places(self, tmp_path: Path) -> Path:
        for name, width in (("a", 7), ("b", 9)):
            (tmp_path / name / "deep").mkdir(parents=True)
            (tmp_path / name / "shared.py").write_text(f"from deep.inner import W\nWIDTH = {width}")
            (tmp_path / name / "deep" / "inner.py").write_text(f"W = {10 * width}\n")
            (tmp_path / name / "net.py").write_text(
                "from shared import WIDTH, W\n"
                "def build():\n    return WIDTH, W\n"
                "def later():\n    import shared\n    return shared.WIDTH, shared.W\n"
            )
            (tmp_path / name / "late.py").write_text(
                "def build():\n    from shared import W, WIDTH\n    return WIDTH, W\n"
            )
        return tmp_path

    def called(self, reference: str, folder: Path) -> object:
        function = load_reference(reference, folder)
        with neighbours(reference, folder):
            return function()

    @pytest.mark.parametrize("order", ["ab", "ba"])
    def test_each_gets_its_own(self, places: Path, order: str) -> None:
        wanted = {"a": (7, 70), "b": (9, 90)}
        modules, path = set(sys.modules), list(sys.path)
        for _ in range(2):
            for name in order:
                assert self.called(f"{name}/net.py:build", places) == wanted[name]
                assert self.called(f"{name}/net.py:later", places) == wanted[name]
        assert sys.path == path
        # What the first one has imported stays where pickle and it itself look for it.
        assert vars(sys.modules["shared"])["WIDTH"] == wanted[order[0]][0]
        for name in set(sys.modules) - modules:
            del sys.modules[name]

    def test_a_folder_within_the_other(self, places: Path) -> None:
        (places / "shared.py").write_text("W = WIDTH = 5\n")
        (places / "net.py").write_text((places / "a" / "net.py").read_text())
        modules = set(sys.modules)
        for reference, wanted in {"a/net.py:build": (7, 70), "net.py:build": (5, 5)}.items():
            assert self.called(reference, places) == wanted
        for name in set(sys.modules) - modules:
            del sys.modules[name]

    def test_one_that_is_imported_late_too(self, places: Path) -> None:
        modules = set(sys.modules)
        load_reference("a/late.py:build", places)
        assert self.called("b/late.py:build", places) == (9, 90)
        assert self.called("a/late.py:build", places) == (7, 70)
        assert self.called("b/late.py:build", places) == (9, 90)
        for name in set(sys.modules) - modules:
            del sys.modules[name]

    def test_the_files_of_both_are_known_as_they_were_imported(self, places: Path) -> None:
        modules = set(sys.modules)
        load_reference("a/net.py:build", places)
        load_reference("b/net.py:build", places)
        (places / "a" / "shared.py").write_text("edited since\n")
        found = {path for path in imported_sources() if path.is_relative_to(places.resolve())}
        names = {path.relative_to(places.resolve()).as_posix() for path in found}
        of_one = {"net.py", "shared.py", "deep/inner.py"}
        assert names == {f"{folder}/{name}" for folder in "ab" for name in of_one}
        content = imported_sources()[(places / "a" / "shared.py").resolve()]
        assert content.endswith(b"WIDTH = 7")
        for name in set(sys.modules) - modules:
            del sys.modules[name]

    def test_a_file_named_like_an_installed_module_hides_nothing(self, tmp_path: Path) -> None:
        (tmp_path / "json.py").write_text("raise ImportError\n")
        (tmp_path / "net.py").write_text("import json\ndef build():\n    return json.dumps([1])\n")
        assert self.called("net.py:build", tmp_path) == "[1]"


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
