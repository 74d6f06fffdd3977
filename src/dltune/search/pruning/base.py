"""The contract of a pruner: it looks at the trials of a block at given epochs, and ends some.

What it decides follows from the records alone: not from who was faster, nor from how trials were
spread over workers and stacks. So the same seed gives the same study, and one that was stopped
decides again what it had decided.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Protocol

from dltune.data.dataset import Dataset
from dltune.recipe.schema import Config
from dltune.training.history import EpochRecord, TrialRecord, TrialState


@dataclasses.dataclass(frozen=True, kw_only=True)
class Bracket:
    """Trials that are compared with each other.

    trials  their numbers.
    rungs   the epochs after which they are, in ascending order, each below those of a training.
    """

    trials: tuple[int, ...]
    rungs: tuple[int, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Standing:
    """Where a trial stands that has come to a rung.

    alive    whether it would train on; one that is complete keeps its rank all the same.
    history  its epochs up to the rung; fewer where it was over before.
    score    the smallest objective among them; infinite where it had none, diverged or failed.
    """

    number: int
    config: Config
    alive: bool
    history: tuple[EpochRecord, ...]
    score: float


class Pruner(Protocol):
    """What the search needs of a rule; every one passes `tests/contracts/test_pruner.py`."""

    @property
    def options(self) -> Mapping[str, int | float]:
        """Every option with its value, defaults included: what is stored with the study."""
        ...

    def learn(self, dataset: Dataset) -> None:
        """Take in what the trials are trained on; most rules need nothing of it."""
        ...

    def brackets(self, trials: Sequence[int], epochs: int) -> list[Bracket]:
        """Which trials of a block are compared, and when.

        trials  their numbers, in order.
        epochs  of the longest training among them.
        """
        ...

    def judge(self, standings: Sequence[Standing], bracket: Bracket, rung: int) -> dict[int, str]:
        """Why trials end here, by number; only of those that are alive.

        standings  of those of the bracket that no earlier rung has ended, in order of number.
        rung       an index into `bracket.rungs`.
        """
        ...


def standing_of(
    number: int, config: Config, record: TrialRecord | None, *, alive: bool, epoch: int
) -> Standing:
    """Where a trial stands after so many epochs.

    record  with its history, of which what came later is left out; None for one without any.
    alive   whether it is not over yet.

    A trial that failed after the rung had its place there, and one that failed before has none.
    """
    history = () if record is None else record.history[:epoch]
    state = TrialState.FAILED if record is None else record.state
    is_over = len(history) < epoch and not alive
    lost = is_over and state in (TrialState.FAILED, TrialState.DIVERGED)
    lost |= state is TrialState.DIVERGED and any(one.non_finite for one in history)
    metric = config.objective.metric
    figures = [float(getattr(one, metric)) for one in history if not one.non_finite]
    score = math.inf if lost else min(figures, default=math.inf)
    return Standing(number=number, config=config, alive=alive, history=history, score=score)


def ranked(standings: Sequence[Standing]) -> list[Standing]:
    """The best first; of equal ones the earlier first."""
    return sorted(standings, key=lambda one: (one.score, one.number))


def look(bracket: Bracket, rung: int) -> str:
    """Which look it is, in words.

    >>> look(Bracket(trials=(0, 1), rungs=(2, 7)), 1)
    'rung 2 of 2 (epoch 7)'
    """
    return f"rung {rung + 1} of {len(bracket.rungs)} (epoch {bracket.rungs[rung]})"
