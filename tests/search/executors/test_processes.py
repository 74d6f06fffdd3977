"""Starting processes: with few threads, deaf to Ctrl-C, and without the main script; their end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from dltune.data.machine import oom_kills
from dltune.search.executors.inherited import (
    THREAD_VARIABLES,
    environment,
    threads_in_environment,
    without_main,
)
from dltune.search.executors.processes import (
    Worker,
    reason_of,
    worker_context,
)
from dltune.search.executors.worker import Ready, WorkerSetup
from dltune.search.interrupts import without_signals


def test_threads_are_told_to_children_and_to_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    with environment(threads_in_environment(3)):
        assert [os.environ[name] for name in THREAD_VARIABLES] == ["3"] * len(THREAD_VARIABLES)
    assert os.environ["OMP_NUM_THREADS"] == "5"
    assert "MKL_NUM_THREADS" not in os.environ


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="cannot block signals")
def test_a_child_never_gets_ctrl_c_and_the_parent_gets_it_afterwards() -> None:
    program = "import os, signal; os.kill(os.getpid(), signal.SIGINT); print('untouched')"
    got: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: got.append(number))
    try:
        with without_signals():
            child = subprocess.run(
                [sys.executable, "-c", program], capture_output=True, text=True, check=True
            )
            signal.pthread_kill(threading.get_ident(), signal.SIGINT)
            assert got == []
        assert got == [signal.SIGINT]
    finally:
        signal.signal(signal.SIGINT, before)
    assert child.stdout == "untouched\n"
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


def test_the_main_script_is_out_of_sight() -> None:
    from multiprocessing import spawn

    main = sys.modules["__main__"]
    before = (getattr(main, "__file__", None), main.__spec__)
    with without_main():
        data = spawn.get_preparation_data("worker")
    assert not any(key.startswith("init_main") for key in data)
    assert (getattr(main, "__file__", None), main.__spec__) == before


@pytest.fixture(name="worker")
def fixture_worker(tmp_path: Path) -> Worker:
    """One that does not run."""
    return Worker(WorkerSetup(folder=tmp_path, threads=1))


def test_a_message_that_death_cut_off_was_never_sent(worker: Worker) -> None:
    reader, writer = worker_context().Pipe(duplex=False)
    writer.send(Ready())
    whole = os.read(reader.fileno(), 10_000)
    reader.close()
    writer.close()
    os.write(worker._workers_end.fileno(), whole + whole[: len(whole) // 2])
    worker._workers_end.close()
    assert worker.receive() == Ready()
    assert worker.receive() is None
    worker.stop()
    assert worker.is_stopped


@pytest.mark.parametrize(
    ("code", "kills", "reason"),
    [
        (-9, 0, "worker killed (signal 9)"),
        (-9, 2, "out of memory"),
        (-11, 2, "worker killed (signal 11)"),
        (1, 0, "worker exited (code 1)"),
        (0, 0, "worker exited (code 0)"),
        (None, 0, "worker exited (code 0)"),
    ],
)
def test_why_a_worker_died(code: int | None, kills: int, reason: str) -> None:
    assert reason_of(code, oom_kills=kills) == reason


def test_linux_counts_whom_it_kills_for_memory() -> None:
    counter = Path("/proc/vmstat")
    if not counter.exists() or "oom_kill " not in counter.read_text():
        pytest.skip("this system does not count")
    assert f"oom_kill {oom_kills()}\n" in counter.read_text()


@pytest.mark.skipif(sys.platform != "linux", reason="there is no server elsewhere")
def test_a_long_name_of_the_temporary_folder(tmp_path: Path) -> None:
    """The path of a socket has 107 bytes."""
    folder = tmp_path / ("long" * 20)
    folder.mkdir()
    program = (
        "from dltune.search.executors.processes import start_server\n"
        "import tempfile\n"
        "start_server()\n"
        "print(tempfile.gettempdir())"
    )
    environment = os.environ | {"TMPDIR": str(folder)}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr, done.stdout) == (0, "", f"{folder}\n")
