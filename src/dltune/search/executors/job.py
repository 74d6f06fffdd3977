"""What a process with torch is given to do: a cohort to train, or a question; and what it tells."""

from __future__ import annotations

import dataclasses
from typing import Literal

from dltune.search.cohorts import Group
from dltune.search.executors.check import Check, Checked
from dltune.search.executors.protocol import WHOLE, Progress, Stretch
from dltune.search.plan import Plan
from dltune.training.history import Trial, TrialRecord

CANNOT_BE_BUILT = "cannot be built"  # the kind of a model whose factory raises


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cohort:
    """Trials to train; as a job, by one process.

    key         of their shape.
    stacked     whether they are one stack, which takes equal shapes; else one after another.
    one_worker  whether the process is to have the machine for itself, with every core.
    best        objective of the best trial so far, None if there is none: a trial that is as good
                brings its checkpoint.
    stretch     how far they are trained.
    failures    workers that have died over it.
    """

    key: str
    trials: tuple[Trial, ...]
    stacked: bool
    one_worker: bool = False
    best: float | None = None
    stretch: Stretch = WHOLE
    failures: int = 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Question:
    """What has to be known about a group before it is trained.

    about     "kinds": which of its models may share a stack; "plan": how it is best trained.
    failures  workers that have died over it.
    """

    group: Group
    about: Literal["kinds", "plan"]
    failures: int = 0

    @property
    def trials(self) -> tuple[Trial, ...]:
        return self.group.trials


Job = Cohort | Question | Check


@dataclasses.dataclass(frozen=True, kw_only=True)
class Answer:
    """To a question: a plan, or one text for each trial, equal where models may share a stack."""

    value: Plan | list[str]


@dataclasses.dataclass(frozen=True, kw_only=True)
class StackFailed:
    """A stack of so many trials could not be trained; what is left of it is tried again.

    limit  trials that a stack of this shape may have from now on; None where the fault may lie with
           one of the trials.
    """

    stack: int
    reason: str
    limit: int | None = None


Told = Progress | StackFailed | Answer | Checked
"""What a process tells about its job."""


class BestSoFar:
    """Which trials may be the best of the study, by what this process knows.

    objective  of the best so far; None if there is none.
    """

    def __init__(self, objective: float | None) -> None:
        self._objective = objective

    def takes(self, trial: TrialRecord) -> bool:
        """Whether nothing known is better; of equal ones the study decides by number."""
        objective = trial.ranked
        if objective is None or (self._objective is not None and objective > self._objective):
            return False
        self._objective = objective
        return True
