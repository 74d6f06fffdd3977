"""Made-up trials, for tests of what is written and not of what is trained."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch

from dltune.recipe.recipe import Recipe
from dltune.recipe.schema import Config
from dltune.runs.about import About, DataFacts, Session
from dltune.runs.checkpoint import PackedCheckpoint, pack_checkpoint
from dltune.runs.folder import RunFolder
from dltune.search.block import with_seed
from dltune.search.executors.protocol import Progress, Stretch, TrialEnded
from dltune.search.strategies.random import RandomSearch
from dltune.training.history import EpochRecord, Trial, TrialRecord, TrialState
from dltune.training.seeds import trial_seed

EXAMPLES = {"train": 106, "curve": 106, "dev": 36, "test": 36}


def about(trials: int = 10, **fields: Any) -> About:
    session = Session(command_line="dltune search", started="2026-01-01T00:00:00+00:00")
    return About(
        **{
            "command": "search",
            "strategy": "random",
            "trials": trials,
            "data": DataFacts(task="classification", examples={**EXAMPLES, "train_dev": None}),
            "sessions": (session,),
        }
        | fields
    )


@dataclasses.dataclass(frozen=True)
class Finished:
    """A trial that is over, what was trained, and its weights."""

    record: TrialRecord
    config: Config
    checkpoint: PackedCheckpoint | None


def append(folder: RunFolder, *finished: Finished) -> None:
    """Write such trials in one block."""
    packed = {one.record.number: one.checkpoint for one in finished if one.checkpoint is not None}
    folder.append([one.record for one in finished], packed)


def opened(path: Path) -> RunFolder:
    """A folder to go on with, whatever has changed."""
    session = Session(command_line="dltune search", started="2026-01-02T00:00:00+00:00")
    return RunFolder.open(path, lambda run: session)


def record(trial: int, epoch: int, dev_error: float) -> EpochRecord:
    return EpochRecord(
        trial=trial,
        epoch=epoch,
        lr=0.1 / epoch,
        train_loss=1.0 / epoch,
        train_error=dev_error / 2,
        dev_loss=1.1 / epoch,
        dev_error=dev_error,
        grad_norm=0.3,
        update_ratio=1e-3,
        dead_units=None,
        seconds=0.25,
    )


def finished(
    recipe: Recipe,
    number: int,
    objective: float | None,
    state: TrialState = TrialState.COMPLETE,
    reason: str = "",
) -> Finished:
    """Trial `number` of a random search with seed 0, as if it had ended like this."""
    (proposal,) = RandomSearch(recipe.space, 0).ask(number + 1)[number:]
    dev_error = float("nan") if objective is None else objective
    history = (record(number, 1, dev_error * 2), record(number, 2, dev_error))
    config = with_seed(recipe.config(proposal.values), trial_seed(0, number))
    trial = Trial(number=number, config=config, seed=trial_seed(0, number), values=proposal.values)
    ended = trial.record(
        state,
        reason,
        objective=objective,
        best_epoch=None if objective is None else 2,
        dev_loss=0.55,
        dev_error=objective,
        epochs=2,
        parameters=139,
        seconds=0.5,
        examples=EXAMPLES,
        history=history,
    )
    weights = {"0.weight": torch.full((2, 3), float(number))}
    packed = None if objective is None else pack_checkpoint(ended, config, weights)
    return Finished(ended, config, packed)


def bare(one: Finished) -> TrialRecord:
    """The record as the run folder keeps it in memory."""
    return one.record.without_history()


def ended(
    trial: Trial,
    objective: float | None = 0.5,
    *,
    state: TrialState = TrialState.COMPLETE,
    reason: str = "",
) -> TrialEnded:
    """The end of a trial of one epoch, as an executor reports it."""
    over = trial.record(
        state,
        reason,
        objective=objective,
        best_epoch=None if objective is None else 1,
        dev_error=objective,
        epochs=1,
        examples=EXAMPLES,
        history=(record(trial.number, 1, 0.5 if objective is None else objective),),
    )
    packed = None if objective is None else pack_checkpoint(over, trial.config, {})
    return TrialEnded(record=over, checkpoint=packed)


class Scripted:
    """An executor that trains nothing: what happens to the trials is told.

    script  gives everything that happens to the trials of one call.
    asked   the numbers of the trials of every call.
    """

    def __init__(self, script: Callable[[Sequence[Trial]], Iterator[Progress]]) -> None:
        self._script = script
        self.asked: list[list[int]] = []
        self.is_closed = False

    def run(
        self, trials: Sequence[Trial], *, best: TrialRecord | None, stretch: Stretch
    ) -> Iterator[Progress]:
        self.asked.append([trial.number for trial in trials])
        yield from self._script(trials)

    def check(self, trials: Sequence[Trial], *, folder: Path) -> None:
        return None

    def close(self) -> None:
        self.is_closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
