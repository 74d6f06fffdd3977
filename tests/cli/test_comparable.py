"""Searches whose trials could not be compared: refused by a new one, still read in an old one."""

from __future__ import annotations

import csv
import shlex
from pathlib import Path

import pytest

from dltune.recipe.files import load_recipe, relocate
from dltune.runs.folder import RunFolder
from dltune.training.seeds import trial_seed
from tests.search.made_up import about, append, finished

NOISY = """\
[data]
source = "noisy.csv"
target = "t"
[objective]
loss = "huber"
metric = "dev_loss"
huber_delta = {choice = [1.0, 0.001]}
[train]
epochs = 1
device = "cpu"
"""
SEARCH = ("search", "noisy.toml", "--trials", "2", "--workers", "1", "--stack", "off")


@pytest.fixture
def noisy(folder: Path) -> Path:
    """A recipe whose range changes the unit of the loss, on a table beside it."""
    rows = [f"{n % 17 / 8},{n % 17 / 8 + n % 5 / 20}" for n in range(100)]
    (folder / "noisy.csv").write_text("\n".join(["x,t", *rows]) + "\n")
    (folder / "noisy.toml").write_text(NOISY)
    return folder


def test_a_range_over_the_unit_of_the_loss_is_refused_and_both_ways_out_work(
    dltune, noisy: Path
) -> None:
    done = dltune(*SEARCH)
    assert (done.code, done.out) == (2, "")
    assert done.err.splitlines() == [
        "error: objective.huber_delta is a range: dev losses in different units cannot be compared",
        "Rank by the error with --set objective.metric=dev_error, or fix it with "
        "--set objective.huber_delta=1.0.",
    ]
    assert not (noisy / "runs").exists()
    assert dltune(*SEARCH, "--set", "objective.metric=dev_error").code == 0
    rates = ("--space", "optim.lr=log:1e-3:1e-1")
    assert dltune(*SEARCH, "--set", "objective.huber_delta=1.0", *rates).code == 0


def test_a_seed_of_the_recipe_is_said_to_play_no_part(dltune, noisy: Path) -> None:
    by_error = (*SEARCH, "--set", "objective.metric=dev_error")
    done = dltune(*by_error, "--space", "train.seed=int:0:9")
    assert (done.code, done.err.splitlines()) == (
        2,
        [
            "error: train.seed is a range: a search gives each trial a seed of its own, made of "
            "--seed and its number",
            "Fix it with --set train.seed=0.",
        ],
    )
    done = dltune(*by_error, "--set", "train.seed=5", "--seed", "3", "--name", "seeds")
    said = "train.seed = 5 plays no part in a search: a trial's seed is made of --seed 3 and its"
    assert f"{said} number" in done.err.splitlines()
    with (noisy / "runs/seeds/trials.csv").open(newline="") as table:
        seeds = [row["train.seed"] for row in csv.DictReader(table)]
    assert seeds == [str(trial_seed(3, n)) for n in range(2)]


@pytest.fixture
def old(noisy: Path) -> Path:
    """A run of an earlier dltune, which took such a range; one of three trials is missing."""
    text = NOISY.replace("{choice = [1.0, 0.001]}", "{log = [0.001, 1.0]}")
    (noisy / "noisy.toml").write_text(text)
    recipe = relocate(load_recipe("noisy.toml"), Path("runs/old"))
    path = Path("runs/old")
    folder = RunFolder.create(path, recipe, about(3, metric="dev_loss"))
    try:
        append(folder, *(finished(recipe, number, 0.01 * (1 + number)) for number in range(2)))
    finally:
        folder.close()
    return path


def test_an_old_run_with_such_a_range_is_read(dltune, old: Path) -> None:
    reported = dltune("report", old)
    assert reported.code == 0
    assert "best: trial 0" in reported.out
    assert "the ranking means little: objective.huber_delta is a range" in reported.err
    assert dltune("diagnose", old).code in (0, 1)
    assert dltune("runs").code == 0


def test_an_old_run_with_such_a_range_does_not_go_on(dltune, old: Path) -> None:
    before = {path: path.read_bytes() for path in old.rglob("*") if path.is_file()}
    done = dltune("search", "--resume", "--name", "old")
    assert done.code == 2
    found, hint = done.err.splitlines()
    assert found.startswith("error: objective.huber_delta is a range: dev losses in different")
    assert {path: path.read_bytes() for path in old.rglob("*") if path.is_file()} == before
    words = shlex.split(hint.removeprefix("Start a new study: dltune "))
    assert words[:2] == ["search", "runs/old/recipe.toml"]
    by_rate = ("--space", "optim.lr=log:1e-3:1e-1", "--workers", "1", "--stack", "off")
    assert dltune(*words, *by_rate).code == 0
