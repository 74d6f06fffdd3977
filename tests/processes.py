"""Processes that a test starts end with it, whatever becomes of the test."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest


def heed_ctrl_c() -> None:
    """Let this process, and what it starts, be stopped by SIGINT.

    A shell ignores it for what it starts in the background, and so do all processes below: a test
    that sends it would wait for ever.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@contextlib.contextmanager
def no_process_left() -> Iterator[None]:
    """What is started inside has a process group of its own, which is killed at the end."""
    started: list[subprocess.Popen[Any]] = []
    begin = subprocess.Popen.__init__

    def begin_and_note(process: subprocess.Popen[Any], *arguments: Any, **options: Any) -> None:
        if sys.platform != "win32" and "process_group" not in options:
            options.setdefault("start_new_session", True)
        begin(process, *arguments, **options)
        started.append(process)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subprocess.Popen, "__init__", begin_and_note)
        try:
            yield
        finally:
            for process in started:
                end(process)


def end(process: subprocess.Popen[Any]) -> None:
    """Kill a process and all that it has started in its group."""
    if sys.platform != "win32":
        # Its group outlives it, while one that it has started lives; no other can have the number.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    if process.poll() is None:
        process.kill()
        process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            with contextlib.suppress(BrokenPipeError):
                stream.close()
