"""Trials in stacks and worker processes: Ctrl-C and kill -9 in the middle, then another way on."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dltune.recipe.files import load_recipe
from dltune.runs.checkpoint import RUNNING, read_checkpoint
from dltune.runs.run import load_run
from dltune.search.strategies.random import RandomSearch
from dltune.search.study import run_study
from dltune.training.seeds import trial_seed
from tests.search.test_study_loop import take_from_journal

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="sends signals")

# Short trials end while a long neighbour trains: with this seed the first one is long, the next six
# are short.
RECIPE = """\
data.source = "sklearn:digits"
model.hidden = [4]
optim.lr = {log = [1e-4, 1e-1]}
train.epochs = {choice = [2, 3000]}
train.batch_size = 256
train.device = "cpu"
"""
SEED, TRIALS = 16, 10

PROGRAM = """
import json, signal, sys
from pathlib import Path
# Where a shell starts this in the background, it has switched Ctrl-C off.
signal.signal(signal.SIGINT, signal.default_int_handler)
from dltune.recipe.files import load_recipe
from dltune.search.study import run_study

recipe, path, options = sys.argv[1:]
end = run_study(load_recipe(recipe), path=Path(path), **json.loads(options))
print(json.dumps([end.ending, end.trained]), flush=True)
"""


@dataclasses.dataclass(frozen=True)
class Session:
    """A search in a process group of its own, as a terminal starts one."""

    process: subprocess.Popen[str]
    run: Path

    def wait_for_trials(self, count: int) -> None:
        """Until so many trials are in the journal."""
        journal = self.run / "study.journal"
        deadline = time.monotonic() + 60
        while not journal.exists() or journal.read_text().count('"op_code":4') < count:
            assert self.process.poll() is None, "the search ended too early"
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def assert_nobody_is_left(self) -> None:
        """Workers whose coordinator has gone go too, though not in the same instant."""
        deadline = time.monotonic() + 20
        while self.others():
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def others(self) -> list[int]:
        """The processes of the group that are neither dead nor the first one."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                state, _, group = (folder / "stat").read_text().rpartition(")")[2].split()[:3]
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(group) == self.process.pid and state not in "ZX":
                found.append(int(folder.name))
        return [number for number in found if number != self.process.pid]


@pytest.fixture(name="recipe")
def fixture_recipe(tmp_path: Path) -> Path:
    (tmp_path / "digits.toml").write_text(RECIPE)
    return tmp_path / "digits.toml"


@pytest.fixture
def session(request: pytest.FixtureRequest, recipe: Path) -> Iterator[Session]:
    workers, stack = request.param
    options = {"trials": TRIALS, "seed": SEED, "workers": workers, "stack": stack}
    run = recipe.parent / "run"
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(recipe), str(run), json.dumps(options)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        start_new_session=True,
    )
    try:
        yield Session(process, run)
    finally:
        with contextlib.suppress(ProcessLookupError):  # nobody is left
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def rows(run: Path) -> list[dict[str, str]]:
    with (run / "trials.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def assert_proposed(run: Path) -> None:
    """Every trial has the values and the seed of its number, whoever trained it, and when."""
    loaded = load_run(run, histories="none")
    proposals = RandomSearch(loaded.recipe.space, SEED).ask(TRIALS)
    assert proposals[0].values["train.epochs"] == 3000
    for result in loaded.trials:
        assert result.values == proposals[result.number].values
        assert result.seed == trial_seed(SEED, result.number)
    for row in rows(run):
        values = proposals[int(row["trial"])].values
        assert int(row["train.seed"]) == trial_seed(SEED, int(row["trial"]))
        assert float(row["optim.lr"]) == values["optim.lr"]
        assert int(row["train.epochs"]) == values["train.epochs"]


def assert_best_is_kept(run: Path) -> None:
    best, done = load_run(run).best, load_run(run).done
    assert best is not None
    assert (run / "best.toml").read_text().startswith(f"# Trial {best.number} of ")
    assert read_checkpoint(run).trial == best.number
    # Where one that was interrupted leads, those of the best that is done stay beside its own.
    two = best not in done and any(one.ranked is not None for one in done)
    files = [file for file in (run / "checkpoints").iterdir() if file.name != RUNNING]
    assert len(files) == (4 if two else 2)


@pytest.mark.slow
@pytest.mark.parametrize("session", [(2, 4)], indirect=True, ids=str)
def test_kill_9_loses_no_finished_trial_to_a_slower_one(session: Session) -> None:
    session.wait_for_trials(2)
    session.process.kill()
    session.process.wait()
    before = load_run(session.run)
    numbers = [result.number for result in before.trials]
    assert 0 not in numbers  # it trains for a long time; others of higher numbers are kept
    assert all(len(result.history) == result.epochs for result in before.trials)
    assert_proposed(session.run)
    session.assert_nobody_is_left()


@pytest.mark.slow
@pytest.mark.parametrize(
    "session", [(1, 4), pytest.param((2, "off"), marks=pytest.mark.slow)], indirect=True, ids=str
)
def test_ctrl_c_keeps_what_is_finished_and_leaves_no_process(session: Session) -> None:
    session.wait_for_trials(2)
    os.killpg(session.process.pid, signal.SIGINT)  # as a terminal does: to every process
    output, _ = session.process.communicate(timeout=60)
    ending, trained = json.loads(output.splitlines()[-1])
    assert session.process.returncode == 0
    session.assert_nobody_is_left()
    found = rows(session.run)
    states = [row["state"] for row in found]
    assert ending == "interrupted"
    assert states.count("complete") == trained >= 2
    assert states.count("interrupted") >= 1
    assert [int(row["trial"]) for row in found] == sorted(int(row["trial"]) for row in found)
    assert_proposed(session.run)
    assert_best_is_kept(session.run)


def without_times(run: Path) -> list[dict[str, str]]:
    """The rows of `trials.csv`, without what rounding and the clock may change."""
    measured = {"seconds", "objective", "best_epoch", *EXACT}
    return [{key: cell for key, cell in row.items() if key not in measured} for row in rows(run)]


EXACT = [f"{split}_{kind}" for split in ("train", "dev", "test") for kind in ("error", "loss")]


@pytest.mark.slow
def test_a_study_goes_on_in_any_other_way(tmp_path: Path) -> None:
    """Trained one after another, in stacks, by workers: every trial is what it is by its number."""
    (tmp_path / "digits.toml").write_text(RECIPE.replace("[2, 3000]", "[2, 3]"))
    recipe = load_recipe(tmp_path / "digits.toml")
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    run_study(recipe, path=whole, trials=12, seed=SEED, stack="off")
    run_study(recipe, path=parts, trials=5, seed=SEED, workers=2, stack=3)
    take_from_journal(parts, {1, 3})
    second = run_study(recipe, path=parts, trials=8, resume=True, workers=1, stack=2)
    take_from_journal(parts, {2, 7})
    third = run_study(recipe, path=parts, trials=12, resume=True, workers=2, stack="off")
    assert (second.trained, third.trained) == (5, 6)
    assert without_times(parts) == without_times(whole)
    for one, other in zip(load_run(parts).trials, load_run(whole).trials, strict=True):
        assert one.dev_loss == pytest.approx(other.dev_loss, rel=1e-3)
        assert [record.epoch for record in one.history] == [1, 2, 3][: one.epochs]
    assert_best_is_kept(parts)
