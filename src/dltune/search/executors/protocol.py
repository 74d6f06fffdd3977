"""The contract of an executor: trials in, what happens to them out.

An executor trains; it neither chooses trials nor writes anything. Other executors (worker
processes, other machines) keep this contract, and may report the trials of a cohort in any order.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from dltune.training.history import EpochRecord, Trial, TrialResult

if TYPE_CHECKING:
    import torch


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrialStarted:
    """A trial is about to be trained."""

    trial: Trial


@dataclasses.dataclass(frozen=True, kw_only=True)
class EpochEnded:
    """The records of one epoch of the trials still alive; they may be of several trials."""

    records: Sequence[EpochRecord]


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrialEnded:
    """A trial is over.

    weights   of its best epoch, on the CPU; empty if there is none.
    examples  number of examples in each split that it was trained on.
    """

    trial: Trial
    result: TrialResult
    weights: Mapping[str, torch.Tensor]
    examples: Mapping[str, int | None]


Progress = TrialStarted | EpochEnded | TrialEnded


class Executor(Protocol):
    """Trains cohorts."""

    def run(self, cohort: Sequence[Trial]) -> Iterator[Progress]:
        """Train the trials; every one is started once and ends once.

        What goes wrong inside a trial is its result. KeyboardInterrupt passes through.
        """
        ...
