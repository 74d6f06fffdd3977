"""Made-up trials, for tests of what is written and not of what is trained."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Self

import torch

from dltune.recipe.recipe import Recipe
from dltune.runs.checkpoint import Finished, checkpoint_bytes
from dltune.runs.records import StudyMeta
from dltune.search.executors.protocol import Progress, TrialEnded
from dltune.search.strategies.random import RandomSearch
from dltune.search.study_loop import with_seed
from dltune.training.history import EpochRecord, Trial, TrialResult, TrialState
from dltune.training.seeds import trial_seed

EXAMPLES = {"train": 106, "dev": 36, "test": 36, "train_dev": None}


def meta(trials: int = 10) -> StudyMeta:
    return StudyMeta(
        strategy="random",
        options={},
        seed=0,
        trials=trials,
        metric="dev_error",
        examples=EXAMPLES,
        version="0.1.0",
    )


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
    result = TrialResult(
        number=number,
        seed=trial_seed(0, number),
        state=state,
        reason=reason,
        objective=objective,
        best_epoch=None if objective is None else 2,
        dev_loss=0.55,
        dev_error=objective,
        epochs=2,
        parameters=139,
        seconds=0.5,
        values=proposal.values,
        history=history,
    )
    config = with_seed(recipe.config(proposal.values), trial_seed(0, number))
    weights = {"0.weight": torch.full((2, 3), float(number))}
    return Finished(
        result=result,
        config=config,
        checkpoint=None if objective is None else checkpoint_bytes(result, config, weights),
        examples=EXAMPLES,
    )


def bare(one: Finished) -> TrialResult:
    """The result as the run folder keeps it in memory."""
    return dataclasses.replace(one.result, history=())


def ended(
    trial: Trial,
    objective: float | None = 0.5,
    *,
    state: TrialState = TrialState.COMPLETE,
    reason: str = "",
) -> TrialEnded:
    """The end of a trial of one epoch, as an executor reports it."""
    result = TrialResult(
        number=trial.number,
        seed=trial.seed,
        state=state,
        reason=reason,
        objective=objective,
        best_epoch=None if objective is None else 1,
        dev_error=objective,
        epochs=1,
        values=trial.values,
        history=(record(trial.number, 1, 0.5 if objective is None else objective),),
    )
    checkpoint = None if objective is None else checkpoint_bytes(result, trial.config, {})
    return TrialEnded(trial=trial, result=result, checkpoint=checkpoint, examples=EXAMPLES)


class Scripted:
    """An executor that trains nothing: what happens to the trials is told.

    script  gives everything that happens to the trials of one call.
    asked   the numbers of the trials of every call.
    """

    def __init__(self, script: Callable[[Sequence[Trial]], Iterator[Progress]]) -> None:
        self._script = script
        self.asked: list[list[int]] = []
        self.is_closed = False

    def run(self, trials: Sequence[Trial], *, best: TrialResult | None) -> Iterator[Progress]:
        self.asked.append([trial.number for trial in trials])
        yield from self._script(trials)

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
