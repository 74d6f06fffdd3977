"""The cohorts that wait for a process, cut by the plan of their shape."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

from dltune.recipe.schema import FactoryConfig
from dltune.search.cohorts import Group, shape_words, split
from dltune.search.executors.cohort_trainer import StackFailed
from dltune.search.executors.protocol import Noted
from dltune.search.plan import LOOPED, Plan, PlanBook
from dltune.training.history import Trial


@dataclasses.dataclass(frozen=True, kw_only=True)
class Work:
    """A cohort that waits.

    key         of its shape.
    stacked     whether it is one stack; else one after another.
    one_worker  whether it is to have the machine for itself.
    deaths      how often a process has died over it.
    alone       whether it is one trial of a cohort that killed its process twice.
    """

    key: str
    trials: tuple[Trial, ...]
    stacked: bool
    one_worker: bool = False
    deaths: int = 0
    alone: bool = False


class Backlog:
    """Gives out cohorts, the one with the lowest trial number first.

    book     the plans; a stack that fails may change them.
    workers  processes that train at the same time.

    In order of number, so that finished trials reach the run folder without gaps.
    """

    def __init__(self, book: PlanBook, workers: int) -> None:
        self._book, self._workers = book, workers
        self._waiting: list[Work] = []
        self._shapes: dict[str, str] = {}

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def plan(self, group: Group) -> Plan | None:
        """The plan for a group; None if it has to be made first, which needs torch.

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

    def add(self, group: Group, plan: Plan) -> Iterator[Noted]:
        """Take a group in; tells how it is trained, once in a session."""
        shape = shape_words(group.config)
        self._shapes[group.key] = shape
        self._waiting += self._cut(group.key, group.trials, plan)
        if text := self._book.note(group.key, shape, plan):
            yield Noted(text=text)

    def take(self, *, one_worker: bool = False) -> Work | None:
        """The next cohort of those that share the machine, or of those that do not."""
        fitting = [work for work in self._waiting if work.one_worker == one_worker]
        if not fitting:
            return None
        work = min(fitting, key=lambda work: work.trials[0].number)
        self._waiting.remove(work)
        return work

    def give_back(self, work: Work) -> None:
        """Put a cohort back, as it is to be tried next."""
        self._waiting.append(work)

    def learn(self, key: str, failure: StackFailed) -> Noted:
        """Take in that a stack has failed: those that wait may have to be smaller."""
        if failure.limit is not None:
            self._book.limit(key, failure.limit, failure.reason)
            plan = self._book.known(key) or LOOPED
            for work in [one for one in self._waiting if one.key == key and one.stacked]:
                if len(work.trials) > plan.stack or plan.stack == 1:
                    self._waiting.remove(work)
                    self._waiting += self._cut(key, work.trials, plan)
        how = "trained alone" if failure.stack == 1 else "tried again in halves"
        shape = self._shapes[key]
        return Noted(text=f"{shape}: a stack of {failure.stack} failed, {how}: {failure.reason}")

    def _cut(self, key: str, trials: Sequence[Trial], plan: Plan) -> list[Work]:
        workers = 1 if plan.one_worker else self._workers
        return [
            Work(
                key=key,
                trials=tuple(cohort),
                stacked=plan.stack > 1,
                one_worker=plan.one_worker,
            )
            for cohort in split(trials, plan.stack, workers)
        ]
