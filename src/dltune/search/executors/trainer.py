"""What is done with a job in the process that has torch: this one, or a worker."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dltune.errors import DataError, DltuneError, ran_out_of_memory
from dltune.recipe.schema import Config, FactoryConfig
from dltune.runs.checkpoint import pack_checkpoint
from dltune.runs.provenance import imported_files
from dltune.search.data_shelf import DataShelf
from dltune.search.executors.check import Check, Checked, first_mistake
from dltune.search.executors.job import (
    CANNOT_BE_BUILT,
    Answer,
    BestSoFar,
    Cohort,
    Job,
    Question,
    StackFailed,
    Told,
)
from dltune.search.executors.protocol import (
    Environment,
    EpochEnded,
    Progress,
    TrialEnded,
    TrialPaused,
    TrialStarted,
)
from dltune.search.failures import reason_of
from dltune.search.plan import Plan, StackOption
from dltune.training.history import Trial, TrialState

if TYPE_CHECKING:
    from dltune.data.device import DeviceData

OUT_OF_MEMORY = "out of memory"  # as `training.engine` names it


class Trainer:
    """Does jobs: trains cohorts, and answers how those of a group are best trained.

    shelf          where the data come from.
    folder         where a model factory is looked up.
    code_folders   below which Python files are the user's.
    stack          "auto" measures what is asked, a number allows stacks of at most so many trials.
    trial_seconds  a trial that trains longer fails; looked at after every epoch. None: no limit.
    workers, on_gpu  processes that train at the same time, and those of them with the same GPU.
    cores          what a process has that is alone; None for what it has anyway.

    interrupted_by  why trials end after their next update, and no other begins; empty if nothing
                    does. Another thread, or the handler of a signal, may set it.
    """

    def __init__(
        self,
        shelf: DataShelf,
        folder: Path,
        *,
        code_folders: Sequence[Path] = (),
        stack: StackOption = "auto",
        trial_seconds: float | None = None,
        workers: int = 1,
        on_gpu: int = 1,
        cores: int | None = None,
    ) -> None:
        self._shelf, self._folder, self._code_folders = shelf, folder, code_folders
        self._stack_option, self._trial_seconds = stack, trial_seconds
        self._workers, self._on_gpu, self._cores = workers, on_gpu, cores
        self._seconds_at_most = math.inf if trial_seconds is None else trial_seconds  # of a try
        self._told: Environment | None = None
        self.interrupted_by = ""

    def do(self, job: Job) -> Iterator[Told]:
        """What happens while a job is done."""
        if isinstance(job, Check):
            yield Checked(mistake=first_mistake(job, self._data))
            return
        try:
            self._data(job.trials[0].config)  # the same for all of its trials
        except DltuneError as error:
            for trial in job.trials:
                yield from (TrialStarted(trial=trial), _failed(trial, error))
            return
        match job:
            case Cohort():
                yield from self.train(job)
            case Question(about="kinds"):
                yield Answer(value=self.kinds([trial.config for trial in job.trials]))
            case Question():
                yield Answer(value=self.plan(job.trials))

    def train(self, cohort: Cohort) -> Iterator[Progress | StackFailed]:
        """Train every trial to its end; what goes wrong inside a trial is its result.

        A stack that runs out of memory, or whose user's model raises, is tried again in halves, and
        in the end trial by trial, where each gets a reason of its own.
        """
        from dltune.training.arithmetic import threads

        best = BestSoFar(cohort.best)
        with threads(self._cores if cohort.one_worker else None):
            if cohort.stacked:
                yield from self._stack(cohort, best)
            else:
                for trial in cohort.trials:
                    if not self.interrupted_by:
                        yield from self._alone(trial, cohort, best)

    def _stack(self, cohort: Cohort, best: BestSoFar) -> Iterator[Progress | StackFailed]:
        from dltune.training.engine import Stop, guarded

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
                case TrialEnded() | TrialPaused():
                    del left[progress.record.number]
                    yield progress
                case _:
                    yield progress
        size, rest = len(cohort.trials), tuple(left.values())
        if size == 1:
            for progress in self._alone(rest[0], cohort, best):
                yield progress
                if not isinstance(progress, (TrialEnded, TrialPaused)):
                    continue
                if progress.record.state is not TrialState.FAILED:
                    # Not the trial was to blame but the stack.
                    yield StackFailed(stack=1, reason=reason, limit=1)
            return
        limit = size // 2 if reason == OUT_OF_MEMORY else None
        yield StackFailed(stack=size, reason=reason, limit=limit)
        middle = (len(rest) + 1) // 2
        for half in (rest[:middle], rest[middle:]):
            if half and not self.interrupted_by:
                yield from self._stack(dataclasses.replace(cohort, trials=half), best)

    def _alone(self, trial: Trial, cohort: Cohort, best: BestSoFar) -> Iterator[Progress]:
        from dltune.training.engine import Stop, guarded

        training = self._together(dataclasses.replace(cohort, trials=(trial,), stacked=False), best)
        try:
            while progress := guarded(trial.config, lambda: next(training, None)):
                if isinstance(progress, Stop):
                    record = trial.record(TrialState.FAILED, progress.reason)
                    yield TrialEnded(record=record, checkpoint=None)
                    return
                yield progress
        except DltuneError as error:
            # A setting that does not fit this trial, e.g. a loss that its task does not have: other
            # points of the space may be fine. If all are like it, the study stops.
            yield _failed(trial, error)

    def _together(self, cohort: Cohort, best: BestSoFar) -> Iterator[Progress]:
        from dltune.runs.keepers import CohortKeeper
        from dltune.training.loop import train_cohort

        configs = {trial.number: trial.config for trial in cohort.trials}
        first, stretch = cohort.trials[0], cohort.stretch.of(cohort.trials)
        keeper = CohortKeeper(self._folder, cohort.trials, until=stretch.until, kept=stretch.kept)
        for trial in cohort.trials:
            yield TrialStarted(trial=trial)
        for epoch in train_cohort(
            cohort.trials,
            self._data(first.config),
            folder=self._folder,
            stacked=cohort.stacked,
            trial_seconds=self._trial_seconds,
            interrupted=lambda: self.interrupted_by,
            states=keeper.states(),
            until=stretch.until,
            watch=keeper.see,
        ):
            if epoch.records:
                yield EpochEnded(records=epoch.records)
            if epoch.ended or epoch.paused:
                yield from self._environment(first.config)
            if epoch.paused:
                kept = keeper.pause([one.state for one in epoch.paused])
                for one in epoch.paused:
                    yield TrialPaused(record=one.record, kept=kept)
            for outcome in epoch.ended:
                record = outcome.record
                checkpoint = None
                if best.takes(record):
                    checkpoint = pack_checkpoint(record, configs[record.number], outcome.weights)
                yield TrialEnded(record=record, checkpoint=checkpoint)
        if not self.interrupted_by:
            keeper.end()

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

    def plan(self, trials: Sequence[Trial]) -> Plan:
        """How trials of equal shapes are best trained, measured or as the user wants it."""
        if isinstance(self._stack_option, int):
            return self._plan_unmeasured(trials, self._stack_option)
        from dltune.training.engine import Stop, guarded
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
                    processes=self._workers,
                    on_gpu=self._on_gpu,
                    threads=self._cores or 1,
                    seconds_at_most=self._seconds_at_most,
                ),
            )
        except DltuneError as error:
            return Plan(stack=1, reason=error.found)
        if isinstance(measured, Stop):
            return Plan(stack=1, reason=measured.reason)
        apart = measured.microseconds[measured.best] / self._workers
        return Plan(
            stack=measured.best,
            one_worker=measured.all_threads is not None and measured.all_threads < apart,
            reason=measured.reason,
            microseconds=measured.microseconds,
        )

    def _plan_unmeasured(self, trials: Sequence[Trial], stack: int) -> Plan:
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

        data, most = self._data(configs[0]), self._seconds_at_most
        found = kinds(configs, data, folder=self._folder, seed=0, seconds_at_most=most)
        return [CANNOT_BE_BUILT if kind is None else kind for kind in found]

    def _data(self, config: Config) -> DeviceData:
        """The data of a config on its device.

        Raises DataError if they cannot be had, TrainingError if there is no such device.
        """
        try:
            return self._shelf.on_device(config.data, config.train)
        except Exception as error:
            if isinstance(error, DltuneError) or not ran_out_of_memory(error):
                raise
            found = f"{config.data.source}: out of memory while it was moved to the device"
            raise DataError(found) from error


def _failed(trial: Trial, error: DltuneError) -> TrialEnded:
    return TrialEnded(record=trial.record(TrialState.FAILED, reason_of(error)), checkpoint=None)
