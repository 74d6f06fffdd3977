"""Trials in this process, one after another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from dltune.errors import DltuneError
from dltune.search.data_shelf import DataShelf, examples_of
from dltune.search.executors.protocol import EpochEnded, Progress, TrialEnded, TrialStarted
from dltune.training.history import Trial, TrialResult, TrialState


class InProcess:
    """Trains a cohort trial by trial with the looped engine.

    One trial at a time, and not the epochs of all in turn, so that a finished trial is kept when
    the study is interrupted, and one model is in memory.

    shelf   where the data comes from.
    folder  where a model factory is looked up.
    """

    def __init__(self, shelf: DataShelf, folder: Path) -> None:
        self._shelf = shelf
        self._folder = folder

    def run(self, cohort: Sequence[Trial]) -> Iterator[Progress]:
        for trial in cohort:
            yield TrialStarted(trial=trial)
            yield from self._train(trial)

    def _train(self, trial: Trial) -> Iterator[Progress]:
        from dltune.training.loop import train_cohort

        examples = examples_of(self._shelf.dataset(trial.config.data))
        try:
            data = self._shelf.on_device(trial.config.data, trial.config.train.device)
            training = train_cohort([trial], data, folder=self._folder)
            while True:
                try:
                    yield EpochEnded(records=next(training))
                except StopIteration as stop:
                    (outcome,) = stop.value
                    break
        except DltuneError as error:
            # A setting that does not fit this trial, e.g. a loss that its task does not have: other
            # points of the space may be fine. If all are like it, the study stops.
            result = TrialResult(
                number=trial.number,
                seed=trial.seed,
                state=TrialState.FAILED,
                reason=f"setting: {error.found}",
                values=trial.values,
            )
            yield TrialEnded(trial=trial, result=result, weights={}, examples=examples)
            return
        yield TrialEnded(
            trial=trial, result=outcome.result, weights=outcome.weights, examples=examples
        )
