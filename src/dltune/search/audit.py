"""An audit of pruning: some of the trials that were pruned are trained to their ends after all."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import numpy as np

from dltune.training.history import TrialRecord, TrialState, best_trials
from dltune.training.seeds import derive_seed

MARK = "audited, had been pruned at "
"""How the reason of such a trial begins."""


def drawn(trials: Iterable[TrialRecord], seed: int, count: int) -> list[TrialRecord]:
    """Pruned trials that are to be trained to their ends, in order of number.

    trials  of the study that are over.
    seed    of the study.
    count   how many there are to be with those that have been audited before.

    They are a fair sample of all that were pruned: those that came closest say nothing of trials
    that begin slowly.
    """
    candidates = {one.number: one for one in trials if is_audited(one)}
    candidates |= {one.number: one for one in trials if one.state is TrialState.PRUNED}
    numbers = sorted(candidates)
    order = np.random.default_rng(derive_seed(seed, "audit")).permutation(len(numbers))
    chosen = sorted(numbers[place] for place in order[:count])
    return [candidates[one] for one in chosen if candidates[one].state is TrialState.PRUNED]


def is_audited(trial: TrialRecord) -> bool:
    """Whether it had been pruned before it was trained to its end."""
    return trial.reason.startswith(MARK)


def audit_reason(pruned: TrialRecord, trial: TrialRecord) -> str:
    """The reason of a trial that was audited.

    >>> pruned = TrialRecord(number=3, seed=0, state=TrialState.PRUNED,
    ...                      reason="rung 1 of 2 (epoch 2): rank 9 of 9, the best 3 go on")
    >>> whole = dataclasses.replace(pruned, state=TrialState.COMPLETE, reason="")
    >>> audit_reason(pruned, whole)
    'audited, had been pruned at rung 1 of 2 (epoch 2): rank 9 of 9, the best 3 go on'
    """
    return f"{MARK}{pruned.reason}" + (f"; {trial.reason}" if trial.reason else "")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Audit:
    """What an audit has shown.

    audited  how many trials.
    pruned   of how many that were pruned.
    winner   the best of those that are better than any that was not pruned; None if none is.
    best     of those that were not; None if none of them came to anything.
    """

    audited: int
    pruned: int
    winner: TrialRecord | None
    best: TrialRecord | None

    @classmethod
    def of(cls, trials: Iterable[TrialRecord]) -> Audit | None:
        """By the records of a search; None if nothing was audited."""
        trials = list(trials)
        audited = [one for one in trials if is_audited(one)]
        if not audited:
            return None
        left = best_trials([one for one in trials if not is_audited(one)], 1)
        top = best_trials(audited, 1)
        wins = bool(top) and (not left or (top[0].ranked or 0.0) < (left[0].ranked or 0.0))
        return cls(
            audited=len(audited),
            pruned=len(audited) + sum(one.state is TrialState.PRUNED for one in trials),
            winner=top[0] if wins else None,
            best=left[0] if left else None,
        )
