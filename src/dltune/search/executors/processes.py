"""Worker processes: how they are started, and one of them with its pipe and its end.

On Linux workers are forked from a server process that has torch already: loading it takes a second
of one core once, and not of every core. Elsewhere (on macOS a fork is unsafe once torch is loaded,
Windows has none) every worker starts afresh.

This module is light: a command starts the server before it imports what it needs itself.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import multiprocessing
import os
import sys
import tempfile
import threading
import time
from multiprocessing import resource_tracker
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from dltune.data.machine import oom_kills
from dltune.search.executors.inherited import environment, threads_in_environment, without_main
from dltune.search.interrupts import SIGNALS, TEMPORARY, without_signals

if TYPE_CHECKING:
    from dltune.search.executors.job import Job
    from dltune.search.executors.worker import Message, WorkerSetup

HAS_SERVER = sys.platform == "linux"
PRELOADED = "dltune.search.executors.preload"

# Tells the server which process it must not outlive; `preload` reads it.
COORDINATOR_VARIABLE = "DLTUNE_COORDINATOR"

SIGKILL = 9

# As Python names the server's socket, and what Linux takes for a path (`sun_path`, less its end).
SOCKET, LONGEST_SOCKET = "/pymp-xxxxxxxx/listener-xxxxxxxx", 107

# After the end of a worker's pipe, until the system says how the process ended: far more than it
# needs, unless the process lives on without its pipe.
LONGEST_END_SECONDS = 5.0

# What a start meets when the server has been killed. Until the system has taken it down, which
# takes a process with torch some hundredths of a second, Python does not start another.
LOST_SERVER = (EOFError, ConnectionError)
SERVER_END_SECONDS = 0.3


def worker_context() -> BaseContext:
    """The start method of workers."""
    context = multiprocessing.get_context("forkserver" if HAS_SERVER else "spawn")
    if HAS_SERVER:
        context.set_forkserver_preload([PRELOADED])
    return context


def start_server() -> None:
    """Let torch be loaded where workers will be forked from, while this process does other things.

    Returns at once. Where there is no such server, nothing happens. To be called from the main
    thread, before other threads there may be start processes too.
    """
    if not HAS_SERVER:
        return
    from multiprocessing import forkserver

    worker_context()
    TEMPORARY.append(_server_folder())
    with without_signals(SIGNALS[2:]):  # the other two it blocks, and lets through when it is done
        resource_tracker.ensure_running()
    # Linux takes the end of the thread that has started a process for the end of the parent.
    in_main_thread = threading.current_thread() is threading.main_thread()
    coordinator = {COORDINATOR_VARIABLE: str(os.getpid())} if in_main_thread else {}
    with without_signals(), environment({**threads_in_environment(1), **coordinator}):
        forkserver.ensure_running()


def _server_folder() -> str:
    """The folder of the server's socket, which Python removes when this process ends.

    A TMPDIR whose name leaves no room in the path of a socket is not used.
    """
    from multiprocessing.util import get_temp_dir

    wanted = tempfile.gettempdir()
    try:
        if len(os.fsencode(wanted + SOCKET)) > LONGEST_SOCKET:
            tempfile.tempdir = "/tmp"
        return get_temp_dir()
    finally:
        tempfile.tempdir = wanted


@dataclasses.dataclass(frozen=True, kw_only=True)
class WorkerFailure:
    """Why a worker has died.

    timed_out  whether it was stopped because its job took too long.
    """

    reason: str
    timed_out: bool = False


class Worker:
    """One worker process, from its start in the background to its end.

    All that it has to tell comes through a pipe whose other end only it holds, so that the pipe's
    end is the worker's, and one that is killed takes nothing with it but itself.

    setup          what it is told.
    failed_starts  workers in a row that have died in its place before they got a job.

    connection   can be waited on from the beginning.
    job          what it has been given; None while it is idle.
    is_ready     whether it can be given a job.
    has_begun    whether it has got its latest job.
    is_stopped   whether it was told to end.
    problem      why it could not be started.
    """

    _starting = threading.Lock()  # a start changes what belongs to the whole process

    def __init__(self, setup: WorkerSetup, *, failed_starts: int = 0) -> None:
        self.setup, self.failed_starts = setup, failed_starts
        self._context = worker_context()
        self.connection, self._workers_end = self._context.Pipe()
        self._process: BaseProcess | None = None
        self._deadline, self._timed_out, self._oom_kills = math.inf, False, 0
        self.job: Job | None = None
        self.is_ready = self.has_begun = self.is_stopped = False
        self.problem: Exception | None = None

    def start(self) -> None:
        """Start the process in the background; it sends Ready when it has torch.

        The first of all waits until the server has loaded torch: a second or two, in which this
        process may want to end.
        """
        threading.Thread(target=self._start, daemon=True).start()

    def _start(self) -> None:
        from dltune.search.executors.worker import run_worker

        threads = threads_in_environment(self.setup.threads)
        try:
            with self._starting, without_signals(), without_main(), environment(threads):
                if self.is_stopped:
                    return
                process: Any = self._context.Process(  # type: ignore[attr-defined]
                    target=run_worker, args=(self._workers_end, self.setup)
                )
                process.start()
        except Exception as problem:  # who waits for the pipe finds it
            if isinstance(problem, LOST_SERVER):
                time.sleep(SERVER_END_SECONDS)
            self.problem = problem
        else:
            self._process = process
            if self.is_stopped:  # meanwhile, when there was nothing to kill
                process.kill()
        finally:
            self._workers_end.close()  # from here on the worker alone holds it

    def give(self, job: Job, data: Path, *, seconds: float | None) -> None:
        """Have a ready worker do a job.

        data     where its data set is.
        seconds  after which `end_if_late` ends the worker; None for never.
        """
        self.job, self.has_begun, self._oom_kills = job, False, oom_kills()
        self._deadline = math.inf if seconds is None else time.monotonic() + seconds
        # If it has died in idleness, the end of its pipe tells so in a moment.
        with contextlib.suppress(OSError):
            self.connection.send((job, data))

    def receive(self) -> Message | None:
        """The next message, which must be there; None if the worker is dead.

        A message that was cut off by the death counts as never sent.
        """
        has_ended = self._process is not None and not self._process.is_alive()
        if has_ended and not self.connection.poll():
            return None  # what the user's code has forked may hold the other end
        try:
            return cast("Message", self.connection.recv())
        except (EOFError, OSError):
            return None

    def interrupt(self, reason: str, *, seconds: float | None) -> None:
        """Have it end its job after the next update.

        seconds  after which `end_if_late` ends the worker; None leaves it what it had.
        """
        from dltune.search.executors.worker import Interrupt

        if seconds is not None:
            self._deadline = min(self._deadline, time.monotonic() + seconds)
        with contextlib.suppress(OSError):  # it is dead, as the end of its pipe tells in a moment
            self.connection.send(Interrupt(reason))

    @property
    def sentinel(self) -> int | None:
        """What can be waited on for the end of its process; None before there is one."""
        return None if self._process is None else self._process.sentinel

    def finish(self) -> None:
        """Its job is done."""
        self.job, self._deadline = None, math.inf

    @property
    def seconds_left(self) -> float:
        """Until it is late; infinite without a limit."""
        return self._deadline - time.monotonic()

    def end_if_late(self) -> None:
        """Kill it if its job takes too long; the end of its pipe follows."""
        if self.seconds_left <= 0 and self._process is not None:
            self._deadline, self._timed_out = math.inf, True
            self._process.kill()

    def failure(self) -> WorkerFailure:
        """Why it has died."""
        if self._timed_out:
            return WorkerFailure(reason="timeout", timed_out=True)
        assert self._process is not None
        self._process.join(LONGEST_END_SECONDS)
        kills = oom_kills() - self._oom_kills
        return WorkerFailure(reason=reason_of(self._process.exitcode, oom_kills=kills))

    def stop(self) -> None:
        """End the process, whatever it does; returns at once."""
        self.is_stopped = True
        self.connection.close()
        if self._process is not None:
            self._process.kill()

    def join(self) -> None:
        """Wait for the end of a process that was stopped."""
        if self._process is not None:
            self._process.join()


def reason_of(exit_code: int | None, *, oom_kills: int) -> str:
    """Why a worker died, as it stands in a trial's reason.

    exit_code  negative for a signal; None or 0 if the user's code has ended the process.
    oom_kills  processes that the system has killed meanwhile for memory.

    >>> reason_of(-9, oom_kills=0), reason_of(-9, oom_kills=1), reason_of(3, oom_kills=0)
    ('worker killed (signal 9)', 'out of memory', 'worker exited (code 3)')
    """
    if exit_code is not None and exit_code < 0:
        if -exit_code == SIGKILL and oom_kills > 0:
            return "out of memory"
        return f"worker killed (signal {-exit_code})"
    return f"worker exited (code {exit_code or 0})"
