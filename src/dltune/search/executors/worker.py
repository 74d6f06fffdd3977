"""What a worker process does: one task at a time, telling the coordinator how it goes.

A worker is stateless but for the data sets it has at hand: everything that decides a trial comes
with the task.
"""

from __future__ import annotations

import dataclasses
import gc
import os
import sys
import time
import traceback
from collections.abc import Iterable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path

from dltune.recipe.schema import Config
from dltune.search.executors.cohort_trainer import Cohort, CohortTrainer, StackFailed
from dltune.search.executors.launch import THREAD_VARIABLES
from dltune.search.executors.protocol import EpochEnded, Progress, TrialEnded
from dltune.search.executors.shared_data import MappedShelf
from dltune.search.plan import Plan
from dltune.training.history import EpochRecord, Trial

# Between two messages about epochs: a person does not see more, and the coordinator reads those of
# all workers.
SECONDS_BETWEEN_EPOCHS = 0.1


@dataclasses.dataclass(frozen=True, kw_only=True)
class WorkerSetup:
    """What a worker is told when it starts.

    folder        where a model factory is looked up.
    code_folders  below which Python files are the user's.
    threads       of torch.
    gpu      the one it may see, as in CUDA_VISIBLE_DEVICES; None for no choice.
    """

    folder: Path
    code_folders: tuple[Path, ...]
    threads: int
    gpu: str | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainTask:
    """Train a cohort; data is where `shared_data` keeps its data set."""

    cohort: Cohort
    data: Path


@dataclasses.dataclass(frozen=True, kw_only=True)
class PlanTask:
    """Say how trials of equal shapes are best trained; the answer is a `Plan`.

    stack  as large as this, without measuring; None to measure.
    """

    trials: tuple[Trial, ...]
    data: Path
    stack: int | None
    processes: int
    threads: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class KindsTask:
    """Say which of these models may share a stack; the answer is one text for each."""

    configs: tuple[Config, ...]
    data: Path


Task = TrainTask | PlanTask | KindsTask


@dataclasses.dataclass(frozen=True)
class Ready:
    """The worker waits for its first task."""


@dataclasses.dataclass(frozen=True)
class Begun:
    """The worker has got its task: whatever happens to it from here on is the task's."""


@dataclasses.dataclass(frozen=True)
class Done:
    """The task is over, with an answer if it asks for one."""

    answer: Plan | list[str] | None = None


@dataclasses.dataclass(frozen=True)
class Broken:
    """A mistake in this program, or a Python that cannot import what it needs: the traceback."""

    traceback: str


Message = Ready | Begun | Done | Broken | Progress | StackFailed

_connection: Connection
_shelf: MappedShelf
_trainer: CohortTrainer


def prepare(connection: Connection, setup: WorkerSetup) -> None:
    """Make a process a worker; called once in it, before its first task."""
    global _connection, _shelf, _trainer
    _connection = connection
    try:
        _keep_stdout_clean()
        if setup.gpu is not None:
            os.environ["CUDA_VISIBLE_DEVICES"] = setup.gpu
        os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(setup.threads)))
        import torch

        torch.set_num_threads(setup.threads)
        _shelf = MappedShelf(setup.folder)
        _trainer = CohortTrainer(_shelf, setup.folder, code_folders=setup.code_folders)
        gc.freeze()  # as in `run_study`
        connection.send(Ready())
    except Exception:
        connection.send(Broken(traceback.format_exc()))


def work(task: Task) -> None:
    """Do one task; called in the worker. What comes of it goes through the connection."""
    try:
        _connection.send(Begun())
        _shelf.map(task.data)
        match task:
            case TrainTask():
                for message in thinned(_trainer.train(task.cohort)):
                    _connection.send(message)
                done = Done()
            case PlanTask(stack=None):
                done = Done(
                    _trainer.plan(task.trials, processes=task.processes, threads=task.threads)
                )
            case PlanTask(stack=int() as stack):
                done = Done(_trainer.plan_unmeasured(task.trials, stack))
            case KindsTask():
                done = Done(_trainer.kinds(task.configs))
        _connection.send(done)
    except SystemExit as end:
        # A user's model has called sys.exit: what it asks for, and the trial ends like one whose
        # worker has died.
        os._exit(end.code if isinstance(end.code, int) else 1)
    except Exception:
        _connection.send(Broken(traceback.format_exc()))


def thinned(progress: Iterable[Progress | StackFailed]) -> Iterator[Progress | StackFailed]:
    """The same with the newest record of each trial at most every tenth of a second."""
    newest: dict[int, EpochRecord] = {}
    told = time.perf_counter()
    for one in progress:
        if isinstance(one, TrialEnded):
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
