"""A test that fails leaves no process behind, and Ctrl-C reaches what a test starts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from tests.processes import heed_ctrl_c, no_process_left

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there are no process groups there")

# A process that starts another one, says which, and goes on.
PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(child.pid, flush=True)
"""


def is_gone(process: int) -> bool:
    """Whether it has ended; a zombie that nobody waits for counts."""
    deadline = time.monotonic() + 20.0
    while time.monotonic() < deadline:
        try:
            os.kill(process, 0)
            with open(f"/proc/{process}/stat") as stat:
                if stat.read().rpartition(")")[2].split()[0] == "Z":
                    return True
        except (ProcessLookupError, FileNotFoundError):
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize("stays", ["time.sleep(600)", ""], ids=["parent lives", "parent is over"])
def test_a_test_that_fails_leaves_no_process(stays: str) -> None:
    started: list[int] = []

    def fails() -> None:
        parent = subprocess.Popen(
            [sys.executable, "-c", PARENT + stays], stdout=subprocess.PIPE, text=True
        )
        assert parent.stdout is not None
        started.extend((parent.pid, int(parent.stdout.readline())))
        if not stays:
            parent.wait(timeout=60)
        raise AssertionError("as it happens")

    with pytest.raises(AssertionError, match="as it happens"), no_process_left():
        fails()
    assert [process for process in started if not is_gone(process)] == []


def test_where_a_shell_ignores_ctrl_c_tests_heed_it() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        heed_ctrl_c()
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        program = "import signal; print(signal.getsignal(signal.SIGINT) is signal.SIG_IGN)"
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
        assert done.stdout == "False\n"
    finally:
        signal.signal(signal.SIGINT, before)
