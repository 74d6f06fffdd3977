"""Runs on another disk, behind a link: the files of the recipe are found from there."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.cli.conftest import TINY, Dltune

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")

MODEL = '[model]\nfactory = "nets/net.py:build"\n'
NET = """import math
import torch
def build(inputs, outputs):
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(math.prod(inputs), outputs))
"""


@pytest.fixture(name="project")
def fixture_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A recipe with a data file and a model of its own; its runs lie on another disk."""
    project, disk = tmp_path / "home" / "project", tmp_path / "scratch" / "of" / "me"
    (project / "nets").mkdir(parents=True)
    disk.mkdir(parents=True)
    (project / "runs").symlink_to(disk, target_is_directory=True)
    (project / "nets" / "net.py").write_text(NET)
    rows = "".join(f"{n},{n % 7},{'ab'[n % 2]}\n" for n in range(60))
    (project / "data.csv").write_text("x,z,kind\n" + rows)
    head, _, rest = TINY.partition('[model]\nname = "mlp"\nhidden = [8]\n')
    data = head.replace('"sklearn:digits"', '"data.csv"\ntarget = "kind"')
    (project / "tiny.toml").write_text(data + MODEL + rest)
    monkeypatch.chdir(project)
    return project


def test_a_run_behind_a_link(dltune: Dltune, project: Path) -> None:
    assert dltune("train", "tiny.toml", "--set", "optim.lr=0.1", "--name", "one").code == 0
    assert dltune("train", "runs/one/recipe.toml", "--name", "two").code == 0
    again = dltune("train", "runs/two/best.toml", "--name", "three")
    assert again.code == 0
    kept = [file.read_text() for file in project.glob("runs/*/code/**/net.py")]
    assert kept == [NET] * 3
    compared = dltune("runs", "one", "three")
    assert "the recipes are the same" in compared.out or "train.seed" in compared.out


def test_a_search_goes_on_behind_a_link(dltune: Dltune, project: Path) -> None:
    asked = ("search", "tiny.toml", "--name", "four", "--workers", "1", "--trials")
    assert dltune(*asked, 1).code == 0
    resumed = dltune(*asked, 2, "--resume")
    assert (resumed.code, "2 trials, 1 of them done" in resumed.err) == (0, True)
    with (project / "data.csv").open("a") as data:
        data.write("61,3,b\n")
    changed = dltune(*asked, 3, "--resume")
    assert changed.code == 2
    assert "cannot go on as it began: data.csv has changed" in changed.err
