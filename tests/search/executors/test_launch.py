"""Starting processes: with few threads, deaf to Ctrl-C, and without the main script."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from dltune.search.executors.launch import (
    THREAD_VARIABLES,
    thread_environment,
    without_ctrl_c,
    without_main,
)


def test_threads_are_told_to_children_and_to_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    with thread_environment(3):
        assert [os.environ[name] for name in THREAD_VARIABLES] == ["3"] * len(THREAD_VARIABLES)
    assert os.environ["OMP_NUM_THREADS"] == "5"
    assert "MKL_NUM_THREADS" not in os.environ


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="cannot block signals")
def test_a_child_never_gets_ctrl_c_and_the_parent_gets_it_afterwards() -> None:
    program = "import os, signal; os.kill(os.getpid(), signal.SIGINT); print('untouched')"
    got: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: got.append(number))
    try:
        with without_ctrl_c():
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


def test_starting_early_is_light() -> None:
    """It is the first thing that a command does: nothing may be imported for it."""
    program = (
        "import sys; import dltune.search.executors.early; "
        "print(*{name.split('.')[0] for name in sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    heavy = {"numpy", "optuna", "pandas", "pebble", "pydantic", "torch", "typer"}
    assert set(done.stdout.split()) & heavy == set()


def test_nothing_is_started_where_one_process_will_do() -> None:
    program = (
        "from multiprocessing import forkserver\n"
        "from dltune.search.executors.early import start_early\n"
        "start_early(1)\n"
        "assert forkserver._forkserver._forkserver_pid is None\n"
        "start_early(2)\n"
        "assert forkserver._forkserver._forkserver_pid is not None\n"
    )
    if sys.platform != "linux":
        pytest.skip("no server here")
    subprocess.run([sys.executable, "-c", program], check=True, cwd=Path.cwd())
