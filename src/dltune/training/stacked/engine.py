"""The stacked engine: every trial of a cohort in one forward and backward pass."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

import torch

from dltune.data.device import DeviceData
from dltune.training.engine import Final, Stop
from dltune.training.history import EpochRecord, Trial
from dltune.training.learner import MEASURED_TRAIN_EXAMPLES, train_sample
from dltune.training.stacked.learner import StackedLearner


class StackedEngine:
    """Trains the trials as the rows of a stack, which shrinks when one leaves.

    trials  of equal shapes; their optimizers, schedules and regularization may differ.
    data    on the device to train on.
    folder  where relative references of the recipe are looked up.

    Raises TrainingError if the loss does not fit the task, ModelError if a model does not fit the
    data, and whatever a user's model raises: none of it can be laid to one trial.
    """

    def __init__(self, trials: Sequence[Trial], data: DeviceData, *, folder: Path) -> None:
        self._learner = StackedLearner(trials, data, folder=folder)
        self._epochs = 0
        # Of every trial that had a good epoch: its weights and buffers at the best one, by row.
        self._best: dict[int, tuple[torch.Tensor, dict[str, torch.Tensor]]] = {}

    def run_epoch(
        self, interrupted: Callable[[], object] = bool
    ) -> Mapping[int, EpochRecord | Stop]:
        """One more epoch of every living trial; a trial's seconds are its share of the stack's."""
        start = time.perf_counter()
        learner = self._learner
        with learner.running():
            update = learner.run_epoch(interrupted)
            if update is None:
                return {}
            train = learner.measure_train()
            dev = learner.measure(learner.data.dev)
        self._epochs += 1
        numbers = [trial.number for trial in learner.trials]
        seconds = (time.perf_counter() - start) / len(numbers)
        return {
            number: EpochRecord(
                trial=number,
                epoch=self._epochs,
                lr=update.lr[row],
                train_loss=train.figures[row].loss,
                train_error=train.figures[row].error,
                dev_loss=dev.figures[row].loss,
                dev_error=dev.figures[row].error,
                grad_norm=update.grad_norm[row],
                update_ratio=update.update_ratio[row],
                dead_units=train.dead_units[row],
                seconds=seconds,
            )
            for row, number in enumerate(numbers)
        }

    def keep_best(self, trials: Collection[int]) -> None:
        """Remember the present weights of these living trials as their best."""
        if not trials:
            return
        rows = self._learner.rows(trials)
        weights, buffers = self._learner.copy(rows)
        for position, number in enumerate(trials):
            mine = {name: buffer[position] for name, buffer in buffers.items()}
            self._best[number] = (weights[position], mine)

    def drop(self, trials: Collection[int]) -> None:
        """These trials train no further: the stack shrinks."""
        if trials:
            self._learner.drop(trials)

    def finish(self, trials: Collection[int]) -> Mapping[int, Final | Stop]:
        """Measure dropped trials with their best weights, all at once."""
        if not trials:
            return {}
        learner, data = self._learner, self._learner.data
        best = [self._best.pop(number) for number in trials]
        weights = torch.stack([weights for weights, _ in best])
        buffers = {name: torch.stack([mine[name] for _, mine in best]) for name in best[0][1]}
        with learner.running():
            split = train_sample(data, MEASURED_TRAIN_EXAMPLES)
            train = learner.measure_with(weights, buffers, split, trials).figures
            test, train_dev = (
                [None] * len(trials)
                if split is None
                else learner.measure_with(weights, buffers, split, trials).figures
                for split in (data.test, data.train_dev)
            )
        states = learner.states(weights, buffers)
        return {
            number: Final(
                train=train[row], test=test[row], train_dev=train_dev[row], weights=states[row]
            )
            for row, number in enumerate(trials)
        }

    def parameters(self, trial: int) -> int:
        """The number of trainable values of any trial of the stack."""
        return self._learner.parameter_count
