"""The loop of a search: ask, train, write, tell, until the budget is spent or a signal comes."""

from __future__ import annotations

import contextlib
import dataclasses
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TypedDict, Unpack

from dltune.errors import RecipeError
from dltune.recipe.schema import Config
from dltune.runs.checkpoint import PackedCheckpoint, forget_running
from dltune.runs.folder import RunFolder
from dltune.runs.provenance import imported_files
from dltune.runs.resume import check_same_values
from dltune.search.events import Ending, EventKind, StudyEnd, StudyEvent
from dltune.search.executors.protocol import (
    Environment,
    EpochEnded,
    Executor,
    Noted,
    Progress,
    TrialEnded,
    TrialStarted,
)
from dltune.search.failures import FirstTrials
from dltune.search.interrupts import Interruption, Interrupts
from dltune.search.running import Running
from dltune.search.strategies.base import Proposal, Strategy
from dltune.training.history import (
    EpochRecord,
    Trial,
    TrialRecord,
    TrialState,
    best_trials,
    better,
    without_gap,
)
from dltune.training.seeds import trial_seed

# Trials asked for at a time; a strategy that learns gives a generation at most. Workers wait for
# each other only at the end of such a block, and it is asked for and built in a tenth of a second.
ASK_AT_ONCE = 1024

# Share of the time that writing may take: a block is written when the training since the last one
# took a hundred times as long as that one's writing. A long trial is written at once, short ones
# are gathered.
WRITE_SHARE = 0.01

# What a trial may take for its last update and measurements when something else than a person asks
# this process to end: `docker stop` kills it after 10 seconds, Slurm and Kubernetes after 30.
SECONDS_TO_END = 7.0

# At the latest after so long, so that a kill -9 costs no more than that and the CSV files are never
# far behind. Only a block that takes more than 50 ms to write (large weights) exceeds its share.
LONGEST_UNWRITTEN_SECONDS = 5.0


class About(TypedDict, total=False):
    """The parts of an event that only some kinds have."""

    records: Sequence[EpochRecord]
    trial: TrialRecord
    grid_points: int | None
    notes: tuple[str, ...]


class StudyLoop:
    """One session of a study.

    folder    where it writes; trials in it are done, and numbers may be missing between them.
    strategy  already told of those before the first missing one.
    executor  trains; hundreds of trials at once, which end in any order.
    total     trials there are to be in the end, more than the highest number in the folder.
    data_hashes  SHA-256 by source of what has been loaded; it may grow while trials train.
    on_event  called with every event.
    """

    def __init__(
        self,
        *,
        folder: RunFolder,
        strategy: Strategy,
        executor: Executor,
        total: int,
        data_hashes: Mapping[str, str],
        on_event: Callable[[StudyEvent], None],
    ) -> None:
        self._folder, self._strategy, self._executor = folder, strategy, executor
        self._total, self._data_hashes, self._on_event = total, data_hashes, on_event
        self._resumed_from = len(folder.trials)
        self._trials = dict(folder.trials)  # written or not
        self._best = next(iter(best_trials(folder.trials.values(), 1)), None)
        self._best_cut: TrialRecord | None = None  # of those that this session's end cuts off
        self._pending: dict[int, TrialRecord] = {}
        # Those of the best of both kinds, by number, until they are written.
        self._checkpoint: dict[int, PackedCheckpoint] = {}
        self._cut_checkpoint: dict[int, PackedCheckpoint] = {}
        self._has_told_stop = False
        self._environment: Environment | None = None
        self._running, self._is_training = Running(folder.about.metric), False
        self._first = FirstTrials()
        self._write_seconds, self._written_at = 0.0, time.perf_counter()

    def run(self, notes: Sequence[str] = ()) -> StudyEnd:
        """Search until the end; what is finished is written, whatever happens."""
        with Interrupts(lambda: self._wind_up(interrupts)) as interrupts:
            try:
                grid_points = self._strategy.total
                self._report(EventKind.STARTED, grid_points=grid_points, notes=tuple(notes))
                ending, reason = self._search(interrupts)
            except KeyboardInterrupt:
                stopped_by = interrupts.reason or str(Interruption())
                ending, reason = Ending.INTERRUPTED, f"{stopped_by}; --resume goes on from here"
            finally:
                self._pending |= {one.number: one for one in self._running.interrupted()}
                self._write()
                self._folder.sort()
            self._folder.end(ending.value)
        if ending in (Ending.COMPLETE, Ending.EXHAUSTED):
            forget_running(self._folder.path)
        trials = self._folder.trials
        return StudyEnd(
            path=self._folder.path,
            ending=ending,
            reason=reason,
            trained=len(trials) - self._resumed_from,
            total=self._total,
            trials=tuple(trials[number] for number in sorted(trials)),
            best=self._folder.best,
            signal=interrupts.requested if ending is Ending.INTERRUPTED else 0,
        )

    def _wind_up(self, interrupts: Interrupts) -> bool:
        """Let what trains end by itself; False if nothing trains that could be kept."""
        if not len(self._running):
            return False
        seconds = None if interrupts.requested == signal.SIGINT else SECONDS_TO_END
        self._executor.stop(interrupts.reason, seconds=seconds)
        return True

    def _search(self, interrupts: Interrupts) -> tuple[Ending, str]:
        told = len(without_gap(self._trials))
        while told < self._total:
            proposals = self._strategy.ask(min(ASK_AT_ONCE, self._total - told))
            if not proposals:
                return Ending.EXHAUSTED, f"no new point is left in the space after {told} trials"
            self._train(self._build(proposals), interrupts)
            if interrupts.requested and not all(one.number in self._trials for one in proposals):
                raise Interruption(interrupts.requested)
            if self._first.reason is not None:
                return Ending.STOPPED, self._first.reason
            self._strategy.tell([self._trials[proposal.number] for proposal in proposals])
            told += len(proposals)
        return Ending.COMPLETE, ""

    def _build(self, proposals: Sequence[Proposal]) -> list[Trial]:
        """The trials to train; a proposal whose values make no valid config is over at once.

        Those that an earlier session has trained are left out.
        """
        trials = []
        for proposal in proposals:
            number = proposal.number
            if number in self._trials:
                check_same_values(self._folder.path, self._trials[number], proposal.values)
                continue
            self._first.expect(number)
            seed = trial_seed(self._folder.about.seed, number)
            try:
                config = with_seed(self._folder.recipe.config(proposal.values), seed)
            except RecipeError as error:
                values, ranges = proposal.values, self._folder.recipe.space.dimensions
                record = TrialRecord(
                    number=number,
                    seed=seed,
                    state=TrialState.FAILED,
                    reason=f"recipe: {error.found}",
                    values=values,
                    config={one.path: values[one.name] for one in ranges if one.name in values},
                )
                self._finish(record, None)
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
                if interrupts.requested and not self._has_told_stop:
                    self._has_told_stop = True
                    self._report(EventKind.STOPPING, notes=(interrupts.reason,))

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
            case TrialEnded(record=record, checkpoint=checkpoint):
                self._running.end(record.number)
                self._finish(record, checkpoint)
            case Environment():
                self._learn(progress)
            case Noted(text=text):
                self._report(EventKind.NOTED, notes=(text,))
        waited = time.perf_counter() - self._written_at
        if waited >= min(self._write_seconds / WRITE_SHARE, LONGEST_UNWRITTEN_SECONDS):
            self._write()

    def _finish(self, trial: TrialRecord, checkpoint: PackedCheckpoint | None) -> None:
        """Take in a trial that is over; of the checkpoints, only those of the best are kept."""
        bare = trial.without_history()
        kept = {} if checkpoint is None else {trial.number: checkpoint}
        self._pending[trial.number] = trial
        if trial.state is TrialState.INTERRUPTED:
            self._best_cut = better(self._best_cut, bare)
            self._cut_checkpoint = kept if self._best_cut is bare else self._cut_checkpoint
            return
        self._trials[trial.number] = bare
        self._best = better(self._best, bare)
        self._checkpoint = kept if self._best is bare else self._checkpoint
        self._first.see(bare)
        self._report(EventKind.TRIAL, trial=bare)

    def _write(self) -> None:
        """Write what is finished and not written yet."""
        if not self._pending:
            return
        started = time.perf_counter()
        block, self._pending = list(self._pending.values()), {}
        checkpoints = {**self._checkpoint, **self._cut_checkpoint}
        self._checkpoint, self._cut_checkpoint = {}, {}
        self._note_conditions()
        self._folder.append(block, checkpoints)
        self._written_at = time.perf_counter()
        self._write_seconds = self._written_at - started

    def _learn(self, environment: Environment) -> None:
        """Take in what a process trains with; of several, what all of them have imported."""
        before = {} if self._environment is None else self._environment.files
        files = {**before, **environment.files}
        self._environment = dataclasses.replace(environment, files=files)

    def _note_conditions(self) -> None:
        """Keep what the trials about to be written were trained with."""
        known, self._environment = self._environment, None
        if known is not None:
            # This process has imported what loads the data, and looked at the model's file.
            files = {**imported_files(self._folder.code_folders), **known.files}
            before = self._folder.session.code
            code = self._folder.keep_code(files)
            changed = [name for name in before if code[name] != before[name]]
            if changed:
                text = f"{', '.join(changed)} changed while the search ran"
                self._report(EventKind.NOTED, notes=(text,))
                self._folder.note(accepted=(*self._folder.session.accepted, text))
            self._folder.note(code=code, threads=known.threads, device=known.device)
        self._folder.note(data={**self._folder.session.data, **self._data_hashes})

    def _report(self, kind: EventKind, **about: Unpack[About]) -> None:
        self._on_event(
            StudyEvent(
                kind=kind,
                done=len(self._trials),
                total=self._total,
                metric=self._folder.about.metric,
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
