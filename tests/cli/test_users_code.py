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
EXITS = """\
import sys
from torch import nn

class Exits(nn.Linear):
    def forward(self, x):
        if self.training:
            sys.exit(3)
        return super().forward(x)

def build(inputs, outputs):
    return Exits(*inputs, outputs)
"""
COMMANDS = [
    ["search", "own.toml", "--trials", "2", "--workers", "1"],
    ["train", "own.toml", "--set", "optim.lr=1e-2"],
    ["lr-find", "own.toml", "--steps", "20"],
]


@pytest.mark.parametrize("words", COMMANDS[1:], ids=lambda words: words[0])
def test_prints_do_not_break_the_json(words: list[str], dltune, folder: Path) -> None:
    (folder / "own.toml").write_text(RECIPE)
    (folder / "net.py").write_text(NET % "pass")
    done = dltune(*words, "--json")
    assert isinstance(json.loads(done.out), dict)
    assert {"imported", "built"} <= set(done.err.splitlines())


ALL_COMMANDS = [*COMMANDS, ["batch-find", "own.toml", "--set", "optim.lr=1e-2"]]
ANYTHING = {
    "SystemExit: 3": "sys.exit(3)",
    "CancelledError: late": "import asyncio; raise asyncio.CancelledError('late')",
    "KeyboardInterrupt (net.py, line 6)": "raise KeyboardInterrupt",
}


@pytest.mark.parametrize(("told", "line"), ANYTHING.items(), ids=ANYTHING)
@pytest.mark.parametrize("words", ALL_COMMANDS, ids=lambda words: words[0])
def test_whatever_the_model_raises_is_a_mistake_of_the_model(
    words: list[str], told: str, line: str, dltune, folder: Path
) -> None:
    (folder / "own.toml").write_text(RECIPE)
    (folder / "net.py").write_text(NET % line)
    done = dltune(*words)
    said = f"net.py:build' raised {told}"
    trains = words[0] == "train"  # a search looks at the model before, a finder at its first step
    assert done.code == (1 if trains else 2)
    assert said in " ".join((done.out if trains else done.err).split())


@pytest.mark.parametrize(("told", "line"), ANYTHING.items(), ids=ANYTHING)
@pytest.mark.parametrize("words", ALL_COMMANDS, ids=lambda words: words[0])
def test_whatever_an_import_or_the_data_raise_is_a_mistake(
    words: list[str], told: str, line: str, dltune, folder: Path
) -> None:
    (folder / "own.toml").write_text(RECIPE)
    (folder / "net.py").write_text(f"import sys\n\n\n\n\n{line}\n")
    done = dltune(*words)
    assert (done.code, done.out) == (2, "")
    assert f"net.py, line 6: failed: {told.partition(' (')[0]}" in done.err  # the line is said
    source = RECIPE.replace("sklearn:iris", "data.py:load")
    (folder / "own.toml").write_text(source.replace('factory = "net.py:build"', "hidden = [8]"))
    (folder / "data.py").write_text(f"import sys\n\n\n\ndef load():\n    {line}\n")
    done = dltune(*words)
    assert (done.code, done.out) == (2, "")
    assert f"error: data.py:load: raised {told.replace('net.py', 'data.py')}" in done.err
    assert "Traceback" not in done.err


def search_in_workers(
    folder: Path, *words: str, workers: int = 2
) -> subprocess.CompletedProcess[str]:
    """A search in a process of its own: what workers print goes past the streams of Python."""
    (folder / "own.toml").write_text(RECIPE)
    return subprocess.run(
        [sys.executable, "-m", "dltune", "search", "own.toml", "--workers", str(workers), *words],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_prints_of_workers_do_not_break_the_json(workers: int, folder: Path) -> None:
    (folder / "net.py").write_text(NET % "pass")
    done = search_in_workers(folder, "--trials", "4", "--stack", "2", "--json", workers=workers)
    assert json.loads(done.stdout)["states"] == {"complete": 4}
    assert {"imported", "built"} <= set(done.stderr.splitlines())


@pytest.mark.slow
def test_code_that_ends_its_process_ends_no_search(folder: Path) -> None:
    """With one worker, too: a user's model never trains in the command's own process."""
    (folder / "net.py").write_text(EXITS.replace("sys.exit(3)", "sys.modules['os']._exit(3)"))
    done = search_in_workers(folder, "--trials", "1", "--stack", "off", workers=1)
    assert done.returncode == 1
    assert "1 failed: worker exited (code 3) (trial 0)" in " ".join(done.stdout.split())


@pytest.mark.slow
def test_an_exit_fails_its_trial_and_ends_no_worker(folder: Path) -> None:
    (folder / "net.py").write_text(EXITS)
    done = search_in_workers(folder, "--trials", "2", "--stack", "off")
    assert done.returncode == 1
    assert "SystemExit: 3 (net.py, line 7) (trials 0, 1)" in " ".join(done.stdout.split())
