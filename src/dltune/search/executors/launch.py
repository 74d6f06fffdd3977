"""Starting worker processes: early, quietly, and each with its share of the threads.

On Linux workers are forked from a server process that has torch already: loading it takes a second
of one core once, and not of every core. Elsewhere (on macOS a fork is unsafe once torch is loaded,
Windows has none) every worker starts afresh.
"""

from __future__ import annotations

import atexit
import contextlib
import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator
from multiprocessing import resource_tracker
from multiprocessing.context import BaseContext

HAS_SERVER = sys.platform == "linux"
PRELOADED = "dltune.search.executors.preload"

# Read by the thread pools of torch and numpy when these are loaded.
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


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
    resource_tracker.ensure_running()  # lets Ctrl-C through when it is through, so not below
    with without_ctrl_c(), thread_environment(1):
        forkserver.ensure_running()
    atexit.unregister(stop_server)
    atexit.register(stop_server)


def stop_server() -> None:
    """End the server, wherever it is; workers that it has started are not touched.

    It would end with this process, but not before torch is loaded, and until then hold open the
    pipes that this process was started with.
    """
    if not HAS_SERVER:
        return
    from multiprocessing import forkserver

    # The public way to end it waits until it has loaded everything.
    server = getattr(forkserver._forkserver, "_forkserver_pid", None)
    if server is not None:
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(server, signal.SIGKILL)
            # Until it is dead, the next start would take it for alive; who reaps it is that start.
            os.waitid(os.P_PID, server, os.WEXITED | os.WNOWAIT)


@contextlib.contextmanager
def without_ctrl_c() -> Iterator[None]:
    """Processes that are started inside never get a Ctrl-C, not even while they load Python.

    It reaches the whole process group of a terminal, and this process alone is to handle it: in
    another thread at once, in this one when the block ends. A blocked signal is inherited, unlike a
    handler. Windows cannot block it; there a worker ignores it once it runs.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def without_main() -> Iterator[None]:
    """Processes that are started inside do not run the main script first.

    They would, to find what a task has from it. Here a task has nothing from it, and a script that
    starts a search without `if __name__ == "__main__"` would start one in every worker.
    """
    main = sys.modules["__main__"]
    names = [name for name in ("__file__", "__spec__") if hasattr(main, name)]
    before = {name: getattr(main, name) for name in names}
    for name in names:
        setattr(main, name, None)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(main, name, value)


@contextlib.contextmanager
def thread_environment(threads: int) -> Iterator[None]:
    """Processes that are started inside begin with so many threads.

    >>> with thread_environment(3): os.environ["OMP_NUM_THREADS"]
    '3'
    """
    before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
