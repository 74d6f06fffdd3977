"""The shape of the source tree: which room may import which, how long things may get."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dltune

PACKAGE = Path(dltune.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))

# A room may import rooms of a lower floor and itself; rooms of one floor do not know each other.
FLOORS = {
    "errors": 0,
    "recipe": 1,
    "data": 2,
    "models": 2,
    "training": 3,
    "runs": 4,
    "diagnosis": 5,
    "lr": 6,
    "search": 6,
    "report": 7,
    "api": 8,
    "cli": 8,
    "__main__": 9,
}
HEAVY = (
    "matplotlib",
    "numpy",
    "optuna",
    "pandas",
    "plotext",
    "pyarrow",
    "scipy",
    "sklearn",
    "torch",
)
LONGEST_FILE, LONGEST_FUNCTION = 300, 50  # lines; the second without the docstring
NO_NAMES = {"common", "helper", "helpers", "misc", "util", "utils"}


def name_of(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imported_modules(node: ast.AST) -> list[str]:
    """Every module that is imported anywhere below the node, inside functions too."""
    found = []
    for one in ast.walk(node):
        if isinstance(one, ast.Import):
            found += [alias.name for alias in one.names]
        elif isinstance(one, ast.ImportFrom):
            assert one.level == 0, f"line {one.lineno}: a relative import"
            found.append(one.module or "")
    return found


def room_of(module: str) -> str | None:
    parts = module.split(".")
    return parts[1] if parts[0] == "dltune" and len(parts) > 1 else None


def test_every_room_has_a_floor() -> None:
    rooms = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert rooms | {"api", "errors", "__main__"} == set(FLOORS)


# A rule over every file is one test; what it finds are the offenders, each with its fault.


def test_imports_go_one_way() -> None:
    upward = [
        f"{name_of(path)}: {module}"
        for path in FILES
        if (room := path.relative_to(PACKAGE).parts[0].removesuffix(".py")) != "__init__"
        for module in imported_modules(tree_of(path))
        if (target := room_of(module)) and target != room and FLOORS[target] >= FLOORS[room]
    ]
    assert upward == []


def test_a_strategy_does_not_know_the_study() -> None:
    outside = [
        f"{name_of(path)}: {module}"
        for path in sorted(PACKAGE.rglob("search/strategies/*.py"))
        for module in imported_modules(tree_of(path))
        if room_of(module) == "search" and not module.startswith("dltune.search.strategies")
    ]
    assert outside == []


def test_a_file_is_short_and_says_what_it_is() -> None:
    faults = [f"{name_of(path)}: {fault}" for path in FILES for fault in faults_of(path)]
    assert faults == []


def faults_of(path: Path) -> Iterator[str]:
    """What a file is that no file may be."""
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    if not ast.get_docstring(tree):
        yield "no docstring"
    if (lines := len(text.splitlines())) >= LONGEST_FILE:
        yield f"{lines} lines, and {LONGEST_FILE} are too many"
    if path.stem in NO_NAMES:
        yield "its name says nothing"
    needs = ast.Import | ast.ImportFrom | ast.FunctionDef | ast.ClassDef
    is_plain = not any(isinstance(one, needs) for one in tree.body)
    if not is_plain and "from __future__ import annotations" not in text:
        yield "no future annotations"


def test_faults_of_a_file_are_found(tmp_path: Path) -> None:
    path = tmp_path / f"{sorted(NO_NAMES)[0]}.py"
    path.write_text("import os\n" * LONGEST_FILE)
    assert list(faults_of(path)) == [
        "no docstring",
        f"{LONGEST_FILE} lines, and {LONGEST_FILE} are too many",
        "its name says nothing",
        "no future annotations",
    ]


def lines_of_body(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def test_functions_are_short() -> None:
    too_long = [
        f"{name_of(path)}: {one.name} has {lines} lines"
        for path in FILES
        for one in ast.walk(tree_of(path))
        if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)
        if (lines := lines_of_body(one)) >= LONGEST_FUNCTION
    ]
    assert too_long == []


def test_a_room_imports_nothing_at_its_door() -> None:
    allowed = {"__future__", "typing", "importlib", "collections.abc"}
    at_the_door = [
        f"{name_of(path)}: {module}"
        for path in sorted(PACKAGE.rglob("__init__.py"))
        for statement in tree_of(path).body
        if isinstance(statement, ast.Import | ast.ImportFrom)
        for module in imported_modules(statement)
        if module not in allowed
    ]
    assert at_the_door == []


def modules_after(statement: str) -> set[str]:
    """The top-level modules that a fresh interpreter holds after the statement."""
    program = f"{statement}\nimport sys\nprint(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    return set(done.stdout.split())


def test_importing_dltune_imports_nothing_heavy() -> None:
    assert modules_after("import dltune") & {*HEAVY, "pydantic", "rich", "typer"} == set()


def test_the_recipe_room_needs_no_tensor_and_no_table() -> None:
    assert modules_after("import dltune.recipe.files") & set(HEAVY) == set()


def test_public_names_are_sorted_and_there() -> None:
    names = getattr(dltune, "__all__", ["__version__"])
    assert list(names) == sorted(names)
    for name in names:
        assert hasattr(dltune, name)


def test_messages_name_only_commands_that_exist() -> None:
    """What a hint says to type can be typed."""
    from dltune.cli.main import app

    names = {command.name for command in app.registered_commands}
    typed = re.compile(r"(?:Type|with:?|Try|run|next:|\n\s*Example:) dltune ([a-z-]+)")
    unknown = {
        f"{name_of(path)}: dltune {command}"
        for path in FILES
        for command in typed.findall(path.read_text(encoding="utf-8"))
        if command not in names
    }
    assert unknown == set()
