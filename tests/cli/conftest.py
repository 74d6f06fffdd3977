"""Running `dltune` in this process, on recipes that train in a fraction of a second."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from dltune.cli.main import main

TINY = """\
# a search that takes no time
[data]
source = "sklearn:digits"

[model]
name = "mlp"
hidden = [8]

[optim]
name = "adam"
lr = {log = [1e-3, 1e-1], points = 3}

[train]
epochs = 2
batch_size = 256
device = "cpu"
"""


@dataclasses.dataclass(frozen=True)
class Done:
    """What a command came to: exit code, stdout, stderr."""

    code: int
    out: str
    err: str


Dltune = Callable[..., Done]


@pytest.fixture
def dltune(capsys: pytest.CaptureFixture[str]) -> Dltune:
    """Run a command as typed, one argument a word."""

    def run(*arguments: object) -> Done:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Done(code, captured.out, captured.err)

    return run


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory with `tiny.toml` in it; runs go to its `runs`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.toml").write_text(TINY)
    return tmp_path


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of a finished search of four trials; read it, do not change it."""
    place = tmp_path_factory.mktemp("study")
    (place / "tiny.toml").write_text(TINY)
    recipe, runs = str(place / "tiny.toml"), str(place / "runs")
    assert main(["search", recipe, "--trials", "4", "--name", "four", "--runs-dir", runs]) == 0
    return place / "runs" / "four"
