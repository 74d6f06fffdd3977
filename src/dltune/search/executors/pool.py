"""Trials in worker processes on this machine; the coordinator needs no torch."""

from __future__ import annotations

import atexit
import contextlib
import math
import multiprocessing
from collections import deque
from collections.abc import Collection, Generator, Iterator, Sequence
from multiprocessing.connection import wait
from pathlib import Path

from dltune.errors import DataError, DltuneError, RecipeError, TrainingError
from dltune.search.data_shelf import DataShelf
from dltune.search.executors.check import CheckAlone
from dltune.search.executors.job import Cohort, Job
from dltune.search.executors.jobs import Jobs
from dltune.search.executors.processes import LOST_SERVER, Worker, start_server
from dltune.search.executors.protocol import WHOLE, Executor, Noted, Progress, Stretch
from dltune.search.executors.shared_data import SharedData
from dltune.search.executors.worker import Begun, Broken, Done, Message, Ready, WorkerSetup
from dltune.search.failures import reason_of
from dltune.search.plan import PlanBook
from dltune.training.history import Trial, TrialRecord

# Workers in a row that may die before they get to work: somebody may have killed one or two of
# them. With the third it is the machine.
FAILED_STARTS = 3

# What a job gets beyond its trials' seconds before its worker is stopped: for loading data to a
# GPU, building models and the last measurements, which count for no trial.
GRACE_SECONDS = 30.0


class WorkerPool(Executor):
    """Trains in worker processes, each of which may die at the cost of a repeated cohort.

    shelf          where the data come from; workers get them through mapped files.
    folder         where a model factory is looked up.
    workers        processes, at least 1.
    book           how the trials of a shape are trained.
    cores          of the machine, shared out over the workers.
    gpus           names as in CUDA_VISIBLE_DEVICES, dealt out in turn; empty to leave that alone.
    code_folders   below which Python files are the user's.
    trial_seconds  a trial that trains longer fails, and one that hangs in the user's code is
                   stopped. None: no limit.
    grace_seconds  what a job gets beyond its trials' seconds before its worker is stopped.
    users_model    whether a factory of the user's makes models: they train nowhere else.

    setups  what each worker is told.
    """

    def __init__(
        self,
        shelf: DataShelf,
        folder: Path,
        *,
        workers: int,
        book: PlanBook,
        cores: int,
        gpus: Sequence[str] = (),
        code_folders: Sequence[Path] = (),
        trial_seconds: float | None = None,
        grace_seconds: float = GRACE_SECONDS,
        users_model: bool = False,
    ) -> None:
        limit = "" if trial_seconds is None else " without --trial-timeout"
        # What needs no worker; for a user's models there is nothing.
        self._alone = "" if users_model else f"type --workers 1{limit}"
        self._data, self._book = SharedData(shelf, otherwise=self._alone), book
        self._trial_seconds, self._grace_seconds = trial_seconds, grace_seconds
        dealt = [gpus[number % len(gpus)] if gpus else None for number in range(workers)]
        self.setups = [
            WorkerSetup(
                folder=folder.absolute(),
                code_folders=tuple(code_folders),
                threads=max(1, cores // workers),
                gpu=gpu,
                on_gpu=dealt.count(gpu),
                stack=book.option,
                trial_seconds=trial_seconds,
                workers=workers,
                cores=cores,
            )
            for gpu in dealt
        ]
        self._workers: list[Worker] = []
        # Why all is to end, and within how many seconds; and what tells it to `_wait`.
        self._interruption: tuple[str, float | None] | None = None
        self._awaited, self._alarm = multiprocessing.Pipe(duplex=False)

    def start(self) -> None:
        """Start every worker that does not run, in the background; `run` does it otherwise."""
        if not self._workers:
            start_server()
            atexit.register(self.close)  # before multiprocessing waits for workers to end
            self._workers = [Worker(setup) for setup in self.setups]
            for worker in self._workers:
                worker.start()
        for worker in self._workers:
            if worker.is_stopped:
                self._replace(worker)

    def _replace(self, worker: Worker, *, failed_starts: int = 0) -> None:
        new = Worker(worker.setup, failed_starts=failed_starts)
        self._workers[self._workers.index(worker)] = new
        new.start()

    def run(
        self, trials: Sequence[Trial], *, best: TrialRecord | None, stretch: Stretch = WHOLE
    ) -> Generator[Progress, None, None]:
        self.start()
        jobs = Jobs(
            trials,
            self._book,
            workers=len(self._workers),
            best=best,
            stretch=stretch,
            trial_seconds=self._trial_seconds,
        )
        yield from jobs.begin()
        yield from self._work(jobs)

    def check(self, trials: Sequence[Trial], *, folder: Path) -> DltuneError | None:
        self.start()
        alone = CheckAlone(trials, folder)
        for _ in self._work(alone):
            pass  # a check has no progress
        return alone.mistake

    def _work(self, jobs: Jobs | CheckAlone) -> Generator[Progress, None, None]:
        """Have all jobs done."""
        try:
            while self._interruption is None:
                yield from self._hand_out(jobs)
                if not jobs and not self._busy:  # those whose data cannot be loaded are over
                    return
                yield from self._hear(jobs)
            yield from self._interrupt()
            while self._busy:
                yield from self._hear(jobs)
        finally:  # nobody is busy at the end, unless the caller has enough or something went wrong
            self._stop(self._busy)

    def _hear(self, jobs: Jobs | CheckAlone) -> Iterator[Progress]:
        """Wait for the next messages, and take them in."""
        for worker in self._wait():
            message = worker.receive()
            if message is not None:
                yield from self._follow(worker, message, jobs)
            elif self._interruption is None:
                yield from self._restart(worker, jobs)
            else:
                self._give_up(worker)

    def stop(self, reason: str, *, seconds: float | None = None) -> None:
        """Let cohorts end after their next update, within some seconds; begin nothing new."""
        self._interruption = (reason, seconds)
        with contextlib.suppress(OSError):
            self._alarm.send_bytes(b"!")

    def _interrupt(self) -> Iterator[Progress]:
        if self._interruption is None:
            return
        yield Noted(text=self._interruption[0])
        reason, seconds = self._interruption
        for worker in self._busy:
            if isinstance(worker.job, Cohort):
                worker.interrupt(reason, seconds=seconds)
            else:  # a question, whose answer nobody needs any more
                self._give_up(worker)

    def _give_up(self, worker: Worker) -> None:
        self._stop([worker])
        worker.finish()

    @property
    def _busy(self) -> list[Worker]:
        return [worker for worker in self._workers if worker.job is not None]

    def _hand_out(self, jobs: Jobs | CheckAlone) -> Iterator[Progress]:
        """Give every idle worker something to do; a job whose data cannot be loaded is over."""
        idle = deque(one for one in self._workers if one.is_ready and one.job is None)
        while idle:
            job = jobs.take([one.job for one in self._busy if one.job is not None])
            if job is None:
                return
            try:
                data = self._data.folder_of(job.trials[0].config.data)
            except (DataError, RecipeError) as error:
                yield from jobs.refuse(job, reason_of(error))
            else:
                idle.popleft().give(job, data, seconds=self._seconds_for(job))

    def _seconds_for(self, job: Job) -> float | None:
        """After which the worker is stopped; None for no limit.

        A question, which takes some updates in each of a few forms, has the time of one trial.
        """
        if self._trial_seconds is None:
            return None
        count = len(job.trials) if isinstance(job, Cohort) else 1
        return self._trial_seconds * count + self._grace_seconds

    def _wait(self) -> list[Worker]:
        """Wait until workers have something to tell, have died or are late; the former two."""
        workers = [worker for worker in self._workers if not worker.is_stopped]
        left = min(worker.seconds_left for worker in workers)
        connections = [worker.connection for worker in workers]
        # One that starts in the background has no process yet: its end is told by its pipe.
        ends = [worker.sentinel for worker in workers if worker.sentinel is not None]
        ready = wait(
            [self._awaited, *connections, *ends], None if left == math.inf else max(0.0, left)
        )
        if self._awaited in ready:
            self._awaited.recv_bytes()
        for worker in workers:
            worker.end_if_late()
        return [
            worker for worker in workers if worker.connection in ready or worker.sentinel in ready
        ]

    def _follow(
        self, worker: Worker, message: Message, jobs: Jobs | CheckAlone
    ) -> Iterator[Progress]:
        """Take in what a worker tells."""
        match message:
            case Ready():
                worker.is_ready = True
            case Begun():
                worker.has_begun, worker.failed_starts = True, 0
            case Broken():
                raise RuntimeError(f"a worker process has failed:\n{message.traceback}")
            case Done():
                worker.finish()
            case _:
                assert worker.job is not None
                yield from jobs.follow(worker.job, message)

    def _restart(self, worker: Worker, jobs: Jobs | CheckAlone) -> Iterator[Progress]:
        """A worker is dead: another takes its place, and its job is tried again.

        Raises TrainingError if workers cannot be started at all.
        """
        failed_starts = worker.failed_starts + (not worker.has_begun)
        # The server that they are forked from may be killed too; another is started in its place.
        problem = worker.problem
        is_hopeless = problem is not None and not isinstance(problem, LOST_SERVER)
        if is_hopeless or failed_starts >= FAILED_STARTS:
            why = problem or "they end while they start"
            alone = f"{self._alone.capitalize()} to train in one process."
            raise TrainingError(
                f"worker processes cannot be started here: {why}",
                hint=alone if self._alone else "See what is left of memory, and of ulimit -u.",
            )
        failure = worker.failure() if worker.has_begun else None  # else it has died in idleness
        self._stop([worker])
        self._replace(worker, failed_starts=failed_starts)
        if worker.job is not None:
            if failure is None:
                jobs.put_back(worker.job)
            else:
                yield from jobs.fail(worker.job, failure)

    def _stop(self, workers: Collection[Worker]) -> None:
        """End workers at once, whatever they do; `start` brings them back."""
        for worker in workers:
            worker.stop()
        for worker in workers:
            worker.join()

    def close(self) -> None:
        """End the processes and remove the files of the data."""
        self._stop(self._workers)
        self._workers = []
        self._data.close()
        self._awaited.close()
        self._alarm.close()
        atexit.unregister(self.close)
