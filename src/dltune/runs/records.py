"""What the run folder keeps of a study and of a trial: plain frozen values, no tensors."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterable, Mapping
from typing import Any

from dltune.training.history import TrialResult, TrialState

SPLITS = ("train", "dev", "test", "train_dev")


@dataclasses.dataclass(frozen=True, kw_only=True)
class StudyMeta:
    """What a study was started with.

    strategy  name in `dltune.search.strategies.registry`.
    options   every option of the strategy, defaults included.
    seed      of the study; trial seeds and proposals derive from it.
    trials    how many are wanted; a resume may raise it.
    metric    what is minimised: "dev_error" or "dev_loss".
    examples  number of examples in each split, None for a split that is not there.
    version   of dltune that started it.
    """

    strategy: str
    options: Mapping[str, int | float]
    seed: int
    trials: int
    metric: str
    examples: Mapping[str, int | None]
    version: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class StoredTrial:
    """One row of `trials.csv`.

    result    with or without its history.
    config    every hyperparameter by dotted path.
    examples  number of examples in each split, as in `StudyMeta`.
    """

    result: TrialResult
    config: Mapping[str, Any]
    examples: Mapping[str, int | None]


def without_gap(results: Mapping[int, TrialResult]) -> list[TrialResult]:
    """The results of trials 0, 1, 2, ... up to the first number that is not there.

    >>> done = {n: TrialResult(number=n, seed=0, state=TrialState.COMPLETE) for n in (3, 0, 1)}
    >>> [result.number for result in without_gap(done)]
    [0, 1]
    """
    numbers = itertools.takewhile(results.__contains__, itertools.count())
    return [results[number] for number in numbers]


def ranking_objective(result: TrialResult) -> float | None:
    """The objective of a complete trial; None for any other, which ranks behind all of them.

    >>> ranking_objective(TrialResult(number=0, seed=1, state=TrialState.COMPLETE, objective=0.25))
    0.25
    >>> ranking_objective(TrialResult(number=0, seed=1, state=TrialState.DIVERGED, objective=0.25))
    """
    objective = result.objective
    if result.state is not TrialState.COMPLETE or objective is None or not math.isfinite(objective):
        return None
    return objective


def best_trials(results: Iterable[TrialResult], count: int | None = None) -> list[TrialResult]:
    """The complete trials, best first; of equal ones the earlier first.

    count  at most so many; None for all.

    >>> done = [TrialResult(number=n, seed=0, state=TrialState.COMPLETE, objective=value)
    ...         for n, value in enumerate([0.3, 0.1, 0.2])]
    >>> [result.number for result in best_trials(done, 2)]
    [1, 2]
    """
    ranked = [
        (objective, result.number, result)
        for result in results
        if (objective := ranking_objective(result)) is not None
    ]
    ranked.sort(key=lambda entry: entry[:2])
    return [result for _, _, result in ranked[:count]]


def better(first: TrialResult | None, second: TrialResult) -> TrialResult | None:
    """The better of the best so far and a new result; None while no trial is complete."""
    return next(iter(best_trials([second] if first is None else [first, second])), None)
