"""Failures are data; but where every trial fails in the same way, the study stops."""

from __future__ import annotations

import re
from collections.abc import Sequence

from dltune.training.history import TrialResult, TrialState

# How many trials must go wrong alike, from the first one on, for the study to stop. A failure
# (memory, the user's code, a setting) that hits five different configs will hit the sixth.
# Divergence is what a wide range of learning rates brings: where half of the space diverges, five
# in a row come in 3 studies of 100 and twenty in 1 of a million.
ALIKE = {TrialState.FAILED: 5, TrialState.DIVERGED: 20}


def failed_alike(results: Sequence[TrialResult], resumed_from: int = 0) -> str | None:
    """Why the study should stop: its first trials all failed alike; None if it should go on.

    results       of all trials so far.
    resumed_from  how many of them an earlier session had. A resume after such a stop gets as many
                  trials again before it stops again; whoever resumes has changed something.

    Two failures are alike if state and reason are, numbers in the reason aside.

    >>> bad = [TrialResult(number=n, seed=0, state=TrialState.FAILED, reason="out of memory")
    ...        for n in range(5)]
    >>> failed_alike(bad)
    'the first 5 trials all failed alike: out of memory'
    >>> failed_alike(bad[:4]) is failed_alike(bad, resumed_from=5) is None
    True
    """
    needed = ALIKE.get(results[-1].state) if results else None
    if needed is None:
        return None
    first = resumed_from - resumed_from % needed
    if len(results) != first + needed:
        return None
    window = results[first:]
    if len({_likeness(result) for result in window}) > 1:
        return None
    which = "first" if first == 0 else "next"
    return f"the {which} {needed} trials all {window[0].state} alike: {window[0].reason}"


def _likeness(result: TrialResult) -> tuple[TrialState, str]:
    return result.state, re.sub(r"[\d.]+", "#", result.reason)
