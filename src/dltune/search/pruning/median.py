"""The median rule: who never came as far as half of the others were on average ends."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence

from dltune.data.dataset import Dataset
from dltune.errors import UsageError
from dltune.search.pruning.base import Bracket, Standing, look
from dltune.training.history import EpochRecord

# Of a training: a look costs a pause of everybody, and the best epoch so far changes slowly.
LOOKS = 10


class MedianRule:
    """A trial ends if its best objective so far is above the median, over the trials that have come
    as far, of their mean objective up to there.

    first_rung  epochs before the first look, at least 1; None for a tenth of a training's.

    There are ten looks at even distances. Trials that diverged count as infinite.

    Source: Golovin et al. 2017, Google Vizier: a service for black-box optimization, section 3.2.2.
    """

    def __init__(self, *, first_rung: int | None = None) -> None:
        if first_rung is not None and first_rung < 1:
            raise UsageError(
                f"--first-rung {first_rung}: must be at least 1 epoch",
                hint="Leave it out: it is then a tenth of the epochs.",
            )
        self._first = first_rung

    @property
    def options(self) -> Mapping[str, int | float]:
        return {} if self._first is None else {"first_rung": self._first}

    def learn(self, dataset: Dataset) -> None:
        """It needs nothing of it."""

    def brackets(self, trials: Sequence[int], epochs: int) -> list[Bracket]:
        every = max(1, round(epochs / LOOKS))
        first = every if self._first is None else self._first
        return [Bracket(trials=tuple(trials), rungs=tuple(range(first, epochs, every)))]

    def judge(self, standings: Sequence[Standing], bracket: Bracket, rung: int) -> dict[int, str]:
        median = statistics.median(_mean(one) for one in standings)
        where = look(bracket, rung)
        return {
            one.number: f"{where}: best {one.score:.4g}, above the median mean {median:.4g}"
            for one in standings
            if one.alive and one.score > median
        }


def _mean(standing: Standing) -> float:
    """Of the objective over the epochs so far; infinite for one that has come to nothing."""
    metric = standing.config.objective.metric

    def objective(record: EpochRecord) -> float:
        return math.inf if record.non_finite else float(getattr(record, metric))

    if math.isinf(standing.score):
        return math.inf
    return math.fsum(map(objective, standing.history)) / len(standing.history)
