"""Training and measuring in the process that has torch: this one, or a worker."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dltune.errors import DltuneError
from dltune.recipe.schema import Config, FactoryConfig
from dltune.runs.checkpoint import pack_checkpoint
from dltune.runs.provenance import imported_files
from dltune.search.data_shelf import DataShelf
from dltune.search.executors.protocol import (
    Environment,
    EpochEnded,
    Progress,
    TrialEnded,
    TrialStarted,
)
from dltune.search.plan import Plan
from dltune.training.history import Trial, TrialRecord, TrialState

if TYPE_CHECKING:
    from dltune.data.device import DeviceData

CANNOT_BE_BUILT = "cannot be built"  # the kind of a model whose factory raises
OUT_OF_MEMORY = "out of memory"  # as `training.looped` names it


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cohort:
    """Trials for one process to train.

    trials         of equal shapes if stacked.
    stacked        False: one after another.
    threads        of torch; None: as many as the process has anyway.
    best           objective of the best trial so far, None if there is none: a trial that is as
                   good brings its checkpoint.
    trial_seconds  a trial that trains longer fails; None for no limit.
    """

    trials: tuple[Trial, ...]
    stacked: bool
    threads: int | None = None
    best: float | None = None
    trial_seconds: float | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class StackFailed:
    """A stack of so many trials could not be trained; what is left of it is tried again.

    limit  trials that a stack of this shape may have from now on; None where the fault may lie with
           one of the trials.
    """

    stack: int
    reason: str
    limit: int | None = None


class CohortTrainer:
    """Trains cohorts, and measures how those of a shape are best trained.

    shelf         where the data come from.
    folder        where a model factory is looked up.
    code_folders  below which Python files are the user's.
    """

    def __init__(
        self, shelf: DataShelf, folder: Path, *, code_folders: Sequence[Path] = ()
    ) -> None:
        self._shelf = shelf
        self._folder = folder
        self._code_folders = code_folders
        self._told: Environment | None = None

    def train(self, cohort: Cohort) -> Iterator[Progress | StackFailed]:
        """Train every trial to its end; what goes wrong inside a trial is its result.

        A stack that runs out of memory, or whose user's model raises, is tried again in halves, and
        in the end trial by trial, where each gets a reason of its own.
        """
        best = _BestSoFar(cohort.best)
        with _threads(cohort.threads):
            if cohort.stacked:
                yield from self._stack(cohort, best)
            else:
                for trial in cohort.trials:
                    yield from self._alone(trial, cohort, best)

    def _stack(self, cohort: Cohort, best: _BestSoFar) -> Iterator[Progress | StackFailed]:
        from dltune.training.engine import Stop
        from dltune.training.looped import guarded

        left = {trial.number: trial for trial in cohort.trials}
        training = self._together(cohort, best)
        reason = ""
        while not reason:
            try:
                progress = guarded(cohort.trials[0].config, lambda: next(training, None))
            except DltuneError as error:
                reason = error.found
                break
            match progress:
                case None:
                    return
                case Stop():
                    reason = progress.reason
                case TrialEnded():
                    del left[progress.record.number]
                    yield progress
                case _:
                    yield progress
        size, rest = len(cohort.trials), tuple(left.values())
        if size == 1:
            for progress in self._alone(rest[0], cohort, best):
                yield progress
                if isinstance(progress, TrialEnded) and progress.record.state != TrialState.FAILED:
                    # Not the trial was to blame but the stack.
                    yield StackFailed(stack=1, reason=reason, limit=1)
            return
        limit = size // 2 if reason == OUT_OF_MEMORY else None
        yield StackFailed(stack=size, reason=reason, limit=limit)
        middle = (len(rest) + 1) // 2
        for half in (rest[:middle], rest[middle:]):
            if half:
                yield from self._stack(dataclasses.replace(cohort, trials=half), best)

    def _alone(self, trial: Trial, cohort: Cohort, best: _BestSoFar) -> Iterator[Progress]:
        try:
            one = dataclasses.replace(cohort, trials=(trial,), stacked=False)
            yield from self._together(one, best)
        except DltuneError as error:
            # A setting that does not fit this trial, e.g. a loss that its task does not have: other
            # points of the space may be fine. If all are like it, the study stops.
            record = trial.record(TrialState.FAILED, f"setting: {error.found}")
            yield TrialEnded(record=record, checkpoint=None)

    def _together(self, cohort: Cohort, best: _BestSoFar) -> Iterator[Progress]:
        from dltune.training.loop import train_cohort

        trials = {trial.number: trial for trial in cohort.trials}
        first = cohort.trials[0]
        for trial in cohort.trials:
            yield TrialStarted(trial=trial)
        for epoch in train_cohort(
            cohort.trials,
            self._data(first.config),
            folder=self._folder,
            stacked=cohort.stacked,
            trial_seconds=cohort.trial_seconds,
        ):
            if epoch.records:
                yield EpochEnded(records=epoch.records)
            if epoch.ended:
                yield from self._environment(first.config)
            for outcome in epoch.ended:
                record = outcome.record
                checkpoint = (
                    pack_checkpoint(record, trials[record.number].config, outcome.weights)
                    if best.takes(record)
                    else None
                )
                yield TrialEnded(record=record, checkpoint=checkpoint)

    def _environment(self, config: Config) -> Iterator[Environment]:
        """What this process trains with, where that is not known yet."""
        import torch

        if self._told is not None and not isinstance(config.model, FactoryConfig):
            return
        found = Environment(
            files=imported_files(self._code_folders),
            threads=torch.get_num_threads(),
            device=str(self._data(config).device),
        )
        if found != self._told:
            self._told = found
            yield found

    def plan(self, trials: Sequence[Trial], *, processes: int, threads: int) -> Plan:
        """Measure how trials of equal shapes are best trained.

        processes  that will train at the same time.
        threads    that one process could use if it were alone.
        """
        from dltune.training.engine import Stop
        from dltune.training.looped import guarded
        from dltune.training.probe import probe

        config = trials[0].config
        try:
            measured = guarded(
                config,
                lambda: probe(
                    trials,
                    self._data(config),
                    folder=self._folder,
                    waiting=len(trials),
                    processes=processes,
                    threads=threads,
                ),
            )
        except DltuneError as error:
            return Plan(stack=1, reason=error.found)
        if isinstance(measured, Stop):
            return Plan(stack=1, reason=measured.reason)
        apart = measured.microseconds[measured.best] / processes
        return Plan(
            stack=measured.best,
            one_worker=measured.all_threads is not None and measured.all_threads < apart,
            reason=measured.reason,
            microseconds=measured.microseconds,
        )

    def plan_unmeasured(self, trials: Sequence[Trial], stack: int) -> Plan:
        """Stacks of this size of a user's models; one after another where that cannot be."""
        from dltune.training.stacked.stackable import why_not_stackable

        config, seed = trials[0].config, trials[0].seed
        reason = why_not_stackable(config, self._data(config), folder=self._folder, seed=seed)
        return Plan(stack=stack) if reason is None else Plan(stack=1, reason=reason)

    def kinds(self, configs: Sequence[Config]) -> list[str]:
        """For each config with a user's model, a text that is equal where they may share a stack.

        The arguments of a factory may decide shapes, layers or numbers in them: only the models
        tell.
        """
        from dltune.training.stacked.kinds import kinds

        try:
            data = self._data(configs[0])
        except DltuneError:  # the trials will tell what
            return [CANNOT_BE_BUILT] * len(configs)
        found = kinds(configs, data, folder=self._folder, seed=0)
        return [CANNOT_BE_BUILT if kind is None else kind for kind in found]

    def _data(self, config: Config) -> DeviceData:
        return self._shelf.on_device(config.data, config.train.device)


class _BestSoFar:
    """Which trials may be the best of the study, by what this process knows.

    objective  of the best so far; None if there is none.
    """

    def __init__(self, objective: float | None) -> None:
        self._objective = objective

    def takes(self, trial: TrialRecord) -> bool:
        """Whether nothing known is better; of equal ones the study decides by number."""
        objective = trial.ranked
        if objective is None or (self._objective is not None and objective > self._objective):
            return False
        self._objective = objective
        return True


@contextlib.contextmanager
def _threads(wanted: int | None) -> Iterator[None]:
    import torch

    outer = torch.get_num_threads()
    if wanted is None or wanted == outer:
        yield
        return
    torch.set_num_threads(wanted)
    try:
        yield
    finally:
        torch.set_num_threads(outer)
