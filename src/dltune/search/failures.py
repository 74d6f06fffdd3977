"""Failures are data; but where every trial fails in the same way, the study stops."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence

from dltune.errors import DataError, DltuneError, ModelError, RecipeError
from dltune.training.history import TrialRecord, TrialState

# How many trials must go wrong alike, from the first one on, for the study to stop. A failure
# (memory, the user's code, a setting) that hits five different configs will hit the sixth.
# Divergence is what a wide range of learning rates brings: where half of the space diverges, five
# in a row come in 3 studies of 100 and twenty in 1 of a million.
ALIKE = {TrialState.FAILED: 5, TrialState.DIVERGED: 20}


class FirstTrials:
    """The first trials of a session, which decide whether it makes sense to go on.

    They are the first by number: of trials that train at the same time, those that diverge are the
    first to end. A resume after a stop gets as many trials again before it stops again; whoever
    resumes has changed something.

    reason  why the session should stop; None if it should go on.
    """

    def __init__(self) -> None:
        self.reason: str | None = None
        self._trials: dict[int, TrialRecord | None] = {}

    def expect(self, number: int) -> None:
        """A trial of this session, in order of number."""
        if len(self._trials) < max(ALIKE.values()):
            self._trials[number] = None

    def see(self, trial: TrialRecord) -> None:
        """A trial is over."""
        if trial.number in self._trials:
            self._trials[trial.number] = trial
            ended = itertools.takewhile(lambda one: one is not None, self._trials.values())
            self.reason = failed_alike([one for one in ended if one is not None])


def failed_alike(trials: Sequence[TrialRecord]) -> str | None:
    """Why a session should stop: its first trials all failed alike; None if it should go on.

    trials  its first ones in order of number, as far as they have ended without a gap.

    Two failures are alike if state and reason are, numbers in the reason aside.

    >>> bad = [TrialRecord(number=n, seed=0, state=TrialState.FAILED, reason="out of memory")
    ...        for n in range(7)]
    >>> failed_alike(bad), failed_alike(bad[2:])
    ('the first 5 trials all failed alike: out of memory', \
'the next 5 trials all failed alike: out of memory')
    >>> failed_alike(bad[:4])
    """
    needed = ALIKE.get(trials[0].state) if trials else None
    if needed is None or len(trials) < needed:
        return None
    if len({_likeness(trial) for trial in trials[:needed]}) > 1:
        return None
    first = trials[0]
    which = "first" if first.number == 0 else "next"
    return f"the {which} {needed} trials all {first.state} alike: {first.reason}"


def reason_of(error: DltuneError) -> str:
    """Why a trial has failed whose config cannot be trained, as it stands in its record.

    Its message names the place; what to type is left out, since other points of the space may be
    fine.

    >>> reason_of(DataError("a.csv: no column is left to learn from", hint="Keep one."))
    'data: a.csv: no column is left to learn from'
    """
    kinds = {DataError: "data", ModelError: "model", RecipeError: "recipe"}
    return f"{kinds.get(type(error), 'setting')}: {error.found}"


def _likeness(trial: TrialRecord) -> tuple[TrialState, str]:
    return trial.state, re.sub(r"[\d.]+", "#", trial.reason)
