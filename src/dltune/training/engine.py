"""The small interface between the loop and what does the arithmetic."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping
from typing import Protocol

import torch

from dltune.training.history import EpochRecord, TrialState
from dltune.training.measure import Measured


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stop:
    """Why a trial cannot go on.

    state   diverged, failed or interrupted.
    reason  typed and short, as it stands in `trials.csv`.
    """

    state: TrialState
    reason: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Final:
    """A trial's last measurements, with its best weights.

    train            on up to `learner.MEASURED_TRAIN_EXAMPLES` examples.
    test, train_dev  None where the data have no such split.
    weights          the state dict of the best epoch, on the CPU.
    """

    train: Measured
    test: Measured | None
    train_dev: Measured | None
    weights: dict[str, torch.Tensor]


class Engine(Protocol):
    """Trains the trials of a cohort side by side, an epoch at a time.

    A trial's numbers depend on its config and seed alone, never on its neighbours. Trials are named
    by their number, and told of many at a time: a stack keeps, drops and measures them at once.
    """

    def run_epoch(
        self, interrupted: Callable[[], object] = bool
    ) -> Mapping[int, EpochRecord | Stop]:
        """One more epoch of every living trial; a trial that cannot go on gives a Stop.

        interrupted  asked after every update: once it says so, trials whose epoch is not over are
                     left out, and must be dropped.
        """

    def keep_best(self, trials: Collection[int]) -> None:
        """Remember the present weights of these living trials as their best."""

    def drop(self, trials: Collection[int]) -> None:
        """These trials train no further."""

    def finish(self, trials: Collection[int]) -> Mapping[int, Final | Stop]:
        """Measure dropped trials with their best weights; a Stop for one where that fails."""

    def parameters(self, trial: int) -> int:
        """The trial's number of trainable values; 0 if its model could not be built."""
