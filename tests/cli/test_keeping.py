"""`--name` of the finders: what a run folder keeps of them, and when there is none."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dltune.recipe.files import load_recipe
from dltune.runs.lock import FolderLock
from dltune.runs.run import load_run

OWN = """\
# Two moons of no importance.
[data]
source = "points.csv"
target = "side"

[model]
factory = "net.py:build"

[train]
epochs = 2
batch_size = 16
device = "cpu"
"""
NET = """\
from torch import nn
def build(inputs, outputs):
    return nn.Sequential(nn.Linear(*inputs, 8), nn.ReLU(), nn.Linear(8, outputs))
"""
WINE = """\
data.source = "sklearn:wine"
model.hidden = [8]
train = { epochs = 4, device = "cpu" }
"""
LR = ("lr-find", "own.toml", "--seeds", "1", "--steps", "40", "--no-validate")
BATCH = ("batch-find", "own.toml", "--max-batch", "16", "--no-sweep")
FINDERS = [pytest.param(LR, "lr_find.csv", id="lr-find"),
           pytest.param(BATCH, "batch_find.csv", id="batch-find")]  # fmt: skip


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with data, a model and a recipe of one's own."""
    monkeypatch.chdir(tmp_path)
    rows = [f"{i % 7},{i % 5},{'left' if i % 7 < i % 5 else 'right'}" for i in range(80)]
    (tmp_path / "points.csv").write_text("\n".join(["a,b,side", *rows]) + "\n")
    (tmp_path / "net.py").write_text(NET)
    (tmp_path / "own.toml").write_text(OWN)
    (tmp_path / "wine.toml").write_text(WINE)
    return tmp_path


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(("words", "table"), FINDERS)
def test_a_run_folder_holds_what_was_found_and_how(
    own: Path, words: tuple[str, ...], table: str, dltune
) -> None:
    edits = ["--set", "train.epochs=3", "--note", "to be sure", "--seed", "5"]
    done = dltune(*words, *edits, "--name", "first", "--json")
    assert done.code in (0, 1)
    path = own / "runs" / "first"
    run = load_run(path)
    about, (session,) = run.about, run.about.sessions
    assert (about.command, about.trials, about.seed, run.trials) == (words[0], 0, 5, ())
    assert (about.data.task, about.data.class_names) == ("classification", ("left", "right"))
    assert about.data.examples == {"train": 48, "dev": 16, "test": 16, "train_dev": None}
    assert (session.ending, session.note, session.device) == ("complete", "to be sure", "cpu")
    assert session.ended is not None
    assert session.threads is not None
    assert "torch" in session.versions
    assert session.data == {"../../points.csv": sha256(own / "points.csv")}
    assert session.code == {"net.py": sha256(own / "net.py")}
    assert (path / "code" / "net.py").read_text() == NET
    config = load_recipe(path / "recipe.toml").config()
    assert (config.data.source, config.train.epochs) == ("../../points.csv", 3)

    document = json.loads(done.out)
    assert document["csv"] == f"runs/first/{table}"
    assert (path / table).exists()
    assert not Path(table).exists()
    assert run.result() == document
    assert json.loads((path / "result.json").read_text())["format"] == 1
    assert f"wrote runs/first/{table}" in done.err.splitlines()
    assert "runs/first keeps the result" in done.err.splitlines()


@pytest.mark.parametrize(("words", "table"), FINDERS)
def test_without_a_name_there_is_no_folder(
    own: Path, words: tuple[str, ...], table: str, dltune
) -> None:
    assert dltune(*words).code in (0, 1)
    assert Path(table).exists()
    assert not Path("runs").exists()
    done = dltune(*words, "--note", "of what")
    assert (done.code, done.out) == (2, "")
    assert done.err.splitlines() == [
        "error: --note: it is kept in a run folder, and none is written without --name",
        "Add --name and a name.",
    ]


def test_files_that_are_asked_for_elsewhere_are_in_the_folder_too(own: Path, dltune) -> None:
    done = dltune(*LR, "--name", "first", "--csv", "curve.csv", "--plot", "curve.png")
    assert "wrote curve.csv and curve.png" in done.err.splitlines()
    folder = own / "runs" / "first"
    assert (folder / "lr_find.csv").read_text() == Path("curve.csv").read_text()
    assert (folder / "lr_find.png").read_bytes() == Path("curve.png").read_bytes()
    assert load_run(folder).result()["csv"] == "curve.csv"  # type: ignore[index]


def test_the_same_is_found_with_a_name_and_without(own: Path, dltune) -> None:
    named, unnamed = dltune(*LR, "--name", "first"), dltune(*LR)
    assert (named.code, named.out) == (unnamed.code, unnamed.out)
    assert (own / "runs" / "first" / "result.txt").read_text() == named.out


@pytest.mark.parametrize("words", [LR, BATCH], ids=["lr-find", "batch-find"])
def test_a_taken_name_is_refused_at_once(own: Path, words: tuple[str, ...], dltune) -> None:
    Path("runs/first").mkdir(parents=True)
    Path("runs/first/mine.txt").write_text("keep me")
    Path("points.csv").unlink()  # it is not even looked for
    done = dltune(*words, "--name", "first")
    assert (done.code, done.out) == (2, "")
    assert done.err.splitlines()[-2:] == [
        "error: runs/first: already exists and is not empty",
        "Give another --name, or none: no run folder is written then.",
    ]
    assert [file.name for file in Path("runs/first").iterdir()] == ["mine.txt"]


def test_a_name_that_is_no_name_has_its_own_advice(own: Path, dltune) -> None:
    done = dltune(*LR, "--name", "a/b")
    assert done.err.splitlines()[-1] == (
        "Use --runs-dir for the place: --runs-dir my/runs --name first."
    )


@pytest.mark.parametrize("words", [LR, BATCH], ids=["lr-find", "batch-find"])
def test_a_mistake_leaves_no_folder(own: Path, words: tuple[str, ...], dltune) -> None:
    Path("net.py").write_text(NET.replace("nn.Linear(8, outputs)", "nn.Linear(9, outputs)"))
    done = dltune(*words, "--name", "first")
    assert (done.code, done.out) == (2, "")
    assert "mat1 and mat2 shapes cannot be multiplied" in done.err
    assert not list(Path("runs").iterdir())


class TestOver:
    WORDS = ("lr-find", "wine.toml", "--seeds", "1", "--steps", "40", "--name", "first")

    def test_a_comparison_is_kept_as_it_is_shown(self, own: Path, dltune) -> None:
        done = dltune(*self.WORDS, "--over", "optim.weight_decay=0,1e-4")
        folder = own / "runs" / "first"
        assert (folder / "result.txt").read_text() == done.out
        assert (folder / "lr_find.csv").read_text().startswith("value,suggestion,")
        reported = dltune("report", "first")
        assert (reported.code, reported.out) == (done.code, done.out)
        assert reported.err == (
            "next: dltune lr-find runs/first/recipe.toml --set optim.weight_decay=VALUE  "
            "(the curve of one of them)\n"
        )

    def test_several_are_one_result(self, own: Path, dltune) -> None:
        """The second compares two data sets, and the run has a hash for each."""
        over = ["--over", "train.batch_size=16,32", "--over", "data.seed=0,1", "--json"]
        done = dltune(*self.WORDS, *over)
        run = load_run(own / "runs" / "first")
        assert run.result() == json.loads(done.out)
        assert [one["over"] for one in json.loads(done.out)["comparisons"]] == [
            "train.batch_size",
            "data.seed",
        ]
        assert len(set(run.about.data_hashes.values())) == 1  # of what lies in the package
        assert len(run.about.data_hashes) == 2


def start_long(folder: Path) -> subprocess.Popen[str]:
    """A validation of many epochs that has begun."""
    words = ["lr-find", "wine.toml", "--validate", "--set", "train.epochs=100000", "--seeds", "1"]
    process = subprocess.Popen(
        [sys.executable, "-m", "dltune", *words, "--name", "long"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("validation: "):
            break
    return process


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT")
@pytest.mark.slow
def test_ctrl_c_leaves_no_folder(own: Path) -> None:
    process = start_long(own)
    assert (own / "runs" / "long").is_dir()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert err == "stopped at once; nothing is kept in runs/long\ninterrupted\n"
    assert not list((own / "runs").iterdir())


@pytest.mark.skipif(sys.platform == "win32", reason="kills, and locks a folder")
@pytest.mark.slow
def test_what_was_killed_makes_room_for_its_name(own: Path, dltune) -> None:
    process = start_long(own)
    process.kill()
    process.communicate(timeout=60)
    done = dltune("report", "long")
    assert (done.code, done.out) == (2, "")
    assert done.err.splitlines() == [
        "error: runs/long has no result: its dltune lr-find is running, or was killed",
        "Wait for it, or type it again: dltune lr-find wine.toml --validate "
        "--set train.epochs=100000 --seeds 1 --name long",
    ]
    lock = FolderLock(own / "runs" / "long")
    try:
        assert dltune(*LR, "--name", "long").code == 2
    finally:
        lock.release()
    done = dltune(*LR, "--name", "long")
    assert done.code in (0, 1)
    assert done.err.startswith("runs/long: its lr-find was killed and kept nothing; used again\n")
    assert load_run(own / "runs" / "long").result() is not None
    assert dltune(*LR, "--name", "long").code == 2


def test_what_other_commands_say_to_it(own: Path, dltune) -> None:
    """Their advice works as it is typed, and the folder stays as it is."""
    found = dltune(*LR, "--space", "optim.lr=log:1e-4:1e-1", "--name", "first")
    before = {file: file.read_bytes() for file in Path("runs/first").rglob("*.*")}
    done = dltune("diagnose", "first")
    assert (done.code, done.out) == (2, "")
    error, advice = done.err.splitlines()
    assert error == "error: runs/first, a run of lr-find, has no trials"
    command = advice.removeprefix("Type dltune ").removesuffix(" for what it has found.")
    assert dltune(*command.split()).out == found.out
    done = dltune("search", "--resume", "--name", "first")
    assert (done.code, done.out) == (2, "")
    error, advice = done.err.splitlines()
    assert error == "error: runs/first is a run of dltune lr-find, which a search cannot go on with"
    assert advice.startswith("Start one from its recipe: dltune search runs/first/recipe.toml ")
    command = advice.partition(": dltune ")[2].removesuffix("32")
    assert dltune(*command.split(), "1").code == 0
    assert {file: file.read_bytes() for file in Path("runs/first").rglob("*.*")} == before
    shutil.move("runs/first", "runs/moved")
    assert dltune("report", "moved").out == found.out
