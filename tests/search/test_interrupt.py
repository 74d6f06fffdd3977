"""Ctrl-C and kill -9 in a real process, then --resume: nothing is lost, repeated or different."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dltune.recipe.files import load_recipe
from dltune.runs.run import load_run
from dltune.search.interrupts import Interrupts
from dltune.search.study import run_study
from tests.search.test_study import table

# Trials of about 0.2 s: long enough to be hit in the middle.
RECIPE = """\
data.source = "sklearn:wine"
[model]
hidden = [8]
[optim]
name = "adam"
lr = {log = [1e-4, 1e-1]}
[train]
epochs = 60
batch_size = 32
device = "cpu"
"""
TRIALS = 10  # two whole generations of four, and a part of the third

PROGRAM = """
import json, signal, sys
from pathlib import Path
# Where a shell starts this in the background, it has switched Ctrl-C off.
signal.signal(signal.SIGINT, signal.default_int_handler)
from dltune.recipe.files import load_recipe
from dltune.search.study import run_study

def show(event):
    for record in event.records:
        print("epoch", record.trial, record.epoch, flush=True)
    if event.trial is not None:
        print("trial", event.trial.number, flush=True)

recipe, path, trials, resume = sys.argv[1:]
end = run_study(
    load_recipe(recipe), path=Path(path), strategy="evolution", options={"population": 4},
    trials=int(trials), resume=resume == "resume", stack="off", on_event=show,
)
print(json.dumps([end.ending, end.reason, end.trained]), flush=True)
"""


@pytest.fixture(scope="module", name="recipe")
def fixture_recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "wine.toml"
    path.write_text(RECIPE)
    return path


def start(recipe: Path, run: Path, resume: bool = False) -> subprocess.Popen[str]:
    arguments = [str(recipe), str(run), str(TRIALS), "resume" if resume else "new"]
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *arguments],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def end_of(process: subprocess.Popen[str]) -> list[object]:
    """How the study in the process ended."""
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    found: list[object] = json.loads(output.splitlines()[-1])
    return found


def hit(process: subprocess.Popen[str], when: str, signal_number: int) -> None:
    """Send a signal once the study reports that event."""
    assert process.stdout is not None
    for line in process.stdout:
        if line.strip() == when:
            process.send_signal(signal_number)
            return
    pytest.fail(f"the study never reported {when}")


@pytest.fixture(scope="module", name="whole")
def fixture_whole(recipe: Path) -> Path:
    """The same study without interruption."""
    run = recipe.parent / "whole"
    run_study(
        load_recipe(recipe),
        path=run,
        strategy="evolution",
        options={"population": 4},
        trials=TRIALS,
        stack="off",
    )
    return run


def resume(recipe: Path, run: Path) -> tuple[str, str, int]:
    """Go on in this process, to the end; how it ended, and the number of trials it trained."""
    end = run_study(load_recipe(recipe), path=run, resume=True, stack="off")
    return end.ending, end.reason, end.trained


def assert_same(run: Path, whole: Path) -> None:
    assert table(run / "trials.csv") == table(whole / "trials.csv")
    assert table(run / "history.csv") == table(whole / "history.csv")
    assert load_run(run).trials[-1].values == load_run(whole).trials[-1].values
    assert [len(one.history) for one in load_run(run).trials] == [60] * TRIALS


@pytest.mark.slow
def test_ctrl_c_keeps_what_is_finished_and_resume_gives_the_whole(
    recipe: Path, whole: Path
) -> None:
    run = recipe.parent / "stopped"
    process = start(recipe, run)
    hit(process, "epoch 5 10", signal.SIGINT)  # in the second generation
    assert end_of(process) == ["interrupted", "stopped by Ctrl-C; --resume goes on from here", 5]
    rows = table(run / "trials.csv")
    assert [row["state"] for row in rows] == ["complete"] * 5 + ["interrupted"]
    expected = table(whole / "trials.csv")
    assert rows[:5] == expected[:5]
    for name in ("seed", "optim.lr"):
        assert rows[5][name] == expected[5][name]
    assert 10 <= int(rows[5]["epochs"]) < 60
    assert {row["trial"] for row in table(run / "history.csv")} == set("012345")

    process = start(recipe, run, resume=True)
    hit(process, "epoch 8 1", signal.SIGKILL)  # at the start of the third generation
    assert_readable_after_a_kill(process, run, whole)
    kept = len(load_run(run).trials)
    assert resume(recipe, run) == ("complete", "", TRIALS - kept)
    assert_same(run, whole)


@pytest.mark.slow
def test_kill_9_leaves_readable_files_and_resume_gives_the_whole(recipe: Path, whole: Path) -> None:
    run = recipe.parent / "killed"
    process = start(recipe, run)
    hit(process, "trial 3", signal.SIGKILL)  # while it is about to be written
    assert_readable_after_a_kill(process, run, whole)
    kept = len(load_run(run).trials)
    assert resume(recipe, run) == ("complete", "", TRIALS - kept)
    assert_same(run, whole)


def assert_readable_after_a_kill(process: subprocess.Popen[str], run: Path, whole: Path) -> None:
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    for name in ("trials.csv", "history.csv"):
        with (run / name).open(newline="") as stream:
            header, *rows = csv.reader(stream)
        assert {len(row) for row in rows} == {len(header)}
    finished = table(run / "trials.csv")
    assert len(finished) >= 1
    assert finished == table(whole / "trials.csv")[: len(finished)]


def test_ctrl_c_waits_where_it_is_not_allowed() -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with Interrupts() as interrupts:
            with interrupts.allowed():
                pass
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)
            written = True
            with pytest.raises(KeyboardInterrupt), interrupts.allowed():
                written = False
        assert written
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_ctrl_c_strikes_at_once_where_it_is_allowed() -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with Interrupts() as interrupts, pytest.raises(KeyboardInterrupt), interrupts.allowed():
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_second_ctrl_c_does_not_reach_what_follows_the_first() -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    reached = []
    try:
        with Interrupts() as interrupts:
            try:
                with interrupts.allowed():
                    try:
                        signal.raise_signal(signal.SIGINT)
                    finally:  # the training closes what it has opened
                        signal.raise_signal(signal.SIGINT)
                        reached.append("closed")
            except KeyboardInterrupt:
                reached.append("stopped")
    finally:
        signal.signal(signal.SIGINT, before)
    assert reached == ["closed", "stopped"]


def test_somebody_elses_handler_stays() -> None:
    seen: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: seen.append(number))
    try:
        with Interrupts() as interrupts, interrupts.allowed():
            os.kill(os.getpid(), signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
    assert seen == [signal.SIGINT]
