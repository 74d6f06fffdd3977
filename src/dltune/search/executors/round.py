"""One round of work for the workers: some trials, from the first plan to the last result."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path

from dltune.recipe.schema import FactoryConfig
from dltune.search.cohorts import Group, by_kind, group_by_shape
from dltune.search.executors.backlog import Backlog, Work
from dltune.search.executors.cohort_trainer import CANNOT_BE_BUILT, Cohort, StackFailed
from dltune.search.executors.crew import Crew
from dltune.search.executors.protocol import Noted, Progress, TrialEnded, TrialStarted
from dltune.search.executors.shared_data import SharedData
from dltune.search.executors.slot import Death, Slot
from dltune.search.executors.worker import (
    Begun,
    Broken,
    Done,
    KindsTask,
    Message,
    PlanTask,
    Ready,
    Task,
    TrainTask,
)
from dltune.search.plan import Plan, PlanBook
from dltune.training.history import Trial, TrialRecord, TrialState, better


@dataclasses.dataclass(frozen=True, kw_only=True)
class Limits:
    """What the machine and the user allow.

    cores          of the machine.
    trial_seconds  a trial that trains longer fails; None for no limit.
    grace_seconds  what a cohort gets beyond its trials' seconds before its worker is stopped.
    """

    cores: int
    trial_seconds: float | None
    grace_seconds: float

    def hard_seconds(self, trials: int) -> float | None:
        """When a worker is stopped that has so many trials to train."""
        if self.trial_seconds is None:
            return None
        return self.trial_seconds * trials + self.grace_seconds


@dataclasses.dataclass(frozen=True, kw_only=True)
class Errand:
    """What has to be found out about a group where torch is.

    wants_kinds  whether the models of its trials are to be told apart first; else its plan.
    deaths       how often a worker has died over it.
    """

    group: Group
    wants_kinds: bool
    deaths: int = 0


class Round:
    """Shares the trials out and follows them.

    crew    the workers.
    data    where workers find the data sets.
    trials  to be trained.
    best    of the study so far.
    """

    def __init__(
        self,
        crew: Crew,
        data: SharedData,
        book: PlanBook,
        limits: Limits,
        *,
        trials: Sequence[Trial],
        best: TrialRecord | None,
    ) -> None:
        self._crew, self._data = crew, data
        self._book, self._limits = book, limits
        self._trials, self._best = trials, best
        self._backlog = Backlog(book, len(crew.slots))
        self._errands: deque[Errand] = deque()
        self._left = {trial.number: trial for trial in trials}
        self._started: set[int] = set()
        self.busy: dict[Slot, Errand | Work] = {}

    def steps(self) -> Iterator[Progress]:
        """Everything that happens, until every trial has ended."""
        for group in group_by_shape(self._trials):
            yield from self._place(group)
        while self._errands or self._backlog or self.busy:
            self._hand_out()
            for slot in self._crew.wait():
                message = slot.receive()
                if message is None:
                    yield from self._bury(slot)
                else:
                    yield from self._take(slot, message)

    def _place(self, group: Group, *, kinds_known: bool = False) -> Iterator[Progress]:
        """Have a group trained, or first what is not known about it found out."""
        own = isinstance(group.config.model, FactoryConfig) and self._book.option != "off"
        plan = self._backlog.plan(group)
        if own and not kinds_known:
            self._errands.append(Errand(group=group, wants_kinds=True))
        elif plan is None:
            self._errands.append(Errand(group=group, wants_kinds=False))
        else:
            yield from self._backlog.add(group, plan)

    def _hand_out(self) -> None:
        """Give every idle worker something to do."""
        for slot in self._crew.slots:
            if not slot.is_ready or slot in self.busy:
                continue
            if any(isinstance(job, Work) and job.one_worker for job in self.busy.values()):
                return
            job = self._errands.popleft() if self._errands else self._backlog.take()
            if job is None and not self.busy:
                job = self._backlog.take(one_worker=True)
            if job is None:
                return
            self.busy[slot] = job
            trials = job.trials if isinstance(job, Work) else job.group.trials
            seconds = self._limits.hard_seconds(len(trials))
            slot.give(self._task(job, self._data.folder_of(trials[0].config.data)), seconds=seconds)

    def _task(self, job: Errand | Work, data: Path) -> Task:
        cores = self._limits.cores
        if isinstance(job, Work):
            cohort = Cohort(
                trials=job.trials,
                stacked=job.stacked,
                threads=cores if job.one_worker else None,
                best=None if self._best is None else self._best.ranked,
                trial_seconds=self._limits.trial_seconds,
            )
            return TrainTask(cohort=cohort, data=data)
        if job.wants_kinds:
            return KindsTask(configs=tuple(one.config for one in job.group.trials), data=data)
        option = self._book.option
        return PlanTask(
            trials=job.group.trials,
            data=data,
            stack=option if isinstance(option, int) else None,
            processes=len(self._crew.slots),
            threads=cores,
        )

    def _take(self, slot: Slot, message: Message) -> Iterator[Progress]:
        """Follow what a worker tells."""
        match message:
            case Ready():
                slot.is_ready = True
            case Begun():
                slot.has_begun, slot.early_deaths = True, 0
            case Broken():
                raise RuntimeError(f"a worker process has failed:\n{message.traceback}")
            case Done():
                yield from self._finish(self.busy.pop(slot), message.answer)
            case StackFailed():
                job = self.busy[slot]
                assert isinstance(job, Work)
                yield self._backlog.learn(job.key, message)
            case TrialStarted():
                self._started.add(message.trial.number)
                yield message
            case TrialEnded():
                yield from self._end(message)
            case _:
                yield message

    def _finish(self, job: Errand | Work, answer: Plan | list[str] | None) -> Iterator[Progress]:
        if isinstance(job, Work):
            return
        if isinstance(answer, Plan):
            self._book.keep(job.group.key, answer)
            yield from self._backlog.add(job.group, answer)
        elif answer is not None:
            for group in by_kind(job.group, answer):
                yield from self._place(group, kinds_known=True)

    def _end(self, ended: TrialEnded) -> Iterator[Progress]:
        if self._left.pop(ended.record.number, None) is not None:
            self._best = better(self._best, ended.record.without_history())
            yield ended

    def _bury(self, slot: Slot) -> Iterator[Progress]:
        """A worker is dead: another takes its place, and what it was at is tried again."""
        job = self.busy.pop(slot, None)
        death = slot.autopsy() if slot.has_begun else None  # else not over what it was given
        self._crew.replace(slot)
        match job, death:
            case Errand(), None:
                self._errands.append(job)
            case Work(), None:
                self._backlog.give_back(job)
            case Errand(), Death():
                yield from self._after_death_in_errand(job, death)
            case Work(), Death():
                yield from self._after_death(job, death)

    def _after_death_in_errand(self, errand: Errand, death: Death) -> Iterator[Progress]:
        if errand.deaths == 0 and not death.timed_out:
            self._errands.append(dataclasses.replace(errand, deaths=1))
        elif errand.wants_kinds:
            kinds = [CANNOT_BE_BUILT] * len(errand.group.trials)
            for group in by_kind(errand.group, kinds):
                yield from self._backlog.add(group, Plan(stack=1, reason=death.reason))
        else:
            yield from self._backlog.add(errand.group, Plan(stack=1, reason=death.reason))

    def _after_death(self, work: Work, death: Death) -> Iterator[Progress]:
        rest = tuple(trial for trial in work.trials if trial.number in self._left)
        if not rest:
            return
        repeated = death.timed_out or work.deaths > 0
        if len(rest) == 1 and repeated:
            yield from self._fail(rest[0], death)
            return
        again = "again" if not repeated else "again, each alone"
        yield Noted(text=f"{death.reason}: {_count(rest)} trained {again}")
        if not repeated:
            self._backlog.give_back(dataclasses.replace(work, trials=rest, deaths=1))
            return
        for trial in rest:
            alone = dataclasses.replace(work, trials=(trial,), stacked=False, deaths=1)
            self._backlog.give_back(alone)

    def _fail(self, trial: Trial, death: Death) -> Iterator[Progress]:
        reason = death.reason
        if death.timed_out:
            reason = f"timeout: more than {self._limits.trial_seconds:g} s"
        if trial.number not in self._started:
            yield TrialStarted(trial=trial)
        record = trial.record(TrialState.FAILED, reason)
        yield from self._end(TrialEnded(record=record, checkpoint=None))


def _count(trials: Sequence[Trial]) -> str:
    return "1 trial is" if len(trials) == 1 else f"{len(trials)} trials are"
