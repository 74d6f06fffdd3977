"""The frame around the commands: help, version, mistakes, exit codes, completion, closed pipes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from dltune import __version__
from dltune.cli.main import app, main
from dltune.errors import DltuneError
from dltune.recipe.files import relocate
from dltune.runs.folder import RunFolder
from dltune.search.strategies.registry import STRATEGIES
from dltune.training.history import TrialState
from tests.search.made_up import about, append, finished
from tests.search.recipes import small

HEAVY = {
    "matplotlib",
    "numpy",
    "optuna",
    "pandas",
    "plotext",
    "pyarrow",
    "pydantic",
    "rich",
    "scipy",
    "sklearn",
    "torch",
}
COMMANDS = ["lr-find", "batch-find", "train", "search", "diagnose", "report", "runs"]


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The real command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "dltune", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | environment,
    )


def modules_loaded(*arguments: str) -> set[str]:
    """The top-level modules that a command leaves loaded."""
    program = (
        "import sys\n"
        "from dltune.cli.main import main\n"
        f"main({list(arguments)!r})\n"
        "print(*{name.split('.')[0] for name in sys.modules}, file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True
    )
    return set(done.stderr.split("\n")[-2].split())


def test_help_imports_nothing_heavy() -> None:
    assert modules_loaded("--help") & HEAVY == set()


def test_report_imports_no_torch(study: Path) -> None:
    assert modules_loaded("report", str(study)) & {"torch", "pandas", "sklearn"} == set()
    for names in ([], [str(study), str(study)]):
        loaded = modules_loaded("runs", *names, "--runs-dir", str(study.parent))
        assert loaded & {"torch", "pandas", "sklearn", "optuna"} == set()


def test_no_arguments_show_the_help(dltune) -> None:
    assert dltune() == dltune("--help")
    assert dltune().code == 0


def test_help_names_every_command_in_80_columns(dltune) -> None:
    out = dltune("--help").out
    listed = re.findall(r"^  ([a-z-]+)  ", out.partition("Commands:")[2], flags=re.MULTILINE)
    assert listed == COMMANDS
    assert max(map(len, out.split("\n"))) <= 80


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_a_sentence_and_an_example(command: str, dltune) -> None:
    done = dltune(command, "--help")
    paragraphs = done.out.split("\n\n")
    sentence, example = (" ".join(part.split()) for part in paragraphs[1:3])
    assert re.fullmatch(r"[A-Z][^.]+\.", sentence)
    assert example.startswith(f"Example: dltune {command}")
    assert max(map(len, done.out.split("\n"))) <= 80


@pytest.mark.parametrize("command", COMMANDS)
def test_the_example_in_the_help_has_options_that_exist(command: str, dltune) -> None:
    help_text = dltune(command, "--help").out
    example = " ".join(help_text.partition("Example: ")[2].partition("\n\n")[0].split())
    options = set(re.findall(r"(?<= )--[a-z-]+", example))
    assert options <= set(re.findall(r"^  (--[a-z-]+)", help_text, flags=re.MULTILINE))


@pytest.mark.parametrize("command", ["train", "search", "lr-find"])
def test_what_takes_a_recipe_takes_the_same_options(command: str, dltune) -> None:
    out = dltune(command, "--help").out
    listed = set(re.findall(r"^  (--[a-z-]+)", out, flags=re.MULTILINE))
    assert {"--set", "--space", "--seed", "--device", "--json"} <= listed


def test_defaults_are_shown(dltune) -> None:
    out = " ".join(dltune("search", "--help").out.split())
    assert "evolution, grid, pbt or random. [default: random]" in out
    assert "Folder of the run folders. [default: runs]" in out


def test_the_help_names_every_strategy(dltune) -> None:
    out = dltune("search", "--help").out
    assert [name for name in STRATEGIES if name not in out] == []


def test_version(dltune) -> None:
    assert dltune("--version").out == f"dltune {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "error", "hint"),
    [
        pytest.param(
            ["serach"],
            "error: No such command 'serach'. Did you mean 'search'?",
            "Type dltune --help for what it takes.",
            id="command",
        ),
        pytest.param(
            ["search", "--trails", "3"],
            "error: No such option: --trails (Possible options: --trials).",
            "Type dltune search --help for what it takes.",
            id="option",
        ),
        pytest.param(
            ["report"],
            "error: Missing argument 'RUN'.",
            "Type dltune report --help for what it takes.",
            id="argument",
        ),
    ],
)
def test_usage_errors_are_two_calm_lines(
    arguments: list[str], error: str, hint: str, dltune
) -> None:
    done = dltune(*arguments)
    assert (done.code, done.out) == (2, "")
    assert done.err.splitlines() == [error, hint]


def test_a_fault_of_dltune_keeps_its_traceback(dltune) -> None:
    @app.command("divide", hidden=True)
    def divide() -> float:
        return 1 / 0

    try:
        with pytest.raises(ZeroDivisionError):
            dltune("divide")
    finally:
        app.registered_commands.pop()


@pytest.mark.parametrize(
    ("error", "lines"),
    [
        (DltuneError("a: b", hint="Try c."), ["error: a: b", "Try c."]),
        (DltuneError("a: b"), ["error: a: b"]),
    ],
)
def test_a_mistake_of_the_user_is_told_without_traceback(
    error: DltuneError, lines: list[str], dltune
) -> None:
    @app.command("mistake", hidden=True)
    def mistake() -> None:
        raise error

    try:
        done = dltune("mistake")
    finally:
        app.registered_commands.pop()
    assert (done.code, done.out, done.err.splitlines()) == (2, "", lines)


@pytest.mark.parametrize(
    ("stop", "code", "err"),
    [(KeyboardInterrupt(), 130, "interrupted\n"), (typer.Abort(), 130, "")],
)
def test_an_interrupt_is_calm(stop: BaseException, code: int, err: str, dltune) -> None:
    @app.command("stop", hidden=True)
    def stop_here() -> None:
        raise stop

    try:
        done = dltune("stop")
    finally:
        app.registered_commands.pop()
    assert (done.code, done.out, done.err) == (code, "", err)


@pytest.mark.parametrize(
    ("raised", "says"),
    [
        (MemoryError(), "MemoryError"),
        (MemoryError("Unable to allocate 9 GiB"), "Unable to allocate 9 GiB"),
        (
            RuntimeError("can't allocate memory: 8 bytes\nat line 3"),
            "can't allocate memory: 8 bytes",
        ),
    ],
)
def test_memory_that_runs_out_is_said(raised: Exception, says: str, dltune) -> None:
    @app.command("large", hidden=True)
    def large() -> None:
        raise raised

    try:
        done = dltune("large")
    finally:
        app.registered_commands.pop()
    assert done.code == 2
    assert done.err.splitlines()[0] == f"error: out of memory: {says}"
    assert len(done.err.splitlines()) == 2


def test_a_reader_that_has_gone_is_no_error(study: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "dltune", "report", str(study)],
            stdout=writer,
            stderr=subprocess.PIPE,
            text=True,
            timeout=120,
        )
    finally:
        os.close(writer)
    assert done.returncode == 141
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr


def test_an_encoding_without_bars_is_no_error(study: Path) -> None:
    done = run("report", str(study), PYTHONIOENCODING="ascii")
    assert done.returncode == 0
    assert "dev error by epoch  ?" in done.stdout


@pytest.mark.parametrize(
    ("words", "place", "offered"),
    [
        pytest.param("dltune se", 1, ["search"], id="command"),
        pytest.param(
            "dltune search --strategy ", 3, ["evolution", "grid", "pbt", "random"], id="values"
        ),
        pytest.param("dltune search --strategy g", 3, ["grid"], id="begun value"),
        pytest.param("dltune train --device c", 3, ["cpu", "cuda"], id="device"),
        pytest.param("dltune report --js", 2, ["--json"], id="option"),
    ],
)
def test_completion(words: str, place: int, offered: list[str]) -> None:
    done = run(_DLTUNE_COMPLETE="complete_bash", COMP_WORDS=words, COMP_CWORD=str(place))
    assert done.stdout.split() == offered


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_completion_script_is_printed(shell: str) -> None:
    done = run("--show-completion", shell, _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")
    assert done.returncode == 0
    assert "_DLTUNE_COMPLETE" in done.stdout


def test_main_returns_the_exit_code_of_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    assert capsys.readouterr().err == ""


HOSTILE = "a\x1b[2J\x9b\u202e\ud800b"
SHOWN = r"a\x1b[2J\x9b\u202e\ud800b"


class TestHostileText:
    """Escapes for the terminal from a reason or a note, in any place of the output."""

    @pytest.fixture(autouse=True)
    def _runs(self, folder: Path) -> None:
        recipe = small()
        run = RunFolder.create(
            folder / "runs" / "x", relocate(recipe, folder / "runs" / "x"), about(1)
        )
        append(run, finished(recipe, 0, None, TrialState.FAILED, f"user model: {HOSTILE}"))
        run.note(note=HOSTILE)
        run.close()

    @pytest.mark.parametrize(
        "command", [("report", "x"), ("diagnose", "x", "--trial", "0"), ("runs",)], ids=" ".join
    )
    def test_it_is_shown(self, dltune, command: tuple[str, ...]) -> None:
        done = dltune(*command)
        assert SHOWN[:18] in done.out.replace("\n    ", "")  # as much as there is room for
        assert all(line.isprintable() for line in f"{done.out}{done.err}".splitlines())

    @pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
    def test_json_holds_it_as_it_is(self, encoding: str) -> None:
        program = "import sys; from dltune.cli.main import main; sys.exit(main())"
        for command, code in ((["report", "x", "--json"], 1), (["report", "x"], 1)):
            done = subprocess.run(
                [sys.executable, "-c", program, *command],
                capture_output=True,
                env=os.environ | {"PYTHONIOENCODING": encoding, "LC_ALL": "C"},
            )
            assert (done.returncode, b"Traceback" in done.stderr) == (code, False)
            if "--json" in command:
                failure = json.loads(done.stdout.decode(encoding))["failures"][0]
                assert failure["reason"] == f"user model: {HOSTILE}"

    def test_it_is_shown_in_messages(self, dltune) -> None:
        name, shown = (
            text.replace("\ud800", "").replace(r"\ud800", "") for text in (HOSTILE, SHOWN)
        )
        for command in (("report", name), ("train", name), ("train", f"--{name}")):
            done = dltune(*command)
            assert done.code == 2
            assert shown in done.err
            assert all(line.isprintable() for line in done.err.splitlines())
