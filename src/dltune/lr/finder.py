"""What sweeps and validation of one config share: its data, its seeds, and whether it stacks."""

from __future__ import annotations

import math
from pathlib import Path

from dltune.data.device import DeviceData
from dltune.lr.curve import LrCurve
from dltune.lr.extend import SweepRange, sweep_where_needed
from dltune.lr.sweep import Watch, sweep, sweep_failures, sweep_seeds
from dltune.lr.validation.plan import ValidationPlan, is_cheap, plan_validation
from dltune.lr.validation.validate import Validation, validate
from dltune.recipe.schema import CnnConfig, Config, FactoryConfig
from dltune.training.arithmetic import update_flops
from dltune.training.history import Trial
from dltune.training.learner import Learner
from dltune.training.memory import available_bytes
from dltune.training.probe import COPIES_OF_WEIGHTS, MEMORY_SHARE
from dltune.training.stacked.stackable import why_not_stackable
from dltune.training.updates import batch_examples

DEFAULT_SEEDS = 5
# Updates a decade of the rate. The slower a sweep, the more a model has learned when it comes to
# the rates that matter, and the less the loss of one batch counts; the cost grows with it. Stacks
# of small perceptrons are cheap, so they have more: five seeds then cost about what others' single
# sweep does (docs/how-lr-find-works.md).
STEPS_PER_DECADE_SMALL, STEPS_PER_DECADE, STEPS_PER_DECADE_OWN = 50, 25, 16
SMALL_FLOPS = 4e6  # of an update of one model: above it, a stack's products are no longer cheap

# Of a validation, for the question of whether the memory will do.
LARGEST_STACK = 21


class Finder:
    """A config on its data.

    config  every value fixed.
    data    on the device to train on.
    folder  where relative references of the recipe are looked up.
    watch   called in sweeps and in the validation: see `Watch`.

    `updates` counts those of all sweeps, once for each seed. Raises ModelError if the model does
    not fit the data, TrainingError if the loss does not fit the task.
    """

    def __init__(self, config: Config, data: DeviceData, folder: Path, watch: Watch | None) -> None:
        self._config, self._data, self._folder = config, data, folder
        self._watch = watch
        with sweep_failures(config):
            learner = Learner(config, seed=config.train.seed, data=data, folder=folder)
            self._parameters = learner.parameter_count
            self._stacked = self._can_stack(sum(weight.nbytes for weight in learner.parameters))
        self.updates = 0

    def sweep(self, start: SweepRange, seeds: int) -> tuple[list[LrCurve], list[str]]:
        """A curve for each seed, and what was changed on the way: see `sweep_where_needed`."""
        trials = [
            Trial(number=number, config=self._config, seed=seed)
            for number, seed in enumerate(sweep_seeds(self._config.train.seed, seeds))
        ]

        def once(low: float, high: float, steps: int) -> list[LrCurve]:
            curves = sweep(
                trials,
                data=self._data,
                folder=self._folder,
                low=low,
                high=high,
                steps=steps,
                stacked=self._stacked and seeds > 1,
                watch=self._watch,
            )
            self.updates += sum(len(curve.losses) for curve in curves)
            return curves

        return sweep_where_needed(once, start)

    def steps_per_decade(self) -> int:
        """Updates a decade of the rate, by the kind and size of the model."""
        match self._config.model:
            case FactoryConfig():
                return STEPS_PER_DECADE_OWN
            case CnnConfig():
                return STEPS_PER_DECADE
        batch = batch_examples(self._config.train, len(self._data.train))
        is_small = update_flops(self._parameters, batch) < SMALL_FLOPS
        return STEPS_PER_DECADE_SMALL if is_small else STEPS_PER_DECADE

    def plan(self, budget: float) -> ValidationPlan:
        """The furthest validation for a budget, in trainings of the config."""
        return plan_validation(
            self._config,
            parameters=self._parameters,
            examples=len(self._data.train),
            device=self._data.device,
            stacked=self._stacked,
            budget=budget,
        )

    def is_cheap(self, plan: ValidationPlan) -> bool:
        """Whether a validation takes some seconds only."""
        return is_cheap(
            self._config, parameters=self._parameters, examples=len(self._data.train), plan=plan
        )

    def validate(
        self, center: float, own: float | None, plan: ValidationPlan, *, edge: float | None
    ) -> Validation:
        """Train candidates around a rate, and the recipe's own.

        edge  where the sweeps turned unstable. One training may be lucky beyond it: where the last
              round has one seed, nothing is tried there.
        """
        ceiling = math.inf
        if edge is not None and plan.rungs[-1].seeds == 1:
            ceiling = edge
        return validate(
            self._config,
            center=center,
            own=own,
            ceiling=ceiling,
            seed=self._config.train.seed,
            plan=plan,
            data=self._data,
            folder=self._folder,
            stacked=self._stacked,
            watch=self._watch,
        )

    def _can_stack(self, weight_bytes: int) -> bool:
        room = MEMORY_SHARE * available_bytes(self._data.device)
        if COPIES_OF_WEIGHTS * weight_bytes * LARGEST_STACK > room:
            return False
        if not isinstance(self._config.model, FactoryConfig):
            return True
        seed = self._config.train.seed
        return not why_not_stackable(self._config, self._data, folder=self._folder, seed=seed)
