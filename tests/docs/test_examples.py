"""The examples of the help texts, and the code in the pages: they run as they stand."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dltune.cli.main import app, main
from tests.docs.consoles import Shown, parse, replay, shown_in
from tests.docs.pages import DOCS, ROOT, blocks_of
from tests.docs.shapes import differs, likeness

# In the order of the work, since a training and a report need the run of the search before them.
# What is appended makes an example small and leaves it what it is; the code says how it ends.
SMALL = {
    "lr-find": (["--steps", "40"], 0),
    "batch-find": (["--no-sweep", "--max-batch", "64"], 0),
    "search": (["--trials", "2", "--set", "train.epochs=1"], 0),
    "train": (["--set", "train.epochs=1"], 0),
    "diagnose": ([], 1),
    "report": ([], 0),
    "runs": ([], 0),
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a copy of recipes/."""
    shutil.copytree(ROOT / "recipes", tmp_path / "recipes")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def example_of(name: str) -> str:
    """The one example in a command's help."""
    (command,) = [one for one in app.registered_commands if one.name == name]
    assert command.callback is not None
    lines = [line.strip() for line in (command.callback.__doc__ or "").splitlines()]
    (example,) = [line.removeprefix("Example: ") for line in lines if line.startswith("Example: ")]
    return example


def test_every_command_has_an_example_here() -> None:
    assert set(SMALL) == {command.name for command in app.registered_commands}


@pytest.mark.parametrize("name", SMALL)
def test_the_help_has_one_sentence_and_one_example(name: str) -> None:
    context = parse(example_of(name))
    assert context.info_name == name
    sentence, blank, example, *rest = context.command.help.splitlines()
    assert sentence.endswith(".")
    assert (blank, rest) == ("", [])
    assert example == f"Example: {example_of(name)}"


def test_the_examples_run_in_order(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, (small, code) in SMALL.items():
        arguments = [*example_of(name).split()[1:], *small]
        assert main(arguments) == code, f"dltune {' '.join(arguments)}: {capsys.readouterr().err}"
        printed = capsys.readouterr()
        assert printed.out
        assert printed.err.splitlines()[-1].startswith("next: dltune ")
    assert (folder / "lr_find.png").exists()


def test_the_first_thing_that_the_program_suggests_can_be_typed() -> None:
    epilog = app.info.epilog
    assert isinstance(epilog, str)
    context = parse(epilog.removeprefix("Start with: "))
    assert (ROOT / context.params["recipe"]).is_file()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="the commands go through sh")
def test_the_example_of_own_data_and_an_own_model(tmp_path: Path) -> None:
    """docs/recipes.md: its files are written and its command gives what it shows."""
    page = list(blocks_of((DOCS / "recipes.md").read_text(encoding="utf-8")))
    files = {name: block.body for block in page if (name := block.mark("file:"))}
    assert set(files) == {"my_data.py", "my_net.py", "rings.toml"}
    for name, body in files.items():
        (tmp_path / name).write_text(body, encoding="utf-8")
    replayed = [block for block in page if block.mark("replay") is not None]
    commands = [command for block in replayed for command in shown_in(block)]
    assert commands
    for command in commands:
        code, printed = replay(command, tmp_path)
        assert code == command.code, printed
        assert differs(command.output, printed) == ""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="the commands go through sh")
def test_the_example_of_a_list_and_a_comparison(folder: Path) -> None:
    """docs/runs.md: its trainings lead to the list and to the comparison that it shows."""
    page = list(blocks_of((DOCS / "runs.md").read_text(encoding="utf-8")))
    (trainings,) = (block.body for block in page if block.language == "sh")
    for line in trainings.splitlines():
        code, printed = replay(Shown(line=line, output="", code=0), folder)
        assert code == 0, printed
    for block in (block for block in page if block.mark("replay") is not None):
        (shown,) = shown_in(block)
        code, printed = replay(shown, folder)
        assert code == 0
        if shown.varies:  # the name of the month
            assert likeness(shown.output, printed) > 0.9, printed
        else:
            assert differs(shown.output, printed) == ""


@pytest.mark.slow
def test_the_python_in_the_pages_runs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It reads runs/digits, a search, and runs/again, the training of its best.toml."""
    tiny = ["--set", "train.epochs=2"]
    main(["search", "recipes/digits-mlp.toml", "--trials", "4", "--name", "digits", *tiny])
    main(["train", "runs/digits/best.toml", "--name", "again"])
    capsys.readouterr()
    for page in ("search.md", "train.md", "lr-find.md", "batch-find.md", "python.md"):
        text = (DOCS / page).read_text(encoding="utf-8")
        programs = [block.body for block in blocks_of(text) if block.language == "python"]
        assert programs, page
        done = subprocess.run(
            [sys.executable, "-W", "ignore::FutureWarning", "-c", "\n".join(programs)],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"{page}: {done.stderr}"
