"""Candidate learning rates trained for real: common random numbers, successive halving."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dltune.data.device import DeviceData
from dltune.errors import ran_out_of_memory
from dltune.lr.blow_up import ROUNDING
from dltune.lr.suggest import two_digits
from dltune.lr.sweep import Watch, sweep_failures, sweep_seeds, untouched_random_states
from dltune.lr.validation.choose import Candidate, Choice, choose
from dltune.lr.validation.plan import PER_DECADE, Rung, ValidationPlan, compressed
from dltune.recipe.schema import Config
from dltune.training.history import Trial, TrialRecord, TrialState
from dltune.training.learner import Learner
from dltune.training.loop import train_cohort

# If the best candidate lies at an end, two more are tried beyond it, and again: after four times
# the rates reach two decades further than those around the suggestion.
EXTENSIONS, EXTENSION = 4, 2
# Rates nearer to each other than this are the same candidate.
SAME_RATE = 1.1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Validation:
    """What the trainings showed.

    candidates  by rising rate.
    choice      what their dev losses say.
    untrained   dev loss before any update.
    plan        what was to be trained.
    trainings   whole trainings that it amounted to.
    updates     optimizer updates of all trainings together.
    """

    candidates: tuple[Candidate, ...]
    choice: Choice
    untrained: float
    plan: ValidationPlan
    trainings: float
    updates: int


def validate(
    config: Config,
    *,
    center: float,
    own: float | None,
    ceiling: float = math.inf,
    seed: int,
    plan: ValidationPlan,
    data: DeviceData,
    folder: Path,
    stacked: bool,
    watch: Watch | None = None,
) -> Validation:
    """Train candidates around a rate under the recipe's schedule, and pick one by its dev loss.

    config   every value fixed; its learning rate is replaced.
    center   of the candidates, which are a quarter of a decade apart.
    own      the recipe's own value, to be tried as well; None if it has none.
    ceiling  no candidate is higher, but for the recipe's own value.
    seed     of the first training of each candidate; the others are derived from it. All candidates
             start from the same weights and see the same batches, seed by seed.
    plan     how many, how long: see `plan_validation`.
    data     on the device to train on.
    folder   where relative references of the recipe are looked up.
    stacked  whether the candidates are trained at once.
    watch    called after every epoch: ("validation", whole trainings done so far, those planned).

    The first round is judged by the mean of the lowest dev losses; the best go on and are trained
    anew, for longer. If the best lies at an end, candidates are added beyond it. The rule at the
    end: among the rates within noise of the lowest mean, the lowest rate (`choose`).

    Nothing is changed: random states are as before.

    Raises what a training raises.
    """
    seeds = sweep_seeds(seed, max(rung.seeds for rung in plan.rungs))
    with untouched_random_states(), sweep_failures(config):
        trainer = _Trainer(config, seeds, data, folder, stacked, plan.trainings, watch)
        rates = _first_rates(min(center, ceiling), own, plan.rungs[0], ceiling=ceiling)
        candidates = trainer.extended(rates, plan.rungs[0], ceiling=ceiling)
        for rung in plan.rungs[1:]:
            best = sorted(candidates, key=lambda one: one.loss)[: rung.candidates]
            kept = sorted(one.rate for one in best if math.isfinite(one.loss))
            longer = {one.rate: one for one in trainer.train(kept, rung)}
            candidates = [_joined(one, longer.get(one.rate)) for one in candidates]
        untrained = trainer.untrained()
    candidates = [dataclasses.replace(one, own=one.rate == own) for one in candidates]
    return Validation(
        candidates=tuple(candidates),
        choice=choose(candidates, untrained=untrained),
        untrained=untrained,
        plan=plan,
        trainings=trainer.trainings,
        updates=trainer.updates,
    )


def _joined(one: Candidate, longer: Candidate | None) -> Candidate:
    return one if longer is None else dataclasses.replace(one, rounds=one.rounds + longer.rounds)


def _first_rates(
    center: float, own: float | None, rung: Rung, *, ceiling: float = math.inf
) -> list[float]:
    """A quarter of a decade apart, half of them above the center; the recipe's own as one of them.

    ceiling  rates above it are left out.

    >>> [f"{rate:.2g}" for rate in _first_rates(0.01, 0.0102, Rung(candidates=3, seeds=1, share=1))]
    ['0.0056', '0.01', '0.018']
    """
    half = rung.candidates // 2
    rates = [
        two_digits(center * 10.0 ** (step / PER_DECADE))
        for step in range(-half, rung.candidates - half)
    ]
    rates = [one for one in rates if one <= max(ceiling, rates[0])]
    if own is not None:
        rates = [one for one in rates if not _same(one, own)] + [own]
    return sorted(rates)


def _same(one: float, other: float) -> bool:
    return abs(math.log(one / other)) < math.log(SAME_RATE)


class _Trainer:
    """Trains rates with the seeds of a validation, and counts what it cost."""

    def __init__(
        self,
        config: Config,
        seeds: Sequence[int],
        data: DeviceData,
        folder: Path,
        stacked: bool,
        planned: float,
        watch: Watch | None,
    ) -> None:
        self._config, self._seeds = config, seeds
        self._data, self._folder, self._stacked = data, folder, stacked
        self._watch, self._planned = watch, planned
        self._learner = Learner(config, seed=seeds[0], data=data, folder=folder)
        self.trainings = 0.0
        self.updates = 0

    def extended(self, rates: Sequence[float], rung: Rung, *, ceiling: float) -> list[Candidate]:
        """Train a round, and more rates beyond an end as long as the best one lies there."""
        found = self.train(rates, rung)
        for _ in range(EXTENSIONS):
            losses = [one.loss for one in found]
            step = 10.0 ** (1.0 / PER_DECADE)
            # Where nothing could be trained, lower rates may be; where nothing was learned, and all
            # losses are the untrained one, higher ones.
            lowest = min(losses)
            same = np.flatnonzero(np.array(losses) <= lowest + ROUNDING * abs(lowest))
            place = int(same[-1]) if math.isfinite(lowest) else 0
            if place == 0:
                more = [found[0].rate / step**k for k in range(EXTENSION, 0, -1)]
                found = self.train(list(map(two_digits, more)), rung) + found
            elif place == len(found) - 1:
                more = [found[-1].rate * step**k for k in range(1, EXTENSION + 1)]
                more = [one for one in more if one <= ceiling]
                if not more:
                    break
                found = found + self.train(list(map(two_digits, more)), rung)
            else:
                break
        return found

    def train(self, rates: Sequence[float], rung: Rung) -> list[Candidate]:
        """Train every rate with every seed of a round."""
        configs = [compressed(self._config, rung.share, lr=rate) for rate in rates]
        trials = [
            Trial(number=number, config=config, seed=seed)
            for number, (config, seed) in enumerate(
                (config, seed) for config in configs for seed in self._seeds[: rung.seeds]
            )
        ]
        results = self._results(trials) if trials else []
        losses = np.array([_lowest(one) for one in results]).reshape(len(rates), rung.seeds)
        return [
            Candidate(rate=rate, rounds=(tuple(row.tolist()),))
            for rate, row in zip(rates, losses, strict=True)
        ]

    def _results(self, trials: Sequence[Trial]) -> list[TrialRecord]:
        if self._stacked:
            try:
                return self._trained(trials, stacked=True)
            except Exception as error:
                if not ran_out_of_memory(error):
                    raise
                self._stacked = False  # one at a time needs less
        return self._trained(trials, stacked=False)

    def _trained(self, trials: Sequence[Trial], *, stacked: bool) -> list[TrialRecord]:
        training = train_cohort(trials, self._data, folder=self._folder, stacked=stacked)
        whole, of_epoch = self._config.train.epochs, self._learner.updates_per_epoch
        while True:
            try:
                epoch = next(training)
            except StopIteration as end:
                return [outcome.record for outcome in end.value]
            self.trainings += len(epoch.records) / whole
            self.updates += len(epoch.records) * of_epoch
            if self._watch is not None:
                self._watch("validation", self.trainings, self._planned)

    def untrained(self) -> float:
        """Dev loss of a fresh model."""
        return self._learner.measure(self._learner.data.dev).loss


def _lowest(result: TrialRecord) -> float:
    """A training's lowest dev loss; infinite if it diverged or failed."""
    if result.state is not TrialState.COMPLETE:
        return math.inf
    return min(record.dev_loss for record in result.history)
