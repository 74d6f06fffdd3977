"""The trials of a cohort side by side, one after another or as a stack, an epoch at a time."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from dltune.data.device import DeviceData
from dltune.errors import ModelError, ran_out_of_memory
from dltune.recipe.places import at, place_of_error
from dltune.recipe.schema import Config, FactoryConfig
from dltune.recipe.users_code import in_a_line, let_signals_through
from dltune.training.base_learner import NO_SCALES, BaseLearner, Final
from dltune.training.history import EpochRecord, TrialState
from dltune.training.learner import Learner
from dltune.training.state import TrainingState

Result = TypeVar("Result")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stop:
    """Why a trial cannot go on.

    state   diverged, failed or interrupted.
    reason  typed and short, as it stands in `trials.csv`.
    """

    state: TrialState
    reason: str


class Engine:
    """Trains trials, which come and go between two epochs as values.

    A trial's numbers depend on its config and seed alone, never on its neighbours. Trials are named
    by their number.

    data     on the device to train on.
    folder   where relative references of the recipe are looked up.
    stacked  True trains them as the rows of one stack, which must be of equal shapes; their
             optimizers, schedules and regularization may differ. What goes wrong in it is raised,
             since it cannot be laid to one trial. False gives each one epoch in turn; they may
             differ in anything.
    """

    def __init__(self, data: DeviceData, *, folder: Path, stacked: bool) -> None:
        self._data, self._folder, self._stacked = data, folder, stacked
        self._waiting: dict[int, TrainingState] = {}  # for their turn, in which they are built
        self._learners: dict[int, BaseLearner] = {}
        self._parameters: dict[int, int] = {}

    def put(self, states: Sequence[TrainingState]) -> None:
        """Let these trials train with the others, each from where it stands.

        Raises, in a stack, TrainingError if the loss does not fit the task, ModelError if a model
        does not fit the data, and whatever a user's model raises.
        """
        if not self._stacked:
            self._waiting |= {state.trial.number: state for state in states}
        elif states:
            from dltune.training.stacked.learner import StackedLearner

            everybody = [*self.take(self._learners).values(), *states]
            self._learners.clear()  # before the new stack takes its memory
            stack = StackedLearner.of(everybody, self._data, folder=self._folder)
            for trial in stack.trials:
                self._begin(trial.number, stack)

    def build(self, trials: Collection[int]) -> dict[int, Stop]:
        """Do not wait for the turn of these living trials; a Stop for one that cannot be built."""
        failed: dict[int, Stop] = {}
        for number in [one for one in trials if one in self._waiting]:
            built = self._guarded(number, lambda number=number: self._learner_of(number))  # type: ignore[misc]
            failed |= {number: built} if isinstance(built, Stop) else {}
        return failed

    def take(self, trials: Collection[int]) -> dict[int, TrainingState]:
        """These living trials as they are, without their histories; they stay."""
        taken = {n: self._waiting[n] for n in trials if n in self._waiting}
        for learner, numbers in self._by_learner(trials):
            rows = learner.rows(numbers)
            taken |= dict(zip(numbers, learner.take(rows), strict=True))
        return {number: taken[number] for number in trials}

    def run_epoch(
        self,
        interrupted: Callable[[], object] = bool,
        scales: Mapping[int, float] = NO_SCALES,
    ) -> Mapping[int, EpochRecord | Stop]:
        """One more epoch of every living trial; a trial that cannot go on gives a Stop.

        interrupted  asked after every update: once it says so, trials whose epoch is not over are
                     left out, and must be dropped.
        scales       by which the learning rate of a trial is multiplied beside its schedule.
        """
        if self._stacked:
            (stack,) = set(self._learners.values())
            return self._epoch_of(stack, interrupted, scales)
        seen: dict[int, EpochRecord | Stop] = {}
        for number in [*self._learners, *self._waiting]:
            one = self._guarded(
                number,
                lambda number=number: self._epoch_of(  # type: ignore[misc]
                    self._learner_of(number), interrupted, scales
                ),
            )
            seen |= {number: one} if isinstance(one, Stop) else one
            if interrupted():
                break
        return seen

    def keep_best(self, trials: Collection[int]) -> None:
        """Remember the present weights of these living trials as their best."""
        for learner, numbers in self._by_learner(trials):
            learner.keep_best(learner.rows(numbers))

    def drop(
        self, trials: Collection[int], *, measured: Collection[int] = ()
    ) -> dict[int, Final | Stop]:
        """These trials train no further.

        measured  those of them that are measured with their best weights; a Stop for one where that
                  fails.
        """
        finals: dict[int, Final | Stop] = {**self.build(measured)}
        for learner, numbers in self._by_learner(measured):
            found = self._guarded(
                numbers[0],
                lambda learner=learner, numbers=numbers: learner.finals(learner.rows(numbers)),  # type: ignore[misc]
            )
            ends = [found] if isinstance(found, Stop) else found
            finals |= dict(zip(numbers, ends, strict=True))
        losing = [learner for learner, _ in self._by_learner(trials)]
        for number in trials:
            self._waiting.pop(number, None)
            self._learners.pop(number, None)
        for learner in losing:
            if left := self._living(learner):
                learner.keep(left)
        return finals

    def parameters(self, trial: int) -> int:
        """The number of trainable values of a trial, also of one that was dropped; 0 if its model
        could not be built.
        """
        return self._parameters.get(trial, 0)

    def _guarded(self, number: int, action: Callable[[], Result]) -> Result | Stop:
        """The action of one trial; in a stack nothing is caught."""
        return action() if self._stacked else guarded(self._config(number), action)

    def _config(self, number: int) -> Config:
        if number in self._waiting:
            return self._waiting[number].trial.config
        return self._learners[number].trials[0].config

    def _learner_of(self, number: int) -> BaseLearner:
        if number in self._waiting:
            learner = Learner.of(self._waiting[number], self._data, folder=self._folder)
            del self._waiting[number]  # not before: one that cannot be built is still there
            self._begin(number, learner)
        return self._learners[number]

    def _begin(self, number: int, learner: BaseLearner) -> None:
        self._learners[number] = learner
        self._parameters[number] = learner.parameter_count

    def _living(self, learner: BaseLearner) -> list[int]:
        """Its rows whose trials train on: a compiled stack has some that are over, too."""
        trials = enumerate(learner.trials)
        return [row for row, trial in trials if self._learners.get(trial.number) is learner]

    def _by_learner(self, trials: Collection[int]) -> Iterator[tuple[BaseLearner, list[int]]]:
        """The trials that have been built, by the learner that has them."""
        built = [number for number in trials if number in self._learners]
        for learner in {id(self._learners[n]): self._learners[n] for n in built}.values():
            yield learner, [number for number in built if self._learners[number] is learner]

    def _epoch_of(
        self,
        learner: BaseLearner,
        interrupted: Callable[[], object],
        scales: Mapping[int, float],
    ) -> dict[int, EpochRecord | Stop]:
        """An epoch of all living rows; the seconds of each are its share. Empty if it was
        interrupted.
        """
        # Once it is built: the first optimizer of a process makes torch import for a second or two.
        start = time.perf_counter()
        with learner.running():
            update = learner.run_epoch(interrupted, scales)
            if update is None:
                return {}
            train, dead_units = learner.measure_train()
            dev = learner.figures(learner.data.dev)
        living = self._living(learner)
        seconds = (time.perf_counter() - start) / len(living)
        return {
            learner.trials[row].number: EpochRecord(
                trial=learner.trials[row].number,
                epoch=learner.epochs[row],
                lr=update.lr[row],
                train_loss=train[row].loss,
                train_error=train[row].error,
                dev_loss=dev[row].loss,
                dev_error=dev[row].error,
                grad_norm=update.grad_norm[row],
                update_ratio=update.update_ratio[row],
                dead_units=dead_units[row],
                seconds=seconds,
            )
            for row in living
        }


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
