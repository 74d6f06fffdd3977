"""The loop of a search: ask, train, write, tell, until the budget is spent or Ctrl-C comes."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import TypedDict, Unpack

from dltune.errors import RecipeError
from dltune.recipe.schema import Config
from dltune.search.checkpoint import Finished
from dltune.search.events import Ending, EventKind, StudyEnd, StudyEvent
from dltune.search.executors.protocol import Executor, Progress, TrialEnded, TrialStarted
from dltune.search.failures import failed_alike
from dltune.search.interrupts import Interrupts
from dltune.search.records import better, ranking_objective
from dltune.search.store import RunFolder
from dltune.search.strategies.base import Observation, Proposal, Strategy
from dltune.training.history import Trial, TrialResult, TrialState
from dltune.training.seeds import trial_seed

# Trials asked for at a time: as many as a stack of small models can use at once.
COHORT_TRIALS = 64

# Share of the time that writing may take: a block is written when the training since the last one
# took a hundred times as long as that one's writing. A long trial is written at once, short ones
# are gathered.
WRITE_SHARE = 0.01

# At the latest after so long, so that a kill -9 costs no more than that and the CSV files are never
# far behind. Only a block that takes more than 50 ms to write (large weights) exceeds its share.
LONGEST_UNWRITTEN_SECONDS = 5.0


class About(TypedDict, total=False):
    """The parts of an event that only some kinds have."""

    number: int
    epoch: int
    epochs: int
    result: TrialResult
    grid_points: int | None
    notes: tuple[str, ...]


class StudyLoop:
    """One session of a study.

    folder    where it writes; trials in it are done.
    strategy  already told of those.
    executor  trains.
    total     trials there are to be in the end.
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
        self._results = list(folder.results)  # written or not
        self._best = folder.best
        self._pending: dict[int, Finished] = {}
        self._running: dict[int, tuple[Trial, int]] = {}  # with the epochs run
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
                if self._running:
                    self._folder.append_interrupted(list(self._running.values()))
        return StudyEnd(
            path=self._folder.path,
            ending=ending,
            reason=reason,
            trained=len(self._folder.results) - self._resumed_from,
            total=self._total,
            results=tuple(self._folder.results),
            best=self._folder.best,
            examples=self._folder.meta.examples,
        )

    def _search(self, interrupts: Interrupts) -> tuple[Ending, str]:
        while len(self._results) < self._total:
            proposals = self._strategy.ask(min(COHORT_TRIALS, self._total - len(self._results)))
            if not proposals:
                done = len(self._results)
                return Ending.EXHAUSTED, f"no new point is left in the space after {done} trials"
            asked_from = len(self._results)
            self._train(self._build(proposals), interrupts)
            if reason := failed_alike(self._results, self._resumed_from):
                return Ending.STOPPED, reason
            told = sorted(self._results[asked_from:], key=lambda result: result.number)
            self._strategy.tell(observations(told))
        return Ending.COMPLETE, ""

    def _build(self, proposals: Sequence[Proposal]) -> list[Trial]:
        """The trials of the proposals; those whose values make no valid config are over at once."""
        trials = []
        for proposal in proposals:
            seed = trial_seed(self._folder.meta.seed, proposal.number)
            try:
                config = self._folder.recipe.config(proposal.values)
            except RecipeError as error:
                result = TrialResult(
                    number=proposal.number,
                    seed=seed,
                    state=TrialState.FAILED,
                    reason=f"recipe: {error.found}",
                    values=proposal.values,
                )
                self._finish(Finished(result=result, config=None, weights={}, examples={}))
            else:
                trial = Trial(
                    number=proposal.number,
                    config=with_seed(config, seed),
                    seed=seed,
                    values=proposal.values,
                )
                trials.append(trial)
        return trials

    def _train(self, cohort: Sequence[Trial], interrupts: Interrupts) -> None:
        training = self._executor.run(cohort)
        while failed_alike(self._results, self._resumed_from) is None:
            with interrupts.allowed():
                progress = next(training, None)
            if progress is None:
                break
            self._follow(progress)

    def _follow(self, progress: Progress) -> None:
        match progress:
            case TrialStarted(trial=trial):
                self._running[trial.number] = (trial, 0)
            case TrialEnded(trial=trial, result=result, weights=weights, examples=examples):
                del self._running[trial.number]
                self._finish(
                    Finished(result=result, config=trial.config, weights=weights, examples=examples)
                )
                waited = time.perf_counter() - self._written_at
                if waited >= min(self._write_seconds / WRITE_SHARE, LONGEST_UNWRITTEN_SECONDS):
                    self._write()
            case _:
                for record in progress.records:
                    trial, _ = self._running[record.trial]
                    self._running[record.trial] = (trial, record.epoch)
                    epochs = trial.config.train.epochs
                    self._report(
                        EventKind.EPOCH, number=trial.number, epoch=record.epoch, epochs=epochs
                    )

    def _finish(self, finished: Finished) -> None:
        """Take in a trial that is over; of the weights, only those of the best are kept."""
        self._results.append(dataclasses.replace(finished.result, history=()))
        self._best = better(self._best, self._results[-1])
        if self._best is self._results[-1]:
            for number, other in self._pending.items():
                self._pending[number] = dataclasses.replace(other, weights={})
        else:
            finished = dataclasses.replace(finished, weights={})
        self._pending[finished.result.number] = finished
        number, result = finished.result.number, self._results[-1]
        self._report(EventKind.TRIAL, number=number, result=result)

    def _write(self) -> None:
        """Write what is finished, as far as the numbers go without a gap."""
        started = time.perf_counter()
        block: list[Finished] = []
        while (number := len(self._folder.results) + len(block)) in self._pending:
            block.append(self._pending.pop(number))
        if block:
            self._folder.append(block)
        self._written_at = time.perf_counter()
        self._write_seconds = self._written_at - started

    def _report(self, kind: EventKind, **about: Unpack[About]) -> None:
        done, total = len(self._results), self._total
        self._on_event(StudyEvent(kind=kind, done=done, total=total, best=self._best, **about))


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
