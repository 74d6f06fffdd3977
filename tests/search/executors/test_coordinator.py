"""The process that hands out the work: without torch, and alone again at its end."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dltune.runs.lock import sweep

PROGRAM = """
import json, os, signal, sys
# Where a shell starts this in the background, it has switched Ctrl-C off.
signal.signal(signal.SIGINT, signal.default_int_handler)

OWN = ("hangs", "keeps_the_lock", "loads_in_processes")

def main():
    from dltune.search.executors.build import start_early
    start_early(2, trials=4, trial_timeout=None)
    if sys.argv[2] == "mistake":
        sys.exit(2)
    if sys.argv[2] == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    from pathlib import Path
    from dltune.search.data_shelf import DataShelf
    from dltune.search.executors.build import build_executor
    from tests.search.executors.trials import own, trial

    folder, ends = Path(sys.argv[1]), 0
    if sys.argv[2] == "built-in":
        trials = [trial(number) for number in range(4)]
    elif sys.argv[2] == "nothing":
        trials = []
    else:
        name = sys.argv[2] if sys.argv[2] in OWN else "slow"
        trials = [own(number, name, "train.epochs=200") for number in range(4)]
    shelf = DataShelf(folder)
    executor = build_executor(
        shelf, folder, trials=4, device="cpu", workers=2, stack=json.loads(sys.argv[3])
    )
    try:
        with executor:
            for one in executor.run(trials, best=None):
                print(type(one).__name__, flush=True)
                ends += type(one).__name__ == "TrialEnded"
                if sys.argv[2] == "fails" and ends == 0:
                    raise RuntimeError("on purpose")
    except KeyboardInterrupt:
        print("interrupted", flush=True)
    print(json.dumps({"ends": ends, "torch": "torch" in sys.modules}), flush=True)

main()  # bare: workers do not run this file
"""
SEARCH = """
import sys
from pathlib import Path
from dltune.search.study import run_study
from tests.search.recipes import small

end = run_study(small(), path=Path(sys.argv[1], "run"), trials=6, workers=2)
print(end.ending, end.trained, "torch" in sys.modules)
"""
ROOT = Path(__file__).parents[3]
PYTHON_PATH = os.pathsep.join([str(ROOT / "src"), str(ROOT)])

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture(name="start")
def fixture_start(folder: Path) -> Iterator[Start]:
    (folder / "program.py").write_text(PROGRAM)
    started: list[subprocess.Popen[str]] = []

    def start(trials: str, stack: str | int = "off") -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, str(folder / "program.py"), str(folder), trials, json.dumps(stack)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ
            | {"PYTHONPATH": f"{folder}{os.pathsep}{PYTHON_PATH}", "TMPDIR": str(folder)},
            start_new_session=True,  # a process group, as a terminal's Ctrl-C hits it
        )
        started.append(process)
        return process

    yield start
    for process in started:  # whatever a test that fails has left
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def members(session: int) -> list[str]:
    """The processes of a session, those aside that are dead and only not yet looked after."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = status.read_text().rpartition(")")
        except OSError:
            continue
        state, _, _, of_session = rest.split()[:4]
        if int(of_session) == session and state != "Z":
            found.append(name)
    return found


def nobody_is_left(session: int, *, seconds: float = 5) -> bool:
    """Whether the processes are gone, which the last of them may need a moment for."""
    deadline = time.monotonic() + seconds
    while members(session):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
class TestProcesses:
    @pytest.mark.parametrize("stack", [pytest.param("off", marks=pytest.mark.slow), "auto"])
    def test_no_torch_and_nobody_left(self, start: Start, stack: str | int) -> None:
        process = start("built-in", stack)
        output, errors = process.communicate(timeout=60)
        assert errors == ""
        assert process.returncode == 0
        assert json.loads(output.splitlines()[-1]) == {"ends": 4, "torch": False}
        assert nobody_is_left(process.pid)

    @pytest.mark.slow
    def test_a_whole_search_needs_no_torch_here(self, tmp_path: Path) -> None:
        done = subprocess.run(
            [sys.executable, "-c", SEARCH, str(tmp_path)],
            capture_output=True,
            text=True,
            timeout=60,
            env=os.environ | {"PYTHONPATH": PYTHON_PATH},
        )
        assert done.stderr == ""
        assert done.stdout.split() == ["complete", "6", "False"]

    @pytest.mark.slow
    def test_ctrl_c_is_the_coordinators_alone(self, start: Start) -> None:
        process = start("slow")
        assert process.stdout is not None
        for line in process.stdout:
            if line.strip() == "EpochEnded":
                break
        assert len(members(process.pid)) >= 4  # two workers, their server and this one
        os.killpg(process.pid, signal.SIGINT)
        output, errors = process.communicate(timeout=60)
        assert errors == ""
        assert output.splitlines()[-2] == "interrupted"
        assert nobody_is_left(process.pid)

    @pytest.mark.parametrize("seconds", [0.1, 0.5, 1.0])
    def test_ctrl_c_while_everything_starts(self, start: Start, seconds: float) -> None:
        process = start("slow")
        time.sleep(seconds)
        os.killpg(process.pid, signal.SIGINT)
        process.wait(timeout=60)
        assert nobody_is_left(process.pid)
        _, errors = process.communicate()
        # The coordinator's own traceback, where it was not yet in its `try`, and no other.
        tracebacks = errors.count("Traceback") - errors.count("During handling of the above")
        assert tracebacks == (0 if process.returncode == 0 else 1), (process.returncode, errors)

    @pytest.mark.slow
    def test_an_error_in_the_caller_leaves_nobody(self, start: Start) -> None:
        process = start("fails")
        _, errors = process.communicate(timeout=60)
        assert errors.splitlines()[-1] == "RuntimeError: on purpose"
        assert errors.count("Traceback") == 1
        assert nobody_is_left(process.pid)

    @pytest.mark.parametrize(
        ("trials", "code"), [("mistake", 2), ("killed", -signal.SIGKILL), ("nothing", 0)]
    )
    def test_whoever_ends_early_does_not_wait_for_torch(
        self, start: Start, folder: Path, trials: str, code: int
    ) -> None:
        (folder / "torch.py").write_text("import time; time.sleep(600)")
        process = start(trials)
        _, errors = process.communicate(timeout=60)  # until the pipes are closed
        assert errors == ""
        assert process.returncode == code
        assert nobody_is_left(process.pid)

    @pytest.mark.parametrize(
        ("trials", "number"),
        [
            pytest.param("slow", signal.SIGKILL, marks=pytest.mark.slow),
            pytest.param("hangs", signal.SIGKILL, marks=pytest.mark.slow),
            pytest.param("keeps_the_lock", signal.SIGKILL, marks=pytest.mark.slow),
            pytest.param("keeps_the_lock", signal.SIGTERM, marks=pytest.mark.slow),
            pytest.param("keeps_the_lock", signal.SIGINT, marks=pytest.mark.slow),
            pytest.param("loads_in_processes", signal.SIGKILL, marks=pytest.mark.slow),
        ],
    )
    def test_workers_do_not_outlive_a_killed_coordinator(
        self, start: Start, folder: Path, trials: str, number: int
    ) -> None:
        process = start(trials)
        deadline = time.monotonic() + 60
        while len(list(folder.glob("pid-*"))) < 2:  # both are in the user's code
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        (data,) = folder.glob("dltune-data-*")
        os.kill(process.pid, number)
        process.wait(timeout=60)
        # torch's processes look every 5 s whether theirs is there.
        assert nobody_is_left(process.pid, seconds=15 if trials == "loads_in_processes" else 5)
        sweep(folder, "dltune-data-")  # as the next start does
        assert not data.exists()
