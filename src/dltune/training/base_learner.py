"""What one trial and a stack of trials have in common under training: a row for each trial."""

from __future__ import annotations

import abc
import contextlib
import dataclasses
from collections.abc import Callable, Collection, Generator, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch

from dltune.data.device import DeviceData, Tensors
from dltune.training.batches import BatchOrder
from dltune.training.history import Trial
from dltune.training.measure import (
    CURVE_TRAIN_EXAMPLES,
    MEASURED_TRAIN_EXAMPLES,
    Measured,
    train_sample,
)
from dltune.training.rates import EpochRates, Rates
from dltune.training.seeds import derive_seed
from dltune.training.state import TrainingState
from dltune.training.updates import batch_examples, updates_per_epoch

NO_SCALES: Mapping[int, float] = {}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Update:
    """What an epoch's last optimizer update looked like, by row: see `EpochRecord`."""

    lr: list[float]
    grad_norm: list[float]
    update_ratio: list[float]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Final:
    """A trial's last measurements, with its best weights.

    train            on up to `measure.MEASURED_TRAIN_EXAMPLES` examples.
    test, train_dev  None where the data have no such split.
    weights          the state dict of the best epoch, on the CPU.
    """

    train: Measured
    test: Measured | None
    train_dev: Measured | None
    weights: dict[str, torch.Tensor]


class BaseLearner(abc.ABC):
    """Everything of some trials that changes while they train, a row for each.

    trials  in the order of their rows; batch size and model are the same in all.
    data    on the device to train on.
    epochs  that each row has trained.

    batch   examples in a batch.
    """

    def __init__(self, trials: Sequence[Trial], data: DeviceData) -> None:
        self.trials = list(trials)
        self.data = data
        self.epochs = [0] * len(self.trials)
        train = self.trials[0].config.train
        self.batch = batch_examples(train, len(data.train))
        self.updates_per_epoch = updates_per_epoch(train, len(data.train))
        self._orders = [
            BatchOrder(
                train, len(data.train), seed=derive_seed(one.seed, "order"), device=data.device
            )
            for one in self.trials
        ]
        self._rates = Rates(self.trials, updates_per_epoch=self.updates_per_epoch)
        self._measured_train = train_sample(data, CURVE_TRAIN_EXAMPLES)

    def rows(self, trials: Collection[int]) -> list[int]:
        """The rows of trials, by number."""
        row_of = {trial.number: row for row, trial in enumerate(self.trials)}
        return [row_of[number] for number in trials]

    def run_epoch(
        self,
        interrupted: Callable[[], object] = bool,
        scales: Mapping[int, float] = NO_SCALES,
    ) -> Update | None:
        """Train on every batch of one epoch at the schedules' rates; describes its last update.

        interrupted  asked after every update but the last; where it says so, None comes back.
        scales       by which the rate of a trial is multiplied beside its schedule; 1 if missing.
        """
        with contextlib.closing(self.epoch_updates(scales)) as updates:
            return next((one for one in updates if one is not None or interrupted()), None)

    def epoch_updates(
        self, scales: Mapping[int, float] = NO_SCALES
    ) -> Generator[Update | None, None, None]:
        """The updates of one epoch, each done when it is asked for; the last one is described."""
        factors = [scales.get(trial.number, 1.0) for trial in self.trials]
        rates = self._rates.epoch(self.epochs, factors)
        self.epochs = [done + 1 for done in self.epochs]
        last = self.updates_per_epoch - 1
        with self.training():
            settings = self._settings(rates)
            for number, batches in enumerate(self.update_batches()):
                self.gradients(batches)
                if number < last:
                    self.apply(*settings[number])
                    yield None
                else:
                    norms, ratios = self._measured_apply(*settings[number])
                    lr = rates.lr[-1].tolist()
                    yield Update(lr=lr, grad_norm=norms, update_ratio=ratios)

    @property
    @abc.abstractmethod
    def parameter_count(self) -> int:
        """Trainable values of one trial."""

    @abc.abstractmethod
    def running(self) -> AbstractContextManager[None]:
        """Inside, random numbers are the trials' own, and threads as many as they are worth."""

    def training(self) -> AbstractContextManager[None]:
        """Inside, updates are made."""
        return contextlib.nullcontext()

    @abc.abstractmethod
    def update_batches(self) -> Iterable[list[torch.Tensor]]:
        """The updates of one more epoch: each is the batches to accumulate, as indices."""

    @abc.abstractmethod
    def gradients(self, batches: Sequence[torch.Tensor]) -> torch.Tensor:
        """Take the gradients of the mean loss over the batches' examples; that loss, detached."""

    @abc.abstractmethod
    def _settings(self, rates: EpochRates) -> Sequence[tuple[Any, Any]]:
        """Rate and momentum of every update of an epoch, as `apply` takes them."""

    @abc.abstractmethod
    def apply(self, lr: Any, momentum: Any = None) -> None:
        """One optimizer update from the gradients, with penalties, clipping and max-norm."""

    @abc.abstractmethod
    def _measured_apply(self, lr: Any, momentum: Any) -> tuple[list[float], list[float]]:
        """`apply`, with each row's norm of the gradient before it and ||change|| / ||weights||."""

    @abc.abstractmethod
    def measure_train(self) -> tuple[list[Measured], list[float | None]]:
        """Loss and error on the train split in eval mode, and the shares of dead rectifiers."""

    @abc.abstractmethod
    def figures(self, split: Tensors) -> list[Measured]:
        """Loss (without penalties and label smoothing) and error of every row on a split."""

    @abc.abstractmethod
    def keep_best(self, rows: Sequence[int]) -> None:
        """Remember the present weights of these rows as their best."""

    def finals(self, rows: Sequence[int]) -> list[Final]:
        """Measure rows with their best weights; these trials train no further."""
        data = self.data
        with self.running():
            train = self._figures_of_best(rows, train_sample(data, MEASURED_TRAIN_EXAMPLES))
            test, train_dev = (
                [None] * len(rows) if split is None else self._figures_of_best(rows, split)
                for split in (data.test, data.train_dev)
            )
        weights = self._states_of_best(rows)
        return [
            Final(train=train[at], test=test[at], train_dev=train_dev[at], weights=weights[at])
            for at in range(len(rows))
        ]

    @abc.abstractmethod
    def _figures_of_best(self, rows: Sequence[int], split: Tensors) -> Sequence[Measured]:
        """As `figures`, of these rows with their best weights."""

    @abc.abstractmethod
    def _states_of_best(self, rows: Sequence[int]) -> list[dict[str, torch.Tensor]]:
        """The state dicts of these rows' best weights, on the CPU."""

    @abc.abstractmethod
    def take(self, rows: Sequence[int]) -> list[TrainingState]:
        """These rows as they are between two epochs, without their histories."""

    @abc.abstractmethod
    def keep(self, rows: Sequence[int]) -> None:
        """Let all but these rows go, at once or later: `trials` has those that are still there."""
