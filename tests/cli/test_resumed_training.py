"""`dltune train --resume` and `--fork`: as if nothing had been."""

from __future__ import annotations

import csv
import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from dltune.runs import keepers
from dltune.runs.checkpoint import read_checkpoint
from dltune.runs.run import load_run

OPTIONS = (
    "--set", "optim.lr=0.01", "--set", "model.dropout=0.3", "--set", "optim.name=adam",
    "--set", "schedule.name=cosine", "--set", "train.batch_size=8",
)  # fmt: skip
# A checkpoint after every epoch.
AT_ONCE = (
    "import sys; import dltune.runs.keepers as module; module.LEAST_SECONDS = 0.0; "
    "module.SHARE = 1e9; from dltune.__main__ import main; sys.exit(main())"
)


def epochs_of(run: Path) -> list[dict[str, str]]:
    """The rows of `history.csv` but for their times."""
    with (run / "history.csv").open(newline="") as rows:
        return [
            {key: value for key, value in row.items() if key != "seconds"}
            for row in csv.DictReader(rows)
        ]


def assert_same_run(one: Path, other: Path) -> None:
    assert epochs_of(one) == epochs_of(other)
    (first,), (second,) = load_run(one).trials, load_run(other).trials
    alike = {"seconds": 0.0, "history": ()}
    assert dataclasses.replace(first, **alike) == dataclasses.replace(second, **alike)
    mine, theirs = read_checkpoint(one).weights, read_checkpoint(other).weights
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)


def start(*words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", AT_ONCE, "train", *words],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for_checkpoint(run: Path, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while not (run / "checkpoints" / keepers.LAST).exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "told"])
def test_after_a_signal_it_is_the_same_training(number: int, dltune, folder: Path) -> None:
    length = ("--set", "train.epochs=150")
    assert dltune("train", "tiny.toml", *OPTIONS, *length, "--name", "whole").code == 0
    process = start("tiny.toml", *OPTIONS, *length, "--name", "cut")
    wait_for_checkpoint(Path("runs/cut"), process)
    os.killpg(process.pid, number)
    _, errors = process.communicate(timeout=60)
    if number == signal.SIGTERM:
        assert process.returncode == 143
        assert "go on with: dltune train --resume --name cut" in errors
        assert "interrupted" in load_run(Path("runs/cut")).states
    done = dltune("train", "--resume", "--name", "cut")
    assert done.code == 0
    assert "going on from epoch " in done.err
    assert_same_run(Path("runs/whole"), Path("runs/cut"))
    assert len(load_run(Path("runs/cut")).about.sessions) == 2
    again = dltune("train", "--resume", "--name", "cut")
    assert (again.code, again.out) == (2, "")
    assert again.err.splitlines() == [
        "error: runs/cut is over after 150 epochs: complete",
        "More epochs: dltune train --fork runs/cut --set train.epochs=300.",
    ]


@pytest.mark.slow
def test_data_that_have_changed_are_named(dltune, folder: Path) -> None:
    """Even if they are no such data any more."""
    rows = [f"{n % 7},{n % 5},{'ab'[n % 2]}" for n in range(90)]
    Path("own.csv").write_text("\n".join(["x,y,z", *rows]))
    recipe = Path("tiny.toml").read_text().replace('"sklearn:digits"', '"own.csv"\ntarget = "z"')
    Path("own.toml").write_text(recipe)
    long = ("--set", "optim.lr=0.01", "--set", "train.epochs=100000")
    process = start("own.toml", *long, "--name", "cut")
    wait_for_checkpoint(Path("runs/cut"), process)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    Path("own.csv").write_text("\n".join(["x,y,z", *rows, "1,1,c"]))
    done = dltune("train", "--resume", "--name", "cut")
    assert (done.code, done.out) == (2, "")
    assert (
        done.err.splitlines()[0] == "error: runs/cut cannot go on as it began: own.csv has changed"
    )


@pytest.mark.slow
def test_a_second_ctrl_c_leaves_the_checkpoint(dltune, folder: Path) -> None:
    Path("net.py").write_text(
        "import time\nfrom torch import nn\nclass Slow(nn.Linear):\n    def forward(self, x):\n"
        "        time.sleep(2.0 * self.training)\n        return super().forward(x.flatten(1))\n"
        "def build(inputs, outputs): return Slow(64, outputs)\n"
    )
    tiny, own = Path("tiny.toml").read_text(), 'factory = "net.py:build"'
    Path("own.toml").write_text(tiny.replace('name = "mlp"\nhidden = [8]', own))
    whole = ("--set", "optim.lr=0.01", "--set", "train.batch_size=full")
    process = start("own.toml", *whole, "--name", "cut")
    wait_for_checkpoint(Path("runs/cut"), process)
    for _ in range(2):
        process.send_signal(signal.SIGINT)
        time.sleep(0.2)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "stopped at once; go on with: dltune train --resume --name cut" in errors
    assert dltune("train", "--resume", "--name", "cut").code == 0


@pytest.mark.slow
def test_one_killed_before_its_first_checkpoint_begins_anew(dltune, folder: Path) -> None:
    length = ("--set", "train.epochs=100000")
    process = start("tiny.toml", *OPTIONS, *length, "--name", "cut")
    wait_for_checkpoint(Path("runs/cut"), process)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    taken = dltune("train", "tiny.toml", *OPTIONS, "--name", "cut")
    assert taken.code == 2
    assert "To go on with it: dltune train --resume --name cut" in taken.err
    for file in Path("runs/cut/checkpoints").iterdir():
        file.unlink()
    recipe = Path("runs/cut/recipe.toml")
    recipe.write_text(recipe.read_text().replace("epochs = 100000", "epochs = 2"))
    done = dltune("train", "--resume", "--name", "cut")
    assert done.code == 0
    assert "it was stopped before its first checkpoint, and begins anew" in done.err
    assert dltune("train", "tiny.toml", *OPTIONS, "--name", "whole").code == 0
    assert_same_run(Path("runs/whole"), Path("runs/cut"))


def test_a_fork_is_a_longer_training(dltune, folder: Path) -> None:
    """Under a constant schedule; from the last epoch, and from a best one that came before it."""
    same = (*OPTIONS, "--set", "schedule.name=constant", "--set", "optim.lr=0.1")
    for name, epochs in (("short", 6), ("long", 9)):
        set_epochs = ("--set", f"train.epochs={epochs}")
        assert dltune("train", "tiny.toml", *same, *set_epochs, "--name", name).code == 0
    forked = dltune(
        "train", "--fork", "short", "--from", "last", "--set", "train.epochs=9", "--name", "last"
    )
    assert forked.code == 0
    assert "going on from epoch 6 of runs/short, its last one" in forked.err
    assert_same_run(Path("runs/long"), Path("runs/last"))
    best = load_run(Path("runs/short")).trials[0].best_epoch
    forked = dltune("train", "--fork", "runs/short", "--set", "train.epochs=9", "--name", "best")
    assert f"going on from epoch {best} of runs/short, its best one" in forked.err
    assert_same_run(Path("runs/long"), Path("runs/best"))


def test_a_fork_of_a_search_has_weights_alone(dltune, study: Path, folder: Path) -> None:
    run = load_run(study)
    best = min(run.trials, key=lambda one: one.ranked or 1.0)
    forked = dltune("train", "--fork", study, "--set", "train.epochs=5", "--name", "more")
    assert forked.code == 0
    assert f"{study} has kept weights alone: " in forked.err
    trained = load_run(Path("runs/more")).trials[0]
    assert trained.epochs == 5
    assert [one.dev_loss for one in trained.history][: best.best_epoch] == [
        one.dev_loss for one in best.history
    ][: best.best_epoch]


def test_another_optimizer_begins_anew(dltune, folder: Path) -> None:
    assert dltune("train", "tiny.toml", *OPTIONS, "--name", "short").code == 0
    forked = dltune(
        "train", "--fork", "short", "--set", "train.epochs=4", "--set", "optim.name=sgd"
    )
    assert forked.code == 0
    assert "sgd begins without what adam has gathered" in forked.err
    assert (Path("runs") / "short-fork-1").is_dir()


def test_what_cannot_be_gone_on_with_is_refused(dltune, study: Path, folder: Path) -> None:
    assert dltune("train", "tiny.toml", *OPTIONS, "--name", "one").code == 0
    refused = {
        ("--fork", "one"): "--fork runs/one: 2 epochs are done, and train.epochs = 2 leaves none",
        ("--fork", "one", "--set", "model.hidden=[5]", "--set", "train.epochs=5"):
            "--fork runs/one: model.hidden was [8] there and is [5]",
        ("--fork", "one", "--set", "data.seed=5", "--set", "train.epochs=5"):
            "--fork runs/one: data.seed was 0 there and is 5",
        ("--fork", study, "--from", "last", "--set", "train.epochs=9"):
            f"{study}: has not kept its last epoch, only the weights of the best one",
        ("--fork", "one", "tiny.toml"): "--fork takes the recipe of its run",
        ("--resume",): "--resume needs the name of the training",
        ("--resume", "--name", "one", "--set", "optim.lr=1"):
            "--resume goes on with what its run folder says, and an edit is given beside it",
        ("--resume", "--name", study, "--accept-changes"):
            f"{study} is a search, and dltune train goes on with trainings",
        ("tiny.toml", "--accept-changes"): "--accept-changes is for a training that goes on",
        (): "dltune train needs a recipe",
    }  # fmt: skip
    for words, told in refused.items():
        done = dltune("train", *words)
        assert (done.code, done.out) == (2, ""), words
        assert done.err.startswith(f"error: {told}"), done.err
