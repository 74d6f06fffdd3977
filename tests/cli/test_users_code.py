"""The user's own Python file prints and exits: neither may reach the results."""

from __future__ import annotations

import json
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
    ["search", "own.toml", "--trials", "2"],
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
