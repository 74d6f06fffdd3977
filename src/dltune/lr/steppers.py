"""What a sweep drives: one model or a stack of them, an update at a time."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple, Protocol

import torch
from torch import nn

from dltune.data.device import DeviceData
from dltune.training.history import Trial
from dltune.training.learner import Learner
from dltune.training.stacked.learner import StackedLearner


class Look(NamedTuple):
    """One model on one batch, before an update: numbers that are not finite say what broke.

    loss      mean over the batch, with the weights that the last update left.
    weight    largest absolute value of the parameters; finite if and only if all of them are, and
              unlike a sum of squares it cannot overflow.
    gradient  largest absolute value of the loss's gradient.
    """

    loss: float
    weight: float
    gradient: float


class Stepper(Protocol):
    """Models side by side that are trained at one learning rate, which changes at every update.

    updates_per_epoch  looks that go through the train split once.
    """

    updates_per_epoch: int

    def running(self) -> AbstractContextManager[None]:
        """Inside, models are in train mode, and random numbers and threads are their own."""

    def look(self) -> list[Look]:
        """The next batch's losses by model, in the order in which the models were given."""

    def update(self, rate: float) -> None:
        """One update of every model from the gradients of the last look."""


class LoopedStepper:
    """One model, by torch.optim.

    trial   its config and seed; the learning rate in it plays no part.
    data    on the device to train on.
    folder  where relative references of the recipe are looked up.
    """

    def __init__(self, trial: Trial, *, data: DeviceData, folder: Path) -> None:
        self._learner = Learner(trial.config, seed=trial.seed, data=data, folder=folder)
        self.updates_per_epoch = self._learner.updates_per_epoch
        self._batches = self._endless()

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """See `Stepper`."""
        with self._learner.running(), self._learner.training():
            yield

    def look(self) -> list[Look]:
        """See `Stepper`."""
        loss = self._learner.gradients(next(self._batches))
        return [look_at(loss, self._learner.parameters)]

    def update(self, rate: float) -> None:
        """See `Stepper`."""
        self._learner.apply(rate)

    def _endless(self) -> Iterator[list[torch.Tensor]]:
        while True:
            yield from self._learner.update_batches()


class StackedStepper:
    """Models of equal shapes as one stack.

    trials  configs and seeds; they may differ in whatever a stack allows.
    data    on the device to train on.
    folder  where relative references of the recipe are looked up.
    """

    def __init__(self, trials: Sequence[Trial], *, data: DeviceData, folder: Path) -> None:
        self._learner = StackedLearner(trials, data, folder=folder)
        self._rows = self._learner.rows([trial.number for trial in trials])
        self._weights = self._learner.parameters.weights
        self.updates_per_epoch = self._learner.updates_per_epoch
        self._batches = self._endless()

    def running(self) -> AbstractContextManager[None]:
        """See `Stepper`."""
        return self._learner.running()

    def look(self) -> list[Look]:
        """See `Stepper`."""
        losses = self._learner.gradients(next(self._batches))
        largest = self._learner.parameters.largest()
        figures = torch.cat([losses[None], largest]).t().tolist()  # one transfer
        return [Look(*figures[row]) for row in self._rows]

    def update(self, rate: float) -> None:
        """See `Stepper`."""
        self._learner.apply(self._weights.new_full((len(self._rows),), rate), None)

    def _endless(self) -> Iterator[list[torch.Tensor]]:
        while True:
            yield from self._learner.update_batches()


def look_at(loss: torch.Tensor, parameters: Sequence[nn.Parameter]) -> Look:
    """A look at a model with its gradients in `.grad`.

    >>> weight = nn.Parameter(torch.tensor([1.0, -3.0]))
    >>> weight.grad = torch.tensor([0.5, 0.25])
    >>> look_at(torch.tensor(2.0), [weight])
    Look(loss=2.0, weight=3.0, gradient=0.5)
    """
    gradients = [weight.grad for weight in parameters if weight.grad is not None]
    weights = [weight.detach() for weight in parameters]
    largest = [nn.utils.get_total_norm(v, float("inf")) for v in (weights, gradients)]
    return Look(*torch.stack([loss.to(largest[0].dtype), *largest]).tolist())
