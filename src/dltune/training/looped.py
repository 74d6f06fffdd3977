"""The looped engine: the trials of a cohort one after another, with torch.optim, for any module."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch

from dltune.data.device import DeviceData
from dltune.errors import ModelError, ran_out_of_memory
from dltune.recipe.places import at, place_of_error
from dltune.recipe.schema import Config, FactoryConfig
from dltune.recipe.users_code import in_a_line, let_signals_through
from dltune.training.arithmetic import threads_for
from dltune.training.engine import Final, Stop
from dltune.training.history import EpochRecord, Trial, TrialState
from dltune.training.learner import Learner

Result = TypeVar("Result")


class LoopedEngine:
    """Gives each living trial one epoch in turn.

    trials  with distinct numbers; they may differ in anything.
    data    on the device to train on.
    folder  where relative references of the recipe are looked up.
    """

    def __init__(self, trials: Sequence[Trial], data: DeviceData, *, folder: Path) -> None:
        self._data = data
        self._folder = folder
        self._alive = {trial.number: trial for trial in trials}
        self._learners: dict[int, Learner] = {}
        self._best: dict[int, dict[str, torch.Tensor]] = {}
        self._epochs = dict.fromkeys(self._alive, 0)

    def run_epoch(
        self, interrupted: Callable[[], object] = bool
    ) -> Mapping[int, EpochRecord | Stop]:
        """One more epoch of every living trial; a trial that cannot go on gives a Stop."""
        seen: dict[int, EpochRecord | Stop] = {}
        for number, trial in self._alive.items():
            one = guarded(trial.config, lambda trial=trial: self._epoch_of(trial, interrupted))  # type: ignore[misc]
            if one is not None:
                seen[number] = one
            if interrupted():
                break
        return seen

    def keep_best(self, trials: Collection[int]) -> None:
        """Remember the present weights of these living trials as their best."""
        for trial in trials:
            self._best[trial] = self._learners[trial].weights()

    def drop(self, trials: Collection[int]) -> None:
        """These trials train no further."""
        for trial in trials:
            del self._alive[trial]

    def finish(self, trials: Collection[int]) -> Mapping[int, Final | Stop]:
        """Measure dropped trials with their best weights; a Stop for one where that fails."""
        return {
            trial: guarded(self._learners[trial].config, lambda trial=trial: self._final_of(trial))  # type: ignore[misc]
            for trial in trials
        }

    def _final_of(self, trial: int) -> Final:
        learner, weights = self._learners[trial], self._best[trial]
        learner.load(weights)
        data = learner.data
        return Final(
            train=learner.measure_final_train(),
            test=None if data.test is None else learner.measure(data.test),
            train_dev=None if data.train_dev is None else learner.measure(data.train_dev),
            weights=_on_cpu(weights),
        )

    def parameters(self, trial: int) -> int:
        """The trial's number of trainable values; 0 if its model could not be built."""
        return self._learners[trial].parameter_count() if trial in self._learners else 0

    def _epoch_of(self, trial: Trial, interrupted: Callable[[], object]) -> EpochRecord | None:
        if trial.number not in self._learners:
            self._learners[trial.number] = Learner(
                trial.config, seed=trial.seed, data=self._data, folder=self._folder
            )
        learner = self._learners[trial.number]
        # From here on: the first optimizer of a process makes torch import for a second or two.
        start = time.perf_counter()
        with threads_for(learner.update_flops()), learner.own_randomness():
            update = learner.run_epoch(interrupted)
            if update is None:
                return None
            train, dead_units = learner.measure_train()
            dev = learner.measure(learner.data.dev)
        self._epochs[trial.number] += 1
        return EpochRecord(
            trial=trial.number,
            epoch=self._epochs[trial.number],
            lr=update.lr,
            train_loss=train.loss,
            train_error=train.error,
            dev_loss=dev.loss,
            dev_error=dev.error,
            grad_norm=update.grad_norm,
            update_ratio=update.update_ratio,
            dead_units=dead_units,
            seconds=time.perf_counter() - start,
        )


def _on_cpu(weights: Mapping[str, Any]) -> dict[str, Any]:
    """The same on the CPU; names that share a tensor still do."""
    moved = {id(one): one.cpu() if torch.is_tensor(one) else one for one in weights.values()}
    return {name: moved[id(one)] for name, one in weights.items()}


def guarded(config: Config, action: Callable[[], Result]) -> Result | Stop:
    """Run an action of one trial with this config; what can go wrong in a trial becomes a Stop.

    Caught by name: memory that ran out, a model that does not fit, and whatever a user's own model
    raises. Anything else is a bug in this program and passes through.
    """
    try:
        return action()
    except ModelError as error:
        return Stop(state=TrialState.FAILED, reason=f"model: {error.found}")
    except BaseException as error:  # the user's code may raise anything
        let_signals_through(error)
        if ran_out_of_memory(error):
            return Stop(state=TrialState.FAILED, reason="out of memory")
        if isinstance(config.model, FactoryConfig):
            reason = f"user model: {in_a_line(error)}{at(place_of_error(error))}"
            return Stop(state=TrialState.FAILED, reason=reason)
        raise
