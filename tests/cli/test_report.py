"""`dltune report`: the same tables, the same files, without training anything."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dltune.recipe.files import relocate
from dltune.runs.folder import RunFolder
from dltune.runs.lock import FolderLock
from dltune.training.history import TrialState
from tests.runs.folders import make_run
from tests.search.made_up import about, append, finished
from tests.search.recipes import small


@pytest.fixture
def run(study: Path, folder: Path) -> Path:
    """A copy of the finished study at runs/four, to be changed."""
    shutil.copytree(study, folder / "runs" / "four")
    return Path("runs/four")


def test_the_tables_are_those_of_the_search(dltune, folder: Path) -> None:
    searched = dltune("search", "tiny.toml", "--trials", "3", "--name", "three")
    reported = dltune("report", "runs/three")
    assert (reported.code, reported.out) == (0, searched.out)
    assert reported.err.splitlines()[-1] == searched.err.splitlines()[-1]


def test_csv_files_are_rewritten(dltune, run: Path) -> None:
    before = {name: (run / name).read_bytes() for name in ("trials.csv", "history.csv")}
    (run / "trials.csv").unlink()
    done = dltune("report", run)
    assert done.err.splitlines()[0] == "rewritten: runs/four/trials.csv, runs/four/history.csv"
    assert {name: (run / name).read_bytes() for name in before} == before


def test_a_run_by_its_name(dltune, run: Path) -> None:
    assert dltune("report", "four") == dltune("report", run)


def test_json(dltune, run: Path) -> None:
    document = json.loads(dltune("report", run, "--json").out)
    assert document["run"] == "runs/four"
    assert document["trials"] == len(document["top"]) == 4
    assert document["best"]["config"]["model.hidden"] == [8]


@pytest.mark.skipif(sys.platform == "win32", reason="folders have no lock there")
def test_the_files_of_a_running_study_are_left_alone(dltune, run: Path) -> None:
    lock = FolderLock(run)
    try:
        done = dltune("report", run)
    finally:
        lock.release()
    assert done.code == 0
    assert done.err.startswith("the CSV files were left alone: runs/four: another dltune process")
    assert "best: trial" in done.out


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("foru", "error: there is no run foru, neither as a folder nor in runs"),
        ("runs", "error: runs: has no study.journal, so it is not a run folder"),
    ],
)
def test_what_is_no_run(name: str, error: str, dltune, run: Path) -> None:
    done = dltune("report", name)
    assert (done.code, done.out) == (2, "")
    assert done.err.splitlines()[0] == error


def test_a_name_spelled_alike_is_offered(dltune, run: Path) -> None:
    assert "Did you mean four?" in dltune("report", "foru").err


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
@pytest.mark.parametrize("no_color", ["", "1"])
def test_colour_on_a_terminal_unless_refused(no_color: str, run: Path) -> None:
    import pty

    terminal, stdout = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "dltune", "report", str(run)],
        stdout=stdout,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"TERM": "xterm-256color", "NO_COLOR": no_color},
    )
    os.close(stdout)
    shown = b""
    while True:
        try:
            piece = os.read(terminal, 4096)
        except OSError:  # Linux's way to say that the other side has closed
            break
        if not piece:
            break
        shown += piece
    os.close(terminal)
    assert process.wait(timeout=60) == 0
    assert b"best: trial" in shown
    assert (b"\x1b[" in shown) is (not no_color)


WINE = 'data.source = "sklearn:wine"\nmodel.hidden = [8]\ntrain = { epochs = 4, device = "cpu" }\n'
FAST = ("--seeds", "1", "--steps", "40", "--no-validate")


@pytest.fixture
def wine(folder: Path) -> Path:
    (folder / "wine.toml").write_text(WINE)
    return folder


class TestOfAFinder:
    """Nothing is computed and nothing rewritten: what was printed is printed again."""

    def test_lr_find(self, dltune, wine: Path) -> None:
        found = dltune("lr-find", "wine.toml", *FAST, "--name", "first")
        before = sorted(os.stat(file).st_mtime_ns for file in (wine / "runs" / "first").iterdir())
        done = dltune("report", "first")
        assert (done.code, done.out) == (0, found.out)
        document = json.loads(dltune("report", "first", "--json").out)
        assert document["csv"] == "runs/first/lr_find.csv"
        assert done.err == (
            "next: dltune train runs/first/recipe.toml --set "
            f"optim.lr={document['suggestion']}  (train with it)\n"
        )
        after = sorted(os.stat(file).st_mtime_ns for file in (wine / "runs" / "first").iterdir())
        assert before == after
        words = done.err.split("  (")[0].removeprefix("next: dltune ").split()
        assert dltune(*words).code == 0

    def test_json_is_what_was_printed(self, dltune, wine: Path) -> None:
        found = dltune("lr-find", "wine.toml", *FAST, "--name", "first", "--json")
        assert dltune("report", "first", "--json").out == found.out

    def test_a_refusal(self, dltune, wine: Path) -> None:
        found = dltune("lr-find", "wine.toml", *FAST, "--max-lr", "1e-4", "--name", "none")
        done = dltune("report", "none")
        assert (found.code, done.code, done.out) == (1, 1, found.out)
        # The recipe in the folder has every edit; how it was swept it does not say.
        advice = re.search(r" (--steps \d+)  \(what could show one\)$", found.err.splitlines()[-1])
        assert advice
        assert done.err == (
            f"next: dltune lr-find runs/none/recipe.toml {advice[1]}  (what could show one)\n"
        )

    def test_with_other_ranges(self, dltune, wine: Path) -> None:
        words = ("--space", "model.dropout=uniform:0:0.5", "--space", "optim.lr=log:1e-4:1")
        dltune("lr-find", "wine.toml", *FAST, *words, "--name", "first")
        rate = json.loads(dltune("report", "first", "--json").out)["suggestion"]
        assert dltune("report", "first").err == (
            f"next: dltune search runs/first/recipe.toml --set optim.lr={rate} --trials 32  "
            "(search the ranges with it)\n"
        )

    def test_with_several_optimizers_no_rate_is_set(self, dltune, wine: Path) -> None:
        words = ("--space", "optim.name=choice:sgd:adam")
        dltune("lr-find", "wine.toml", *FAST, *words, "--name", "first")
        assert dltune("report", "first").err == (
            "next: dltune search runs/first/recipe.toml --trials 32  (search the ranges with it)\n"
        )

    def test_batch_find(self, dltune, wine: Path) -> None:
        sizes = ("--min-batch", "64", "--max-batch", "64", "--no-sweep")
        found = dltune("batch-find", "wine.toml", *sizes, "--lr", "0.01", "--name", "sizes")
        done = dltune("report", "sizes")
        assert (done.code, done.out) == (found.code, found.out) == (0, found.out)
        assert done.err == (
            "next: dltune train runs/sizes/recipe.toml --set train.batch_size=64 "
            "--set optim.lr=0.01  (train with it)\n"
        )

    def test_no_batch_fits(self, dltune, wine: Path) -> None:
        found = dltune("batch-find", "wine.toml", "--memory", "1e-9", "--name", "none")
        done = dltune("report", "none")
        assert (done.code, done.out) == (found.code, found.out) == (1, found.out)
        assert done.err == (
            "next: dltune batch-find runs/none/recipe.toml --min-batch 1  (smaller batches)\n"
        )


def test_a_history_that_a_spreadsheet_program_has_saved_is_kept(dltune, folder: Path) -> None:
    run = make_run(folder / "runs" / "wine")
    for command in (
        ("report", "wine"),
        ("search", "--resume", "--name", "wine", "--workers", "1", "--accept-changes"),
    ):
        history = run / "history.csv"
        history.write_text(history.read_text().replace(",", ";"))
        done = dltune(*command)
        assert "history.csv was saved by another program: it is kept as history-ch" in done.err
        assert "dev error by epoch" in done.out
        assert len(history.read_text().splitlines()) == 5


def test_a_recipe_that_cannot_be_read_hides_no_table(dltune, run: Path) -> None:
    sound = dltune("report", run)
    csv = (run / "trials.csv").read_bytes()
    (run / "recipe.toml").write_text("[data\n")
    done = dltune("report", run)
    assert (done.code, done.out) == (0, sound.out)
    assert "the CSV files were left alone: runs/four/recipe.toml, line 1, column 6" in done.err
    assert (run / "trials.csv").read_bytes() == csv
    (run / "recipe.toml").write_bytes(b"\xff")
    assert dltune("report", run, "--json").code == 0


@pytest.mark.parametrize(
    ("state", "advice"),
    [
        (TrialState.DIVERGED, "learning rates that do not diverge"),
        (TrialState.FAILED, "what became of it"),
        (TrialState.PRUNED, "go on with it, unless it is running"),
    ],
)
def test_the_advice_without_a_complete_trial(
    dltune, folder: Path, state: TrialState, advice: str
) -> None:
    path = folder / "runs" / "x"
    new = RunFolder.create(path, relocate(small(), path), about(2))
    append(new, finished(small(), 0, None, state, "a reason"))
    new.close()
    assert dltune("report", "x").err.splitlines()[-1].endswith(f"({advice})")
