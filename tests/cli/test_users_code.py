"""The user's own Python file prints and exits: neither may reach the results."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

RECIPE = """\
[data]
source = "sklearn:iris"
[model]
factory = "net.py:build"
[optim]
lr = {log = [1e-3, 1e-1]}
[train]
epochs = 1
device = "cpu"
"""
NET = """\
import sys
from torch import nn
print("imported")
def build(inputs, outputs):
    print("built")
    %s
    return nn.Linear(*inputs, outputs)
"""
COMMANDS = [
    ["search", "own.toml", "--trials", "2", "--workers", "1"],
    ["train", "own.toml", "--set", "optim.lr=1e-2"],
    ["lr-find", "own.toml", "--steps", "20"],
]


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: words[0])
def test_prints_do_not_break_the_json(words: list[str], dltune, folder: Path) -> None:
    (folder / "own.toml").write_text(RECIPE)
    (folder / "net.py").write_text(NET % "pass")
    done = dltune(*words, "--json")
    assert isinstance(json.loads(done.out), dict)
    assert {"imported", "built"} <= set(done.err.splitlines())


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: words[0])
def test_an_exit_is_a_mistake(words: list[str], dltune, folder: Path) -> None:
    (folder / "own.toml").write_text(RECIPE)
    (folder / "net.py").write_text(NET % "sys.exit(3)")
    done = dltune(*words)
    assert (done.code, done.out) == (2, "")
    assert done.err.splitlines()[-2:] == [
        "error: a Python file of the recipe ended the program: sys.exit(3)",
        "Take the exit out of it, or raise an exception instead.",
    ]


def search_in_workers(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """A search in a process of its own: what workers print goes past the streams of Python."""
    (folder / "own.toml").write_text(RECIPE)
    return subprocess.run(
        [sys.executable, "-m", "dltune", "search", "own.toml", "--workers", "2", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_prints_of_workers_do_not_break_the_json(folder: Path) -> None:
    (folder / "net.py").write_text(NET % "pass")
    done = search_in_workers(folder, "--trials", "4", "--stack", "2", "--json")
    assert json.loads(done.stdout)["states"] == {"complete": 4}
    assert {"imported", "built"} <= set(done.stderr.splitlines())


def test_an_exit_ends_a_worker_and_fails_its_trial(folder: Path) -> None:
    (folder / "net.py").write_text(NET % "sys.exit(3)")
    done = search_in_workers(folder, "--trials", "2", "--stack", "off")
    assert done.returncode == 1
    assert "2 failed: worker exited (code 3) (trials 0, 1)" in done.stdout
