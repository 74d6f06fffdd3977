"""The contract of a search strategy: ask for proposals, tell what came of them.

A proposal depends on (space, study seed, trial number, results of earlier generations) and on
nothing else: not on how many are asked for at a time, not on the number of workers, not on the
clock. So the same seed gives the same study, and a strategy that is told the stored trials of
a stopped study continues it exactly.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from dltune.training.history import TrialRecord


@dataclasses.dataclass(frozen=True, kw_only=True)
class Proposal:
    """Values to try.

    number  number of the trial, from 0, without gaps.
    values  one value for every active dimension of the space, by name.
    """

    number: int
    values: Mapping[str, Any]


class Strategy(Protocol):
    """What the study needs of a strategy; every one passes `tests/contracts/test_strategy.py`."""

    @property
    def total(self) -> int | None:
        """The number of proposals there are, or None if there is no end to them."""
        ...

    @property
    def options(self) -> Mapping[str, int | float]:
        """Every option with its value, defaults included: what is stored with the study."""
        ...

    @property
    def generation(self) -> int | None:
        """How many proposals are made from the same results; None if none depends on any."""
        ...

    def ask(self, count: int) -> list[Proposal]:
        """The next proposals: at most `count`; fewer where a generation ends, none at the end."""
        ...

    def tell(self, trials: Sequence[TrialRecord]) -> None:
        """Take in results, in order of number; those of a stopped study before the first ask."""
        ...
