"""The README's commands, run again from top to bottom: what it shows is what the program prints."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import pytest

from tests.docs.consoles import Shown, code_of, fault, replay, shown_in
from tests.docs.pages import README, ROOT, Block, blocks_of

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the commands go through sh")

NEEDED = {"lr-find", "search", "diagnose"}  # what the page promises to show


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a copy of recipes/, as after a clone; runs go to its `runs`."""
    shutil.copytree(ROOT / "recipes", tmp_path / "recipes")
    return tmp_path


def commands_in(text: str) -> list[Shown]:
    consoles = [block for block in blocks_of(text) if block.language == "console"]
    return [shown for block in consoles for shown in shown_in(block)]


def test_the_readme_shows_commands_with_their_output() -> None:
    shown = commands_in(README.read_text(encoding="utf-8"))
    there = {command.line.split()[1] for command in shown}
    assert there >= NEEDED, (
        "README.md must show them in ```console blocks as `$ dltune COMMAND ...` with what it "
        f"prints; missing: {', '.join(sorted(NEEDED - there))}"
    )
    silent = [command.line for command in shown if not command.output.strip()]
    assert silent == [], "commands without their output; a line `...` stands for what is left out"


@pytest.mark.slow
def test_the_readme_shows_what_the_program_prints(folder: Path) -> None:
    shown = commands_in(README.read_text(encoding="utf-8"))
    assert shown, "README.md has no ```console block with a line `$ dltune ...`"
    # In order: the later ones need the runs of the earlier ones.
    wrong = [found for command in shown if (found := fault(command, folder))]
    assert not wrong, "\n\n".join(wrong)


def block(body: str, *marks: str) -> Block:
    return Block(marks=marks, language="console", body=body, line=7)


@pytest.mark.parametrize(
    ("output", "code"),
    [
        ("best: epoch 3 of 5, 0.1 s, 26 parameters\n", 0),
        ("error: recipes/digit.toml: no such file\nDid you mean digits.toml?\n", 2),
        ("BIAS001 high-bias (error)\n  seen   train error 12 %\n", 1),
        ("fine\n\nGAP001 relative-gap (info)\n", 0),
        ("runs/a trial 3 (best): inconclusive\n\nVAR002 variance-unclear (warning)\n", 1),
        ("2 of 64 trials did not complete:\n", 1),
        ("stopped by Ctrl-C\n", 0),
    ],
)
def test_exit_codes_told_by_a_transcript(output: str, code: int) -> None:
    assert code_of(output) == code
    (shown,) = shown_in(block(f"$ dltune report digits\n{output}"))
    assert shown.code == code


def test_exit_codes_told_by_a_mark() -> None:
    body = "$ dltune lr-find a.toml\nflat\n$ ls\n$ dltune report b\nbest\n"
    assert [shown.code for shown in shown_in(block(body, "exit 1"))] == [1, 1]
    assert [shown.code for shown in shown_in(block(body, "exit 1 0 0"))] == [1, 0]
    assert [shown.line for shown in shown_in(block(body))] == [
        "dltune lr-find a.toml",
        "dltune report b",
    ]
    with pytest.raises(AssertionError, match="line 7: 3 commands, but <!-- exit --> has 2 codes"):
        list(shown_in(block(body, "exit 1 0")))


def test_a_replayed_command_runs_in_the_folder_and_through_a_pipe(folder: Path) -> None:
    (shown,) = shown_in(block("$ dltune train no.toml 2>&1 | head -1\nerror: no.toml\n"))
    assert replay(shown, folder) == (0, "error: no.toml: no such file\n")
    code, printed = replay(Shown(line="dltune train no.toml", output="", code=2), folder)
    assert (code, printed.splitlines()[0]) == (2, "error: no.toml: no such file")


def test_the_readme_fits_a_terminal_and_starts_with_what_can_be_typed() -> None:
    """In 40 lines: what it is, how to install it, the main commands and one measured claim."""
    lines = README.read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if len(line) > 80] == []
    start = "\n".join(lines[:40])
    assert "pip install" in start
    assert {shown.line.split()[1] for shown in commands_in(start)} == NEEDED
    assert "[measured](docs/benchmarks.md)" in start
    before = "\n".join(lines[: lines.index("```sh")])
    assert re.findall(r"\d+(?:\.\d+)? ?(?:%|times)", before) == []
