"""`dltune train`, on a network of eight units."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dltune.cli.watch import epoch_line
from dltune.recipe.files import load_recipe
from dltune.runs.checkpoint import read_checkpoint
from dltune.runs.run import load_run
from dltune.training.history import EpochRecord


def test_one_trial_in_a_run_folder(dltune, folder: Path) -> None:
    done = dltune("train", "tiny.toml", "--set", "optim.lr=0.01", "--set", "model.hidden=[4]")
    assert done.code == 0
    run = load_run(folder / "runs" / "tiny-1")
    (result,) = run.trials
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
    checkpoint = read_checkpoint(folder / "runs" / "tiny-1")
    assert checkpoint.epoch == result.best_epoch
    assert checkpoint.config == load_recipe(folder / "runs" / "tiny-1" / "best.toml").config()


SHORT = ("--set", "schedule.name=one-cycle", "--set", "train.epochs=1")
FULL = ("--set", "train.batch_size=full", "--set", "model.hidden=[4]")
SHORT_NOTE = "optim.lr is never reached, at most 4e-06 of it: one-cycle has 1 update"


@pytest.mark.parametrize("command", ["train", "lr-find"])
def test_a_training_too_short_for_its_schedule_is_told(dltune, folder: Path, command: str) -> None:
    more = ["--set", "optim.lr=0.01"] if command == "train" else ["--no-validate"]
    done = dltune(command, "tiny.toml", *SHORT, *FULL, *more)
    assert done.code == 0
    assert done.err.count(SHORT_NOTE) == 1
    assert "never reached" not in dltune(command, "tiny.toml", *SHORT[:2], *more).err


def test_a_search_tells_of_schedules_too_short(dltune, folder: Path) -> None:
    search = ["search", "tiny.toml", "--trials", "1", "--workers", "1", *SHORT[:2], *FULL]
    assert f"in some trials {SHORT_NOTE}" in dltune(*search, "--space", "train.epochs=int:1:9").err
    assert SHORT_NOTE in dltune(*search, *SHORT[2:]).err.splitlines()[2]
    assert "never reached" not in dltune(*search, "--set", "train.epochs=9").err


def test_an_epoch_fits_the_terminal() -> None:
    """Words go before numbers, and the dev error stays."""
    figures = {"train_loss": 0.277912, "train_error": 0.1, "dev_loss": 1234.5, "dev_error": 0.117}
    record = EpochRecord(
        trial=0,
        epoch=7,
        lr=1.3e-2,
        grad_norm=1.0,
        update_ratio=1e-3,
        dead_units=None,
        seconds=0.1,
        **figures,
    )
    whole = epoch_line(record, 500)
    assert whole == (
        "epoch   7/500  lr 0.013  train loss 0.2779 error 0.1000  dev loss 1234.5 error 0.1170"
    )
    for columns in (34, 40, 60, 80):
        line = epoch_line(record, 500, columns=columns)
        assert len(line) <= columns
        assert "7/500" in line
        assert "0.1170" in line
    assert epoch_line(record, 500, columns=100) == whole


def test_seed_decides_and_json_says_it(dltune, folder: Path) -> None:
    arguments = ["train", "tiny.toml", "--set", "optim.lr=0.01", "--json"]
    same = [json.loads(dltune(*arguments, "--seed", "3").out) for _ in range(2)]
    other = json.loads(dltune(*arguments, "--seed", "4").out)
    losses = [one["best"]["dev_loss"] for one in (*same, other)]
    assert losses[0] == losses[1] != losses[2]
    assert (same[0]["command"], same[0]["seed"], same[0]["trials"]) == ("train", 3, 1)


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


def test_a_model_that_is_not_there_leaves_no_run_folder(dltune, folder: Path) -> None:
    (folder / "net.py").write_text("def build(inputs, outputs): ...")
    (folder / "own.toml").write_text(
        '[data]\nsource = "sklearn:wine"\n[model]\nfactory = "net.py:biuld"\n'
    )
    done = dltune("train", "own.toml")
    assert (done.code, done.out) == (2, "")
    assert done.err == "error: net.py:biuld: net.py has no biuld; did you mean build?\n"
    assert not (folder / "runs").exists()


def rows_of(run: Path) -> list[dict[str, str]]:
    with (run / "trials.csv").open() as file:
        return list(csv.DictReader(file))


def start_long(folder: Path) -> subprocess.Popen[str]:
    """A training of a million epochs that has begun."""
    settings = ["--set", "optim.lr=0.01", "--set", "train.epochs=1000000"]
    process = subprocess.Popen(
        [sys.executable, "-m", "dltune", "train", "tiny.toml", "--name", "long", *settings],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert process.stderr is not None
    for line in process.stderr:
        if "1 trial of 1000000 epochs" in line:
            break
    time.sleep(2)  # into the training
    return process


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT")
@pytest.mark.slow
def test_ctrl_c_stops_after_the_update_and_keeps_what_was_trained(dltune, folder: Path) -> None:
    process = start_long(folder)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "dev error" in out
    assert err.startswith("stopping after this update; Ctrl-C again stops at once")
    row = rows_of(folder / "runs" / "long")[0]
    assert row["state"] == "interrupted"
    assert row["reason"] == f"stopped by Ctrl-C after epoch {row['epochs']} of 1000000"
    assert f"{row['reason']}; runs/long keeps the best epoch so far" in err
    assert (folder / "runs" / "long" / "checkpoints" / "best.safetensors").exists()
    assert dltune("diagnose", "runs/long").code in (0, 1)


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT")
@pytest.mark.slow
def test_a_second_ctrl_c_stops_at_once_and_leaves_no_run_folder(folder: Path) -> None:
    # A step that never ends, so that the first Ctrl-C has nothing to wait for.
    (folder / "slow.py").write_text(
        "import time\nfrom torch import nn\n\n"
        "class Slow(nn.Linear):\n"
        "    def forward(self, x):\n"
        "        if self.training:\n"
        "            time.sleep(600)\n"
        "        return super().forward(x.flatten(1))\n\n"
        "def build(inputs, outputs):\n"
        "    return Slow(inputs[0], outputs)\n"
    )
    (folder / "tiny.toml").write_text(
        '[data]\nsource = "sklearn:wine"\n[model]\nfactory = "slow.py:build"\n'
    )
    process = start_long(folder)
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert "stopped at once; nothing is kept in runs/long\n" in err
    assert not (folder / "runs" / "long").exists()


def test_the_best_recipe_of_a_search_gives_the_same_numbers_again(dltune, folder: Path) -> None:
    assert dltune("search", "tiny.toml", "--trials", "3", "--name", "found").code == 0
    assert dltune("train", "runs/found/best.toml", "--name", "again").code == 0
    searched = rows_of(folder / "runs" / "found")
    best = min(searched, key=lambda row: (float(row["objective"]), int(row["trial"])))
    again = rows_of(folder / "runs" / "again")[0]
    for column in ("dev_error", "dev_loss", "test_loss", "train_loss", "best_epoch", "seed"):
        assert again[column] == best[column]


@pytest.mark.parametrize("epochs", [3, 40])
def test_few_lines_where_nobody_watches(epochs: int, dltune, folder: Path) -> None:
    done = dltune("train", "tiny.toml", "--set", "optim.lr=0.01", "--set", f"train.epochs={epochs}")
    lines = [line for line in done.err.splitlines() if line.startswith("epoch ")]
    assert len(lines) == min(epochs, 10)
    assert lines[-1].startswith(f"epoch {epochs}/{epochs}")
    assert not {"\x1b", "┌", "⠒"} & {*done.err, *done.out}


def test_what_the_curves_say_is_in_the_summary(dltune, folder: Path) -> None:
    settings = ["--set", "optim.lr=0.01", "--set", "train.epochs=3", "--name", "three"]
    trained = dltune("train", "tiny.toml", *settings)
    told = "curves: 3 epochs are too few to read a trend from"
    assert trained.out.splitlines()[-1] == told
    document = json.loads(dltune("report", "three", "--json").out)
    assert document["curves"] == [told.removeprefix("curves: ")]
    drawn, _, rest = dltune("report", "three").out.partition("\n\n")
    assert rest == trained.out
    assert drawn.splitlines()[0].split() == ["loss", "error"]
    assert drawn.splitlines()[-2].split() == ["1", "2", "3"] * 2
    assert drawn.splitlines()[-1] == "⠒ dev   · train"


def test_curves_of_a_training_that_diverged(dltune, folder: Path) -> None:
    settings = ["--set", "optim.name=sgd", "--set", "optim.lr=1e30", "--name", "wild"]
    told = dltune("train", "tiny.toml", *settings).out
    assert (
        "diverged: non-finite loss (trial 0)\ncurves: train loss left the finite numbers in" in told
    )
    assert dltune("report", "wild").out.endswith(told)


WILD = """\
[data]
source = "sklearn:diabetes"

[model]
hidden = [8]

[optim]
name = "sgd"
lr = 20

[train]
epochs = 5
batch_size = 16
device = "cpu"
on_divergence = "lr/10"
"""


def epochs_of(run: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((run / "history.csv").read_text().splitlines()))


def test_a_training_that_diverges_goes_on_at_a_tenth(dltune, folder: Path) -> None:
    """At 20 and at 2 it overflows; report, diagnose and best.toml take it as it is."""
    (folder / "wild.toml").write_text(WILD)
    done = dltune("train", "wild.toml")
    assert done.code == 0
    lines = done.err.splitlines()
    for epoch in (1, 2):
        line = f"non-finite loss in epoch {epoch}: back to the start, and on at a tenth of the rate"
        assert lines.count(line) == 1
    assert sum("tenth" in line for line in lines) == 2
    rows = epochs_of(folder / "runs" / "wild-1")
    assert [float(row["lr"]) for row in rows] == [20.0, 2.0, 0.2, 0.2, 0.2]
    assert [row["dev_loss"] == "nan" for row in rows] == [True, True, False, False, False]
    assert dltune("train", "runs/wild-1/best.toml", "--name", "again").code == 0
    for one, other in zip(rows, epochs_of(folder / "runs" / "again"), strict=True):
        assert one | {"seconds": ""} == other | {"seconds": ""}
    (trial,) = load_run(folder / "runs" / "wild-1").trials
    good = {int(row["epoch"]): float(row["dev_error"]) for row in rows[2:]}
    assert trial.best_epoch == min(good, key=good.__getitem__)
    assert dltune("report", "runs/wild-1").out.startswith("                  loss")
    assert "went on at a tenth of the rate" in " ".join(done.out.split())
    document = json.loads(dltune("report", "runs/wild-1", "--json").out, parse_constant=pytest.fail)
    assert document["best"]["trial"] == 0
    assert dltune("diagnose", "runs/wild-1").out.startswith("runs/wild-1 trial 0 (best): high bias")
    forked = dltune("train", "--fork", "runs/wild-1", "--from", "last", "--set", "train.epochs=7")
    assert forked.code == 0
    more = epochs_of(folder / "runs" / "wild-1-fork-1")[5:]
    assert [float(row["lr"]) for row in more] == [0.2, 0.2]


def test_after_three_tenths_a_training_has_diverged(dltune, folder: Path) -> None:
    (folder / "wild.toml").write_text(WILD)
    done = dltune("train", "wild.toml", "--set", "optim.lr=20000")
    assert done.code == 1
    assert done.err.count("on at a tenth of the rate") == 3
    assert "1 diverged: non-finite loss (trial 0)" in done.out
    found = dltune("diagnose", "runs/wild-1", "--trial", "0")
    assert "trial 0 diverged after 4 epochs: non-finite loss in epoch 4" in " ".join(
        found.out.split()
    )


def test_settings_that_change_are_trained_again_from_best_toml(dltune, folder: Path) -> None:
    tiny = (folder / "tiny.toml").read_text()
    lines = '\n[replay]\n"optim.lr" = [[1, 0.02], [2, 0.005]]\n'
    (folder / "moving.toml").write_text(tiny + lines)
    words = ("--set", "optim.lr=0.01", "--set", "train.epochs=3")
    assert dltune("train", "moving.toml", *words, "--name", "first").code == 0
    rows = epochs_of(folder / "runs" / "first")
    assert [float(row["lr"]) for row in rows] == [0.01, 0.02, 0.005]
    assert dltune("train", "runs/first/best.toml", "--name", "again").code == 0
    for one, other in zip(rows, epochs_of(folder / "runs" / "again"), strict=True):
        assert one | {"seconds": ""} == other | {"seconds": ""}
    forked = dltune("train", "--fork", "runs/first", "--from", "last", "--set", "train.epochs=5")
    assert forked.code == 0
    more = epochs_of(folder / "runs" / "first-fork-1")[3:]
    assert [float(row["lr"]) for row in more] == [0.005, 0.005]
    assert dltune("diagnose", "runs/first").code in (0, 1)
    refused = dltune("train", "moving.toml", "--set", 'replay."optim.lrr"=[[1,0.1]]')
    assert refused.code == 2
