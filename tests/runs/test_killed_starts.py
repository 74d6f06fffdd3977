"""A kill -9 at any moment of a start leaves nothing that is in the way of the next one."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dltune.cli.main import main
from dltune.runs.run import load_run
from tests.search.recipes import SMALL

# Counts what a start does to files below the folder of the runs, and kills the process before one
# of these operations. A search's start is over when its first trial begins to train, and it is
# killed then at the latest; a training is killed before its operations until its end.
PROGRAM = """
import os, signal, sys

limit, runs, *arguments = sys.argv[1:]
seen = 0

def watch(event, details):
    global seen
    if arguments[0] == "search" and event == "import" and details[0] == "dltune.training.loop":
        os.write(1, b"over")
        os.kill(os.getpid(), signal.SIGKILL)
    if event == "open" or event.startswith(("os.", "fcntl.", "shutil.")):
        paths = [os.fsdecode(one) for one in details if isinstance(one, (str, bytes, os.PathLike))]
        if any(os.path.abspath(path).startswith(runs) for path in paths):
            if seen == int(limit):
                os.kill(os.getpid(), signal.SIGKILL)
            seen += 1

from dltune.cli.main import main
sys.addaudithook(watch)
sys.exit(main(arguments))
"""
EVERY = 2  # each of them would take twice as long and lies between two that are tried


def killed_at(operation: int, folder: Path, *arguments: str) -> bool:
    """Kill a start there, if it does not end before; whether it was killed before its end."""
    command = [sys.executable, "-c", PROGRAM, str(operation), str(folder / "runs"), *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode != 0 and done.stdout != "over"


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL there")
@pytest.mark.slow
@pytest.mark.parametrize("command", ["search", "train"])
def test_there_is_a_way_on_from_every_moment(
    command: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("wine.toml").write_text(SMALL)
    options = ["--trials", "2", "--workers", "1", "--stack", "off"]
    if command == "train":
        options = ["--set", "optim.lr=0.01", "--set", "train.batch_size=32"]
    kills, goes_on = 0, True
    while goes_on:
        name = f"killed-{kills}"
        arguments = [command, "wine.toml", "--name", name, *options]
        goes_on = killed_at(EVERY * kills, tmp_path, *arguments)
        kills += 1
        is_made = Path("runs", name).exists()
        assert is_made or goes_on
        kept = is_made and load_run(Path("runs", name)).trials
        code = main(arguments)
        if is_made and (kept or command == "search"):  # in one piece, with something in it
            assert code == 2
            hint = "Type --resume to go on" if command == "search" else "Give another --name"
            assert hint in capsys.readouterr().err
            code = 0 if kept else main(["search", "--resume", "--name", name])
        assert code == 0
        assert len(load_run(Path("runs", name)).trials) == (2 if command == "search" else 1)
        assert list(Path("runs").glob(".*")) == []
    assert kills > 5
