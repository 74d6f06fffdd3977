"""Trials in this process: in stacks where that is faster, else one after another."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from dltune.recipe.schema import FactoryConfig
from dltune.search.cohorts import Group, by_kind, group_by_shape
from dltune.search.data_shelf import DataShelf
from dltune.search.executors.backlog import Backlog
from dltune.search.executors.cohort_trainer import Cohort, CohortTrainer, StackFailed
from dltune.search.executors.protocol import Progress, TrialEnded
from dltune.search.plan import Plan, PlanBook
from dltune.training.history import Trial, TrialRecord, better


class InProcess:
    """Trains in this process, with every thread that torch has here.

    One cohort at a time, so that a finished trial is kept when the study is interrupted, and one
    stack is in memory. The epochs of all trials are reported.

    shelf          where the data come from.
    folder         where a model factory is looked up.
    book           how the trials of a shape are trained.
    code_folders   below which Python files are the user's.
    trial_seconds  a trial that trains longer fails; looked at after every epoch. None: no limit.
    """

    def __init__(
        self,
        shelf: DataShelf,
        folder: Path,
        *,
        book: PlanBook,
        code_folders: Sequence[Path] = (),
        trial_seconds: float | None = None,
    ) -> None:
        self._trainer = CohortTrainer(shelf, folder, code_folders=code_folders)
        self._book = book
        self._trial_seconds = trial_seconds

    def run(
        self, trials: Sequence[Trial], *, best: TrialRecord | None
    ) -> Generator[Progress, None, None]:
        backlog = Backlog(self._book, workers=1)
        for group in self._groups(trials):
            yield from backlog.add(group, backlog.plan(group) or self._make_plan(group))
        while work := backlog.take() or backlog.take(one_worker=True):
            cohort = Cohort(
                trials=work.trials,
                stacked=work.stacked,
                best=None if best is None else best.ranked,
                trial_seconds=self._trial_seconds,
            )
            for progress in self._trainer.train(cohort):
                if isinstance(progress, StackFailed):
                    yield backlog.learn(work.key, progress)
                    continue
                if isinstance(progress, TrialEnded):
                    best = better(best, progress.record.without_history())
                yield progress

    def _groups(self, trials: Sequence[Trial]) -> Iterator[Group]:
        for group in group_by_shape(trials):
            if self._book.option == "off" or not isinstance(group.config.model, FactoryConfig):
                yield group
            else:
                configs = [trial.config for trial in group.trials]
                yield from by_kind(group, self._trainer.kinds(configs))

    def _make_plan(self, group: Group) -> Plan:
        if isinstance(self._book.option, int):
            plan = self._trainer.plan_unmeasured(group.trials, self._book.option)
        else:
            plan = self._trainer.plan(group.trials, processes=1, threads=1)
        self._book.keep(group.key, plan)
        return plan

    def close(self) -> None:
        """Nothing is held."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
