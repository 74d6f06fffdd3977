"""What a command leaves when a signal ends it: what it had, no process, no temporary file."""

from __future__ import annotations

import csv
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchmarks.reliability.kills import members
from dltune.errors import RunFolderError
from dltune.runs.checkpoint import read_checkpoint
from dltune.runs.run import load_run
from dltune.training.history import TrialState

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="sends signals, reads /proc")

ROOT = Path(__file__).parents[2]
PYTHON_PATH = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
CODES = {"SIGINT": 130, "SIGTERM": 143, "SIGHUP": 129}

# Far more epochs than a test waits for.
RECIPE = """\
[data]
source = "sklearn:wine"
[model]
hidden = [8]
[optim]
lr = {lr}
[train]
epochs = 100000
device = "cpu"
"""
HANGS = """\
import time
from pathlib import Path
from torch import nn

class Hangs(nn.Linear):
    def forward(self, x):
        if self.training:
            Path("hangs").touch()
            time.sleep(600)
        return super().forward(x.flatten(1))

def build(inputs, outputs):
    return Hangs(inputs[0], outputs)
"""

Start = Callable[..., subprocess.Popen[bytes]]


def answer_all_but(ignored: tuple[int, ...] = ()) -> None:
    """Take signals as a process of a terminal does, whatever has started the tests."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        default = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
        signal.signal(number, signal.SIG_IGN if number in ignored else default)


@pytest.fixture(name="start")
def fixture_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Starts a command as a session of its own, as a terminal does; ends what is left of it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "one.toml").write_text(RECIPE.format(lr="0.01"))
    many = RECIPE.format(lr="{ choice = [0.001, 0.01, 0.1] }")
    (tmp_path / "many.toml").write_text(many.replace("100000", "{ choice = [20, 100000] }"))
    (tmp_path / "temporary").mkdir()
    started = []

    def start(*arguments: str, ignored: tuple[int, ...] = ()) -> subprocess.Popen[bytes]:
        environment = os.environ | {
            "PYTHONPATH": PYTHON_PATH,
            "TMPDIR": str(tmp_path / "temporary"),
            "OMP_NUM_THREADS": "1",
        }
        with (tmp_path / "output").open("w") as output, (tmp_path / "errors").open("w") as errors:
            process = subprocess.Popen(
                [sys.executable, "-m", "dltune", *arguments],
                stdout=output,
                stderr=errors,
                env=environment,
                start_new_session=True,
                preexec_fn=lambda: answer_all_but(ignored),
            )
        started.append(process)
        return process

    yield start
    for process in started:
        for member in members(process.pid):
            os.kill(member, signal.SIGKILL)
        process.kill()
        process.wait()


def wait_for(come: Callable[[], object]) -> None:
    """Wait until something has come."""
    deadline = time.monotonic() + 60
    while not come():
        assert time.monotonic() < deadline, Path("errors").read_text()
        time.sleep(0.002)


def says(text: str) -> Callable[[], bool]:
    return lambda: text in Path("errors").read_text()


def trials_are_done(count: int) -> Callable[[], bool]:
    """Whether the run has so many, and tells of them."""

    def have_come() -> bool:
        try:
            return len(load_run(Path("runs/cut"), histories="none").trials) >= count
        except RunFolderError:  # it is not there yet
            return False

    return have_come


def ended(process: subprocess.Popen[bytes], tmp_path: Path) -> tuple[str, str]:
    """What it writes until its end, which leaves nobody and nothing temporary behind."""
    process.wait(timeout=60)
    deadline = time.monotonic() + 5
    while members(process.pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert members(process.pid) == []
    assert list((tmp_path / "temporary").iterdir()) == []
    assert list(tmp_path.rglob("runs/.*")) == []
    errors = (tmp_path / "errors").read_text()
    assert "Traceback" not in errors
    return (tmp_path / "output").read_text(), errors


def rows_of(run: Path) -> list[dict[str, str]]:
    with (run / "trials.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "to_group", "workers"),
    [
        ("SIGTERM", True, "2"),
        *(
            pytest.param(*each, marks=pytest.mark.slow)
            for each in [
                ("SIGINT", True, "1"),
                ("SIGINT", True, "2"),
                ("SIGTERM", True, "1"),
                ("SIGTERM", False, "2"),
                ("SIGHUP", True, "1"),
                ("SIGHUP", True, "2"),
            ]
        ),
    ],
)
def test_a_search_keeps_the_best_epoch_of_all_that_train(
    name: str, to_group: bool, workers: str, start: Start, tmp_path: Path
) -> None:
    process = start(
        *("search", "many.toml", "--strategy", "grid", "--name", "cut"),
        *("--workers", workers, "--stack", "6"),
    )
    wait_for(trials_are_done(3))  # those of 20 epochs
    send = os.killpg if to_group else os.kill
    send(process.pid, getattr(signal, name))
    output, errors = ended(process, tmp_path)
    assert process.returncode == CODES[name]
    word = "Ctrl-C" if name == "SIGINT" else name
    assert f"stopped by {word}: 3 trials end after this update" in errors
    assert "3 of 6 trials are done and kept, 3 as far as they had come" in errors
    assert "go on with: dltune search --resume --name cut" in errors
    run = load_run(tmp_path / "runs" / "cut")
    assert (len(run.trials), len(run.done)) == (6, 3)
    for trial in [one for one in run.trials if one not in run.done]:
        assert trial.state is TrialState.INTERRUPTED
        assert trial.reason == f"stopped by {word} after epoch {trial.epochs} of 100000"
        assert trial.epochs == len(trial.history) >= 20
        assert trial.objective == min(one.dev_error for one in trial.history)
        assert trial.test_error is not None
    assert run.best is not None
    assert f"best: trial {run.best.number}" in output
    assert read_checkpoint(run.path).trial == run.best.number
    assert f"# Trial {run.best.number} of cut" in (run.path / "best.toml").read_text()
    states = [row["state"] for row in rows_of(run.path)]
    assert sorted(states) == ["complete"] * 3 + ["interrupted"] * 3
    assert run.about.sessions[-1].ending == "interrupted"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP"])
def test_a_training_keeps_its_best_epoch(name: str, start: Start, tmp_path: Path) -> None:
    process = start("train", "one.toml", "--name", "cut")
    wait_for(says("1 trial of 100000 epochs"))
    time.sleep(2)  # into the training
    os.killpg(process.pid, getattr(signal, name))
    output, errors = ended(process, tmp_path)
    assert process.returncode == CODES[name]
    (trial,) = load_run(tmp_path / "runs" / "cut").trials
    word = "Ctrl-C" if name == "SIGINT" else name
    assert trial.state is TrialState.INTERRUPTED
    assert trial.reason == f"stopped by {word} after epoch {trial.epochs} of 100000"
    assert f"{trial.reason}; runs/cut keeps the best epoch so far" in errors
    assert "go on with: dltune train --resume --name cut" in errors
    assert "dev error" in output
    assert read_checkpoint(tmp_path / "runs" / "cut").epoch == trial.best_epoch


@pytest.mark.slow
def test_a_hanging_worker_is_given_up_after_sigterm(start: Start, tmp_path: Path) -> None:
    """Where nobody is there to insist; what is finished is kept in any case."""
    (tmp_path / "net.py").write_text(HANGS)
    process = start(
        *("search", "many.toml", "--set", 'model={ factory = "net.py:build" }', "--trials", "2"),
        *("--name", "cut", "--workers", "2", "--stack", "off"),
    )
    wait_for((tmp_path / "hangs").exists)
    time.sleep(0.5)  # both of them
    process.terminate()
    _, errors = ended(process, tmp_path)
    assert process.returncode == 143
    assert "0 of 2 trials are done and kept, 2 as far as they had come" in errors
    assert {row["state"] for row in rows_of(tmp_path / "runs" / "cut")} == {"interrupted"}


@pytest.mark.slow
def test_a_second_ctrl_c_ends_a_hanging_worker_at_once(start: Start, tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(HANGS)
    process = start(
        *("search", "many.toml", "--set", 'model={ factory = "net.py:build" }', "--trials", "2"),
        *("--name", "cut", "--workers", "2", "--stack", "off"),
    )
    wait_for((tmp_path / "hangs").exists)
    time.sleep(0.5)  # both of them
    process.send_signal(signal.SIGINT)
    wait_for(says("Ctrl-C stops at once"))
    process.send_signal(signal.SIGINT)
    _, errors = ended(process, tmp_path)
    assert process.returncode == 130
    assert "go on with: dltune search --resume --name cut" in errors


@pytest.mark.slow
def test_a_closed_terminal_is_a_sighup(start: Start, tmp_path: Path) -> None:
    import pty  # not there on Windows

    process, terminal = pty.fork()
    if process == 0:
        answer_all_but()
        os.environ["PYTHONPATH"] = PYTHON_PATH
        command = [sys.executable, "-m", "dltune", "train", "one.toml", "--name", "cut"]
        os.execv(sys.executable, command)
    seen = b""
    while seen.count(b"epoch") < 6:
        seen += os.read(terminal, 4096)
    os.close(terminal)
    ended: list[int] = []

    def has_ended() -> bool:
        number, status = os.waitpid(process, os.WNOHANG)
        ended.extend([os.waitstatus_to_exitcode(status)] if number else [])
        return bool(ended)

    (tmp_path / "errors").write_bytes(seen)
    try:
        wait_for(has_ended)
    finally:
        if not ended:
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
    assert ended == [CODES["SIGHUP"]]
    assert load_run(tmp_path / "runs" / "cut").trials[0].state is TrialState.INTERRUPTED


@pytest.mark.slow
def test_nohup_goes_on(start: Start, tmp_path: Path) -> None:
    process = start(
        *("train", "one.toml", "--name", "on", "--set", "train.epochs=60"),
        ignored=(signal.SIGHUP,),
    )
    wait_for(says("1 trial of 60 epochs"))
    os.killpg(process.pid, signal.SIGHUP)
    ended(process, tmp_path)
    assert process.returncode == 0
    assert load_run(tmp_path / "runs" / "on").trials[0].epochs == 60


@pytest.mark.slow
@pytest.mark.parametrize("command", ["search", "train", "lr-find"])
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_whenever_it_comes_no_traceback(
    command: str, name: str, start: Start, tmp_path: Path
) -> None:
    for delay in (0.0, 0.05, 0.1, 0.2, 0.3, 0.6):
        extra = ["--trials", "4"] if command == "search" else []
        recipe = "many.toml" if command == "search" else "one.toml"
        process = start(command, recipe, *extra)
        python_is_ready(process)
        time.sleep(delay)
        os.killpg(process.pid, getattr(signal, name))
        output, errors = ended(process, tmp_path)
        assert process.returncode == CODES[name], (delay, output, errors)


def python_is_ready(process: subprocess.Popen[bytes]) -> None:
    """Wait until it has taken its signals: before, nothing of dltune runs."""
    status = Path(f"/proc/{process.pid}/status")
    caught = 1 << (signal.SIGTERM - 1)

    def are_caught() -> int:
        found = re.search(r"^SigCgt:\s*(\w+)", status.read_text(), re.MULTILINE)
        return int(found[1], 16) & caught if found else 0

    wait_for(are_caught)
