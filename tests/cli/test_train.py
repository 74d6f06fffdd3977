"""`dltune train`, on a network of eight units."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dltune.recipe.files import load_recipe
from dltune.search.checkpoint import read_checkpoint
from dltune.search.run import load_run


def test_one_trial_in_a_run_folder(dltune, folder: Path) -> None:
    done = dltune("train", "tiny.toml", "--set", "optim.lr=0.01", "--set", "model.hidden=[4]")
    assert done.code == 0
    run = load_run(folder / "runs" / "tiny-1")
    (result,) = run.results
    assert done.out.startswith(f"best: epoch {result.best_epoch} of 2, ")
    assert f"dev error {result.dev_error:.4f}   train error {result.train_error:.4f}" in done.out
    lines = done.err.splitlines()
    assert "runs/tiny-1: 1 trial of 2 epochs" in lines
    last = result.history[1]
    assert (
        f"epoch 2/2  lr 0.01  train loss {last.train_loss:.4f} error {last.train_error:.4f}"
        f"  dev loss {last.dev_loss:.4f} error {last.dev_error:.4f}"
    ) in lines
    assert lines[-1].startswith("next: dltune diagnose runs/tiny-1")
    checkpoint = read_checkpoint(folder / "runs" / "tiny-1" / "checkpoints" / "best.pt")
    assert checkpoint.epoch == result.best_epoch
    assert checkpoint.config == load_recipe(folder / "runs" / "tiny-1" / "best.toml").config()


def test_seed_decides_and_json_says_it(dltune, folder: Path) -> None:
    arguments = ["train", "tiny.toml", "--set", "optim.lr=0.01", "--json"]
    same = [json.loads(dltune(*arguments, "--seed", "3").out) for _ in range(2)]
    other = json.loads(dltune(*arguments, "--seed", "4").out)
    losses = [one["best"]["dev_loss"] for one in (*same, other)]
    assert losses[0] == losses[1] != losses[2]
    assert (same[0]["strategy"], same[0]["seed"], same[0]["trials"]) == ("train", 3, 1)


def test_the_best_of_a_search_can_be_trained(dltune, study: Path, folder: Path) -> None:
    done = dltune("train", study / "best.toml", "--name", "again")
    assert done.code == 0
    best = load_run(study).best
    assert best is not None
    config = load_run(folder / "runs" / "again").trials[0].config
    assert config["optim.lr"] == best.values["optim.lr"]


def test_a_divergence_is_a_result_with_exit_code_1(dltune, folder: Path) -> None:
    done = dltune("train", "tiny.toml", "--set", "optim.name=sgd", "--set", "optim.lr=1e30")
    assert done.code == 1
    assert done.out.startswith(
        "no trial is complete\n\n1 of 1 trial did not complete:\n  1 diverged"
    )


def test_ranges_need_values(dltune, folder: Path) -> None:
    done = dltune("train", "tiny.toml")
    assert (done.code, done.out) == (2, "")
    assert done.err.splitlines() == [
        "error: the recipe has a range (optim.lr), but one value each is needed here",
        "Fix them with --set optim.lr=VALUE, or run dltune search.",
    ]


def test_a_name_that_is_taken(dltune, folder: Path) -> None:
    arguments = ["train", "tiny.toml", "--set", "optim.lr=0.01", "--name", "one"]
    assert dltune(*arguments).code == 0
    done = dltune(*arguments)
    assert done.code == 2
    assert done.err.splitlines() == [
        "error: runs/one: already exists and is not empty",
        "Give another --name, or none: the run folder is numbered then.",
    ]


def test_a_mistake_leaves_no_run_folder(dltune, folder: Path) -> None:
    done = dltune("train", "tiny.toml", "--set", "optim.lr=0.01", "--set", "objective.loss=mse")
    assert (done.code, done.out) == (2, "")
    assert "mse" in done.err
    assert not list((folder / "runs").glob("*"))


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT")
def test_ctrl_c_leaves_no_run_folder(folder: Path) -> None:
    settings = ["--set", "optim.lr=0.01", "--set", "train.epochs=1000000"]
    process = subprocess.Popen(
        [sys.executable, "-m", "dltune", "train", "tiny.toml", "--name", "long", *settings],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
    )
    assert process.stderr is not None
    try:
        for line in process.stderr:
            if "1 trial of 1000000 epochs" in line:
                break
        time.sleep(0.5)  # into the training
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert (process.returncode, out) == (130, "")
    assert err == "interrupted before the last epoch; nothing is kept in runs/long\n"
    assert not (folder / "runs" / "long").exists()


@pytest.mark.parametrize("epochs", [3, 40])
def test_few_lines_where_nobody_watches(epochs: int, dltune, folder: Path) -> None:
    done = dltune("train", "tiny.toml", "--set", "optim.lr=0.01", "--set", f"train.epochs={epochs}")
    lines = [line for line in done.err.splitlines() if line.startswith("epoch ")]
    assert len(lines) == min(epochs, 10)
    assert lines[-1].startswith(f"epoch {epochs}/{epochs}")
