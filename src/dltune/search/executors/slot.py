"""One worker process: its start, its messages, and why it died if it did.

Each worker is a `pebble.ProcessPool` of its own. The workers of one pool share a pipe and its locks
there, and one that is killed while it holds a lock, or has sent half a message, would block the
others; here it takes nothing with it but itself. What a worker has to tell comes through a pipe
whose other end only it holds, so that the pipe's end is the worker's.
"""

from __future__ import annotations

import contextlib
import dataclasses
from concurrent.futures import CancelledError, Future
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import cast

from pebble import ProcessExpired, ProcessPool

from dltune.search.executors.launch import thread_environment, without_ctrl_c, without_main
from dltune.search.executors.worker import Message, Task, WorkerSetup, prepare, work

# After the end of a worker's pipe, until pebble says how it ended: it looks every 0.1 s, and a
# worker that is stopped for its time gets 3 s before it is killed.
LONGEST_AUTOPSY_SECONDS = 5.0

SIGKILL = 9


@dataclasses.dataclass(frozen=True, kw_only=True)
class Death:
    """How a worker ended that should not have.

    timed_out  whether it was stopped because its task took too long.
    """

    reason: str
    timed_out: bool = False


class Slot:
    """A place for one worker at a time.

    setup    what the worker is told.
    context  the start method.

    is_open       whether there is, or is about to be, a worker.
    is_ready      whether it can be given tasks.
    has_begun     whether it has got its latest task.
    early_deaths  workers in a row that have died before they got one.
    """

    def __init__(self, setup: WorkerSetup, context: BaseContext) -> None:
        self.setup, self._context = setup, context
        self._pool: ProcessPool | None = None
        self._future: Future[None] | None = None
        self._oom_kills = 0
        self.is_open = self.is_ready = self.has_begun = False
        self.early_deaths = 0

    def open(self) -> None:
        """Make the pipe: `connection` can be waited on before the process runs."""
        self.connection, self._workers_end = self._context.Pipe(duplex=False)
        self.is_open, self.is_ready, self.has_begun = True, False, False
        self._future = None

    def launch(self) -> None:
        """Start the process, and return once it exists; it sends Ready when it has torch."""
        try:
            with without_ctrl_c(), without_main(), thread_environment(self.setup.threads):
                self._pool = ProcessPool(
                    1,
                    initializer=prepare,
                    initargs=(self._workers_end, self.setup),
                    context=self._context,
                )
                self._pool.active  # noqa: B018  starts it
        finally:
            # From here on the worker alone holds this end. Without it pebble cannot start another
            # process in this one's place, which is right: the slot has to know.
            self._workers_end.close()

    def give(self, task: Task, *, seconds: float | None) -> None:
        """Have a ready worker do a task; stop the worker if it takes longer than that."""
        assert self._pool is not None
        self.has_begun, self._oom_kills, self._future = False, oom_kills(), None
        # If it has died in idleness, pebble refuses; the end of the pipe tells so in a moment.
        with contextlib.suppress(RuntimeError):
            self._future = self._pool.schedule(work, args=(task,), timeout=seconds)

    def receive(self) -> Message | None:
        """The next message, which must be there; None if the worker is dead.

        A message that was cut off by the death counts as never sent.
        """
        try:
            return cast(Message, self.connection.recv())
        except (EOFError, OSError):
            return None

    def autopsy(self) -> Death:
        """Why the worker died."""
        try:
            cause = (
                None
                if self._future is None
                else self._future.exception(timeout=LONGEST_AUTOPSY_SECONDS)
            )
        except (TimeoutError, CancelledError):
            cause = None
        if isinstance(cause, TimeoutError):
            return Death(reason="timeout", timed_out=True)
        code = cause.exitcode if isinstance(cause, ProcessExpired) else None
        return Death(reason=reason_of(code, oom_kills=oom_kills() - self._oom_kills))

    def begin_stop(self) -> None:
        """Let pebble begin with what `stop` waits for."""
        if self._pool is not None:
            self._pool.stop()

    def stop(self) -> None:
        """End the worker, whatever it does."""
        self.begin_stop()
        if self._pool is not None:
            self._pool.join()
            self._pool = None
        self.connection.close()
        self.is_open = False


def reason_of(exit_code: int | None, *, oom_kills: int) -> str:
    """Why a worker died, as it stands in a trial's reason.

    exit_code  negative for a signal; None or 0 if the user's code has ended the process.
    oom_kills  processes that the system has killed meanwhile for memory.

    >>> reason_of(-9, oom_kills=0), reason_of(-9, oom_kills=1), reason_of(3, oom_kills=0)
    ('worker killed (signal 9)', 'out of memory', 'worker exited (code 3)')
    """
    if exit_code == -SIGKILL and oom_kills > 0:
        return "out of memory"
    if exit_code is not None and exit_code < 0:
        return f"worker killed (signal {-exit_code})"
    return f"worker exited (code {exit_code or 0})"


def oom_kills() -> int:
    """How many processes Linux has killed because memory ran out; 0 elsewhere."""
    try:
        lines = Path("/proc/vmstat").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))
