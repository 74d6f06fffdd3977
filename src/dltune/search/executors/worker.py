"""What a worker process does: one job at a time, telling the coordinator how it goes.

A worker is stateless but for the data sets it has at hand: everything that decides a trial comes
with the job.
"""

from __future__ import annotations

import dataclasses
import functools
import gc
import multiprocessing
import os
import queue
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from dltune.search.executors.inherited import threads_in_environment
from dltune.search.executors.job import Told
from dltune.search.executors.parent import end_with
from dltune.search.executors.processes import PRELOADED
from dltune.search.executors.protocol import EpochEnded, TrialEnded, TrialPaused
from dltune.search.executors.shared_data import MappedShelf
from dltune.search.executors.trainer import Trainer
from dltune.search.interrupts import SIGNALS
from dltune.search.plan import StackOption
from dltune.training.history import EpochRecord

# Between two messages about epochs: a person does not see more, and the coordinator reads those of
# all workers.
SECONDS_BETWEEN_EPOCHS = 0.1


@dataclasses.dataclass(frozen=True, kw_only=True)
class WorkerSetup:
    """What a worker is told when it starts; the rest as for `Trainer`.

    threads  of torch.
    gpu      the one it may see, as in CUDA_VISIBLE_DEVICES; None for no choice.
    on_gpu   workers that see the same one.
    """

    folder: Path
    code_folders: tuple[Path, ...] = ()
    threads: int
    gpu: str | None = None
    on_gpu: int = 1
    stack: StackOption = "auto"
    trial_seconds: float | None = None
    workers: int = 1
    cores: int | None = None


@dataclasses.dataclass(frozen=True)
class Interrupt:
    """To a worker that trains: end after the next update. Why, such as "stopped by Ctrl-C"."""

    reason: str


@dataclasses.dataclass(frozen=True)
class Ready:
    """The worker waits for its first job."""


@dataclasses.dataclass(frozen=True)
class Begun:
    """The worker has got its job: whatever happens to it from here on is the job's."""


@dataclasses.dataclass(frozen=True)
class Done:
    """The job is over."""


@dataclasses.dataclass(frozen=True)
class Broken:
    """A mistake in this program, or a Python that cannot import what it needs: the traceback."""

    traceback: str


Message = Ready | Begun | Done | Broken | Told


def run_worker(connection: Connection, setup: WorkerSetup) -> None:
    """Do jobs until the coordinator has no more; called in the new process.

    connection  brings a job and where its data set is, or an `Interrupt`, and takes what comes of
                a job.
    """
    _end_with_coordinator()
    try:
        shelf = MappedShelf(setup.folder)
        trainer = _prepare(setup, shelf)
        tasks = queue.SimpleQueue[Any]()
        listening = (connection, tasks, trainer)
        threading.Thread(target=_listen, args=listening, daemon=True).start()
        connection.send(Ready())
        while True:
            task = tasks.get()
            if isinstance(task, Exception):
                raise task
            job, data = task
            connection.send(Begun())
            shelf.map(data)
            for message in thinned(trainer.do(job)):
                connection.send(message)
            connection.send(Done())
    except (EOFError, ConnectionError):  # the coordinator has closed its end
        return
    except BaseException:  # whatever it is, a silent end would look like the user's code's
        connection.send(Broken(traceback.format_exc()))


def _listen(connection: Connection, tasks: queue.SimpleQueue[Any], trainer: Trainer) -> None:
    """Take in what the coordinator tells, also while the worker trains."""
    try:
        while True:
            task = connection.recv()
            if isinstance(task, Interrupt):
                trainer.interrupted_by = task.reason
            else:
                tasks.put(task)
    except Exception as end:  # for the worker to deal with: mostly that of the pipe
        tasks.put(end)


def _end_with_coordinator() -> None:
    """See to it that this process ends when the coordinator is gone, whatever it does then.

    Where it was forked, that is the system's doing: the server ends with the coordinator, and this
    process with the server. Elsewhere a thread does it, as soon as it gets a turn.
    """
    server = sys.modules.get(PRELOADED)
    if server is not None:
        end_with(server.SERVER)
    threading.Thread(target=_watch_coordinator, daemon=True).start()


def _watch_coordinator() -> None:
    coordinator = multiprocessing.parent_process()
    assert coordinator is not None
    coordinator.join()
    os._exit(1)


def _prepare(setup: WorkerSetup, shelf: MappedShelf) -> Trainer:
    _leave_signals_to_coordinator()
    _keep_stdout_clean()
    # Processes of the user's code start as elsewhere, not from a server of their own: it and they
    # would keep each other alive when this process is killed.
    multiprocessing.set_start_method(None, force=True)
    if setup.gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = setup.gpu
    os.environ.update(threads_in_environment(setup.threads))
    import torch

    torch.set_num_threads(setup.threads)
    gc.freeze()  # as in `run_study`
    return Trainer(
        shelf,
        setup.folder,
        code_folders=setup.code_folders,
        stack=setup.stack,
        trial_seconds=setup.trial_seconds,
        workers=setup.workers,
        on_gpu=setup.on_gpu,
        cores=setup.cores,
    )


def _leave_signals_to_coordinator() -> None:
    """Live through what ends a command: sent to the group, it reaches the coordinator too.

    What the user's code starts must be able to end: a blocked or ignored signal would be inherited.
    Ctrl-C stays blocked, since a person means the command with it.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # for Windows, where it could not be blocked
    if not hasattr(signal, "pthread_sigmask"):
        return
    ends = [number for number in SIGNALS if number != signal.SIGINT]
    for number in ends:
        signal.signal(number, lambda *_: None)
        os.register_at_fork(after_in_child=functools.partial(signal.signal, number, signal.SIG_DFL))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ends)


def thinned(messages: Iterable[Told]) -> Iterator[Told]:
    """The same with the newest record of each trial at most every tenth of a second."""
    newest: dict[int, EpochRecord] = {}
    told = time.perf_counter()
    for one in messages:
        if isinstance(one, (TrialEnded, TrialPaused)):
            newest.pop(one.record.number, None)
        if not isinstance(one, EpochEnded):
            yield one
            continue
        newest |= {record.trial: record for record in one.records}
        if time.perf_counter() - told >= SECONDS_BETWEEN_EPOCHS:
            yield EpochEnded(records=list(newest.values()))
            newest.clear()
            told = time.perf_counter()


def _keep_stdout_clean() -> None:
    """Send what the user's code prints to stderr: stdout is for results, of the coordinator."""
    sys.stdout = sys.stderr
    try:
        os.dup2(2, 1)
    except OSError:  # stderr is closed
        return
