"""Trials in this process: in stacks where that is faster, else one after another."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from pathlib import Path

from dltune.errors import DltuneError
from dltune.search.data_shelf import DataShelf
from dltune.search.executors.check import CheckAlone
from dltune.search.executors.jobs import Jobs
from dltune.search.executors.protocol import WHOLE, Executor, Progress, Stretch
from dltune.search.executors.trainer import Trainer
from dltune.search.plan import PlanBook
from dltune.training.history import Trial, TrialRecord


class InProcess(Executor):
    """Trains in this process, with every thread that torch has here.

    One cohort at a time, so that a finished trial is kept when the study is interrupted, and one
    stack is in memory. The epochs of all trials are reported. A limit on the time of a trial needs
    a process that can be stopped: that is a pool's.

    shelf          where the data come from.
    folder         where a model factory is looked up.
    book           how the trials of a shape are trained.
    code_folders   below which Python files are the user's.
    """

    def __init__(
        self,
        shelf: DataShelf,
        folder: Path,
        *,
        book: PlanBook,
        code_folders: Sequence[Path] = (),
    ) -> None:
        self._book = book
        self._trainer = Trainer(
            shelf,
            folder,
            code_folders=code_folders,
            stack=book.option,
        )

    def run(
        self, trials: Sequence[Trial], *, best: TrialRecord | None, stretch: Stretch = WHOLE
    ) -> Generator[Progress, None, None]:
        jobs = Jobs(trials, self._book, workers=1, best=best, stretch=stretch)
        yield from jobs.begin()
        while not self._trainer.interrupted_by and (job := jobs.take()):
            for message in self._trainer.do(job):
                yield from jobs.follow(job, message)

    def check(self, trials: Sequence[Trial], *, folder: Path) -> DltuneError | None:
        alone = CheckAlone(trials, folder)
        while check := alone.take():
            for message in self._trainer.do(check):
                alone.follow(check, message)
        return alone.mistake

    def stop(self, reason: str, *, seconds: float | None = None) -> None:
        """Let the cohort end after its next update; in this process nothing can end it earlier."""
        self._trainer.interrupted_by = reason

    def close(self) -> None:
        """Nothing is held."""
