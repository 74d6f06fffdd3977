"""The jobs of some trials: which there are, which comes next, what becomes of one that fails."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Collection, Iterator, Sequence

from dltune.recipe.schema import FactoryConfig
from dltune.search.cohorts import Group, by_kind, group_by_shape, shape_words, split
from dltune.search.executors.check import Check, Checked
from dltune.search.executors.job import (
    CANNOT_BE_BUILT,
    Answer,
    Cohort,
    Job,
    Question,
    StackFailed,
    Told,
)
from dltune.search.executors.processes import WorkerFailure
from dltune.search.executors.protocol import (
    WHOLE,
    Noted,
    Progress,
    Stretch,
    TrialEnded,
    TrialPaused,
    TrialStarted,
)
from dltune.search.plan import LOOPED, Plan, PlanBook
from dltune.training.history import Trial, TrialRecord, TrialState, better


class Jobs:
    """Every job of some trials, from the first question to the last result.

    Questions come first, then the cohort with the lowest trial number, so that finished trials
    reach the run folder without gaps.

    book           the plans; a stack that fails may change them.
    workers        processes that train at the same time.
    best           trial of the study so far.
    stretch        how far the trials are trained.
    trial_seconds  that a trial may train; None for no limit.
    """

    def __init__(
        self,
        trials: Sequence[Trial],
        book: PlanBook,
        *,
        workers: int,
        best: TrialRecord | None = None,
        stretch: Stretch = WHOLE,
        trial_seconds: float | None = None,
    ) -> None:
        self._trials, self._book, self._workers = trials, book, workers
        self._best, self._stretch, self._trial_seconds = best, stretch, trial_seconds
        self._questions: deque[Question] = deque()
        self._cohorts: list[Cohort] = []
        self._left = {trial.number for trial in trials}
        self._started: set[int] = set()
        self._shapes: dict[str, str] = {}

    def __bool__(self) -> bool:
        """Whether any job waits."""
        return bool(self._questions or self._cohorts)

    def begin(self) -> Iterator[Progress]:
        """Make the first jobs."""
        for group in group_by_shape(self._trials):
            yield from self._place(group)

    def take(self, running: Collection[Job] = ()) -> Job | None:
        """The next job for an idle process; None if there is none beside those that run."""
        if any(isinstance(job, Cohort) and job.one_worker for job in running):
            return None
        if self._questions:
            return self._questions.popleft()
        shared = [cohort for cohort in self._cohorts if not cohort.one_worker]
        fitting = shared or ([] if running else self._cohorts)
        if not fitting:
            return None
        cohort = min(fitting, key=lambda cohort: cohort.trials[0].number)
        self._cohorts.remove(cohort)
        best = None if self._best is None else self._best.ranked
        return dataclasses.replace(cohort, best=best)

    def put_back(self, job: Job) -> None:
        """Have a job done that was taken and not begun."""
        assert not isinstance(job, Check)
        if isinstance(job, Question):
            self._questions.append(job)
        else:
            self._cohorts.append(job)

    def follow(self, job: Job, message: Told) -> Iterator[Progress]:
        """Take in what a process tells about its job; what of it the study has to know."""
        match message:
            case Answer():
                assert isinstance(job, Question)
                yield from self._learn(job.group, message.value)
            case StackFailed():
                assert isinstance(job, Cohort)
                yield self._limit(job.key, message)
            case TrialStarted():
                self._started.add(message.trial.number)
                yield message
            case TrialEnded():
                yield from self._end(message)
            case TrialPaused():
                yield from self._pause(message)
            case _:
                assert not isinstance(message, Checked)
                yield message

    def fail(self, job: Job, failure: WorkerFailure) -> Iterator[Progress]:
        """A worker has died over a job.

        It is tried once more, unless it takes too long. Then trials of a cohort are trained each
        alone, and one that is alone has failed; a group is trained one after another.
        """
        assert not isinstance(job, Check)
        give_up = failure.timed_out or job.failures > 0
        if isinstance(job, Cohort):
            yield from self._fail_cohort(job, failure, give_up=give_up)
        elif not give_up:
            self.put_back(dataclasses.replace(job, failures=1))
        else:
            plan, groups = Plan(stack=1, reason=failure.reason), [job.group]
            if job.about == "kinds":
                groups = by_kind(job.group, [CANNOT_BE_BUILT] * len(job.trials))
            for group in groups:
                yield from self._add(group, plan)

    def refuse(self, job: Job, reason: str) -> Iterator[Progress]:
        """The data of a job's trials, which are the same in all of them, cannot be had."""
        for trial in job.trials:
            yield from self.follow(job, TrialStarted(trial=trial))
            record = trial.record(TrialState.FAILED, reason)
            yield from self.follow(job, TrialEnded(record=record, checkpoint=None))

    def _place(self, group: Group, *, kinds_known: bool = False) -> Iterator[Progress]:
        """Have a group trained, or first what is not known about it asked."""
        users = isinstance(group.config.model, FactoryConfig)
        plan = self._plan(group)
        if users and self._book.option != "off" and not kinds_known:
            self._questions.append(Question(group=group, about="kinds"))
        elif plan is None:
            self._questions.append(Question(group=group, about="plan"))
        else:
            yield from self._add(group, plan)

    def _plan(self, group: Group) -> Plan | None:
        """The plan for a group; None if it has to be made first.

        A trial that is the only one of its shape is trained alone: measuring would take longer than
        it could save. Whether a user's models can be stacked has to be tried.
        """
        known, option = self._book.known(group.key), self._book.option
        if known is not None:
            return known
        if option == "auto" and len(group.trials) == 1:
            return LOOPED
        if isinstance(option, int) and not isinstance(group.config.model, FactoryConfig):
            self._book.keep(group.key, Plan(stack=option))
        return self._book.known(group.key)

    def _learn(self, group: Group, answer: Plan | list[str]) -> Iterator[Progress]:
        if isinstance(answer, Plan):
            self._book.keep(group.key, answer)
            yield from self._add(group, answer)
        else:
            for kind in by_kind(group, answer):
                yield from self._place(kind, kinds_known=True)

    def _add(self, group: Group, plan: Plan) -> Iterator[Noted]:
        """Let the cohorts of a group wait; tells how it is trained, once in a session."""
        shape = shape_words(group.config)
        self._shapes[group.key] = shape
        self._cohorts += self._cut(group.key, group.trials, plan)
        if text := self._book.note(group.key, shape, plan):
            yield Noted(text=text)

    def _cut(self, key: str, trials: Sequence[Trial], plan: Plan) -> list[Cohort]:
        workers = 1 if plan.one_worker else self._workers
        return [
            Cohort(
                key=key,
                trials=tuple(cohort),
                stacked=plan.stack > 1,
                one_worker=plan.one_worker,
                stretch=self._stretch.of(cohort),
            )
            for cohort in split(trials, plan.stack, workers)
        ]

    def _limit(self, key: str, failure: StackFailed) -> Noted:
        """A stack has failed: those that wait may have to be smaller."""
        if failure.limit is not None:
            self._book.limit(key, failure.limit, failure.reason)
            plan = self._book.known(key) or LOOPED
            for cohort in [one for one in self._cohorts if one.key == key and one.stacked]:
                if len(cohort.trials) > plan.stack or plan.stack == 1:
                    self._cohorts.remove(cohort)
                    self._cohorts += self._cut(key, cohort.trials, plan)
        how = "trained alone" if failure.stack == 1 else "tried again in halves"
        shape = self._shapes[key]
        return Noted(text=f"{shape}: a stack of {failure.stack} failed, {how}: {failure.reason}")

    def _fail_cohort(
        self, cohort: Cohort, failure: WorkerFailure, *, give_up: bool
    ) -> Iterator[Progress]:
        left = tuple(trial for trial in cohort.trials if trial.number in self._left)
        if len(left) == 1 and give_up:
            yield from self._fail_trial(left[0], failure)
        elif left:
            count = "1 trial is" if len(left) == 1 else f"{len(left)} trials are"
            each_alone = ", each alone" if give_up else ""
            yield Noted(text=f"{failure.reason}: {count} trained again{each_alone}")
            again = dataclasses.replace(cohort, trials=left, failures=1)
            if not give_up:
                self.put_back(again)
                return
            for trial in left:
                self.put_back(dataclasses.replace(again, trials=(trial,), stacked=False))

    def _fail_trial(self, trial: Trial, failure: WorkerFailure) -> Iterator[Progress]:
        reason = failure.reason
        if failure.timed_out:
            reason = f"timeout: more than {self._trial_seconds:g} s"
        if trial.number not in self._started:
            yield TrialStarted(trial=trial)
        record = trial.record(TrialState.FAILED, reason)
        yield from self._end(TrialEnded(record=record, checkpoint=None))

    def _end(self, ended: TrialEnded) -> Iterator[Progress]:
        """Tell of a trial's end; of one that ends twice, as its worker died after it, once."""
        if ended.record.number in self._left:
            self._left.remove(ended.record.number)
            self._best = better(self._best, ended.record.without_history())
            yield ended

    def _pause(self, paused: TrialPaused) -> Iterator[Progress]:
        """Tell likewise of a trial that pauses."""
        if paused.record.number in self._left:
            self._left.remove(paused.record.number)
            yield paused
