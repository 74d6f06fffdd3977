"""Trials in worker processes on this machine; the coordinator needs no torch."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from dltune.search.data_shelf import DataShelf
from dltune.search.executors.crew import Crew
from dltune.search.executors.protocol import Progress
from dltune.search.executors.round import Limits, Round
from dltune.search.executors.shared_data import SharedData
from dltune.search.executors.worker import WorkerSetup
from dltune.search.plan import PlanBook
from dltune.training.history import Trial, TrialRecord

# What a cohort gets beyond its trials' seconds before its worker is stopped: for loading data to a
# GPU, building models and the last measurements, which count for no trial.
GRACE_SECONDS = 30.0


class WorkerPool:
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
    grace_seconds  what a worker gets beyond its trials' seconds before it is stopped.
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
    ) -> None:
        self._data, self._book = SharedData(shelf), book
        self._limits = Limits(cores=cores, trial_seconds=trial_seconds, grace_seconds=grace_seconds)
        self._crew = Crew(
            [
                WorkerSetup(
                    folder=folder.absolute(),
                    code_folders=tuple(code_folders),
                    threads=max(1, cores // workers),
                    gpu=gpus[number % len(gpus)] if gpus else None,
                )
                for number in range(workers)
            ]
        )

    def start(self) -> None:
        """Start the processes in the background; `run` does it otherwise."""
        self._crew.start()

    def run(
        self, trials: Sequence[Trial], *, best: TrialRecord | None
    ) -> Generator[Progress, None, None]:
        self._crew.start()
        this_round = Round(
            self._crew,
            self._data,
            self._book,
            self._limits,
            trials=trials,
            best=best,
        )
        try:
            yield from this_round.steps()
        finally:  # nobody is busy at the end, unless the caller has enough or something went wrong
            self._crew.stop(this_round.busy)

    def close(self) -> None:
        """End the processes and remove the files of the data."""
        self._crew.close()
        self._data.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
