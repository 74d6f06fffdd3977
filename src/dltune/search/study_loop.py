"""The loop of a search: ask, train, write, tell, until the budget is spent or Ctrl-C comes."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import TypedDict, Unpack

from dltune.errors import RecipeError
from dltune.recipe.schema import Config
from dltune.runs.checkpoint import Finished
from dltune.runs.folder import RunFolder
from dltune.runs.records import better, ranking_objective, without_gap
from dltune.runs.resume import check_same_values
from dltune.search.events import Ending, EventKind, StudyEnd, StudyEvent
from dltune.search.executors.protocol import (
    EpochEnded,
    Executor,
    Noted,
    Progress,
    TrialEnded,
    TrialStarted,
)
from dltune.search.failures import FirstTrials
from dltune.search.interrupts import Interrupts
from dltune.search.running import Running
from dltune.search.strategies.base import Observation, Proposal, Strategy
from dltune.training.history import EpochRecord, Trial, TrialResult, TrialState
from dltune.training.seeds import trial_seed

# Trials asked for at a time; a strategy that learns gives a generation at most. Workers wait for
# each other only at the end of such a block, and it is asked for and built in a tenth of a second.
ASK_AT_ONCE = 1024

# Share of the time that writing may take: a block is written when the training since the last one
# took a hundred times as long as that one's writing. A long trial is written at once, short ones
# are gathered.
WRITE_SHARE = 0.01

# At the latest after so long, so that a kill -9 costs no more than that and the CSV files are never
# far behind. Only a block that takes more than 50 ms to write (large weights) exceeds its share.
LONGEST_UNWRITTEN_SECONDS = 5.0


class About(TypedDict, total=False):
    """The parts of an event that only some kinds have."""

    records: Sequence[EpochRecord]
    result: TrialResult
    grid_points: int | None
    notes: tuple[str, ...]


class StudyLoop:
    """One session of a study.

    folder    where it writes; trials in it are done, and numbers may be missing between them.
    strategy  already told of those before the first missing one.
    executor  trains; hundreds of trials at once, which end in any order. It is closed at the end.
    total     trials there are to be in the end, more than the highest number in the folder.
    on_event  called with every event.
    """

    def __init__(
        self,
        *,
        folder: RunFolder,
        strategy: Strategy,
        executor: Executor,
        total: int,
        on_event: Callable[[StudyEvent], None],
    ) -> None:
        self._folder, self._strategy, self._executor = folder, strategy, executor
        self._total, self._on_event = total, on_event
        self._resumed_from = len(folder.results)
        self._results = dict(folder.results)  # written or not
        self._best = folder.best
        self._pending: dict[int, Finished] = {}
        self._running, self._is_training = Running(folder.meta.metric), False
        self._first = FirstTrials()
        self._write_seconds, self._written_at = 0.0, time.perf_counter()

    def run(self, notes: Sequence[str] = ()) -> StudyEnd:
        """Search until the end; what is finished is written, whatever happens."""
        with Interrupts() as interrupts:
            try:
                grid_points = self._strategy.total
                self._report(EventKind.STARTED, grid_points=grid_points, notes=tuple(notes))
                ending, reason = self._search(interrupts)
            except KeyboardInterrupt:
                ending, reason = Ending.INTERRUPTED, "stopped by Ctrl-C; --resume goes on from here"
            finally:
                self._write()
                self._folder.append_interrupted(self._running.trials)
                self._folder.sort()
                self._executor.close()
        results = self._folder.results
        return StudyEnd(
            path=self._folder.path,
            ending=ending,
            reason=reason,
            trained=len(results) - self._resumed_from,
            total=self._total,
            results=tuple(results[number] for number in sorted(results)),
            best=self._folder.best,
            examples=self._folder.meta.examples,
        )

    def _search(self, interrupts: Interrupts) -> tuple[Ending, str]:
        told = len(without_gap(self._results))
        while told < self._total:
            proposals = self._strategy.ask(min(ASK_AT_ONCE, self._total - told))
            if not proposals:
                return Ending.EXHAUSTED, f"no new point is left in the space after {told} trials"
            self._train(self._build(proposals), interrupts)
            if self._first.reason is not None:
                return Ending.STOPPED, self._first.reason
            results = [self._results[proposal.number] for proposal in proposals]
            self._strategy.tell(observations(results))
            told += len(proposals)
        return Ending.COMPLETE, ""

    def _build(self, proposals: Sequence[Proposal]) -> list[Trial]:
        """The trials to train; a proposal whose values make no valid config is over at once.

        Those that an earlier session has trained are left out.
        """
        trials = []
        for proposal in proposals:
            number = proposal.number
            if number in self._results:
                check_same_values(self._folder.path, self._results[number], proposal.values)
                continue
            self._first.expect(number)
            seed = trial_seed(self._folder.meta.seed, number)
            try:
                config = with_seed(self._folder.recipe.config(proposal.values), seed)
            except RecipeError as error:
                result = TrialResult(
                    number=number,
                    seed=seed,
                    state=TrialState.FAILED,
                    reason=f"recipe: {error.found}",
                    values=proposal.values,
                )
                self._finish(Finished(result=result, config=None, checkpoint=None, examples={}))
            else:
                trial = Trial(number=number, config=config, seed=seed, values=proposal.values)
                trials.append(trial)
        return trials

    def _train(self, trials: Sequence[Trial], interrupts: Interrupts) -> None:
        with contextlib.closing(self._executor.run(trials, best=self._best)) as training:
            while self._first.reason is None:
                with interrupts.allowed():
                    progress = next(training, None)
                if progress is None:
                    break
                self._follow(progress)

    def _follow(self, progress: Progress) -> None:
        match progress:
            case TrialStarted(trial=trial):
                self._running.start(trial)
                if not self._is_training:
                    self._is_training = True
                    self._report(EventKind.TRAINING)
            case EpochEnded(records=records):
                self._running.see(records)
                self._report(EventKind.EPOCH, records=records)
            case TrialEnded(trial=trial, result=result):
                self._running.end(trial.number)
                self._finish(
                    Finished(
                        result=result,
                        config=trial.config,
                        checkpoint=progress.checkpoint,
                        examples=progress.examples,
                    )
                )
            case Noted(text=text):
                self._report(EventKind.NOTED, notes=(text,))
        waited = time.perf_counter() - self._written_at
        if waited >= min(self._write_seconds / WRITE_SHARE, LONGEST_UNWRITTEN_SECONDS):
            self._write()

    def _finish(self, finished: Finished) -> None:
        """Take in a trial that is over; of the checkpoints, only that of the best is kept."""
        result = dataclasses.replace(finished.result, history=())
        self._results[result.number] = result
        before, self._best = self._best, better(self._best, result)
        if self._best is result:
            beaten = None if before is None else self._pending.get(before.number)
            if beaten is not None:
                self._pending[beaten.result.number] = dataclasses.replace(beaten, checkpoint=None)
        else:
            finished = dataclasses.replace(finished, checkpoint=None)
        self._pending[result.number] = finished
        self._first.see(result)
        self._report(EventKind.TRIAL, result=result)

    def _write(self) -> None:
        """Write what is finished and not written yet."""
        if self._pending:
            started = time.perf_counter()
            block, self._pending = list(self._pending.values()), {}
            self._folder.append(block)
            self._written_at = time.perf_counter()
            self._write_seconds = self._written_at - started

    def _report(self, kind: EventKind, **about: Unpack[About]) -> None:
        self._on_event(
            StudyEvent(
                kind=kind,
                done=len(self._results),
                total=self._total,
                metric=self._folder.meta.metric,
                best=self._best,
                running=len(self._running),
                share=self._running.share,
                leader=self._running.leader,
                **about,
            )
        )


def with_seed(config: Config, seed: int) -> Config:
    """The config that trains this very trial again, by itself.

    >>> from dltune.recipe.schema import DataConfig
    >>> with_seed(Config(data=DataConfig(source="sklearn:wine")), 7).train.seed
    7
    """
    return config.model_copy(update={"train": config.train.model_copy(update={"seed": seed})})


def observations(results: Sequence[TrialResult]) -> list[Observation]:
    """What a strategy is told, live or stored: only complete trials have an objective."""
    return [
        Observation(number=result.number, values=result.values, objective=ranking_objective(result))
        for result in results
    ]
