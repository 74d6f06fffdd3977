"""The loop of a search: ask, train, write, tell, until the budget is spent or a signal comes."""

from __future__ import annotations

import contextlib
import dataclasses
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Unpack

from dltune.runs.checkpoint import PackedCheckpoint
from dltune.runs.folder import RunFolder
from dltune.runs.provenance import imported_files
from dltune.runs.running import forget_running, keep_only
from dltune.search.audit import audit_reason, drawn
from dltune.search.block import ASK_AT_ONCE, block_of, trial_of
from dltune.search.events import Ending, EventKind, EventParts, StudyEnd, StudyEvent
from dltune.search.executors.protocol import (
    WHOLE,
    Environment,
    EpochEnded,
    Executor,
    Noted,
    Progress,
    Stretch,
    TrialEnded,
    TrialPaused,
    TrialStarted,
)
from dltune.search.failures import FirstTrials
from dltune.search.interrupts import Interruption, Interrupts
from dltune.search.population import Population, course_of
from dltune.search.pruning.base import Pruner
from dltune.search.rungs import Rungs
from dltune.search.running import Running
from dltune.search.strategies.base import Proposal, Strategy
from dltune.search.strategies.pbt import PopulationBased
from dltune.training.history import (
    Trial,
    TrialRecord,
    TrialState,
    best_trials,
    better,
)

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


class StudyLoop:
    """One session of a study.

    folder    where it writes; trials in it are done, and numbers may be missing between them.
    strategy  already told of those before `told`.
    told      trials that are over, from the first one on, and that no block to come has to do with.
    pruner    looks at the trials of a block; None lets all train to their ends.
    executor  trains; hundreds of trials at once, which end in any order.
    total     trials there are to be in the end, more than the highest number in the folder.
    audit     pruned trials that are trained to their ends after all.
    data_hashes  SHA-256 by source of what has been loaded; it may grow while trials train.
    on_event  called with every event.
    """

    def __init__(
        self,
        *,
        folder: RunFolder,
        strategy: Strategy,
        told: int,
        pruner: Pruner | None,
        executor: Executor,
        total: int,
        audit: int = 0,
        data_hashes: Mapping[str, str],
        on_event: Callable[[StudyEvent], None],
    ) -> None:
        self._folder, self._strategy, self._executor = folder, strategy, executor
        self._told, self._pruner, self._audited = told, pruner, audit
        self._total, self._data_hashes, self._on_event = total, data_hashes, on_event
        self._rungs: Rungs | Population = Rungs(None, [], over={}, kept={})  # the present block
        self._trained = 0  # trials that this session has brought to an end
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
                cut = self._running.interrupted()
                self._pending |= {one.number: one for one in cut if one.number not in self._trials}
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
            trained=self._trained,
            total=self._total,
            trials=tuple(trials[number] for number in sorted(trials)),
            best=self._folder.best,
            signal=interrupts.requested if ending is Ending.INTERRUPTED else 0,
            audit=self._audited,
        )

    def _wind_up(self, interrupts: Interrupts) -> bool:
        """Let what trains end by itself; False if nothing trains that could be kept."""
        if not len(self._running):
            return False
        seconds = None if interrupts.requested == signal.SIGINT else SECONDS_TO_END
        self._executor.stop(interrupts.reason, seconds=seconds)
        return True

    def _search(self, interrupts: Interrupts) -> tuple[Ending, str]:
        told = self._told
        while told < self._total:
            proposals = self._strategy.ask(min(ASK_AT_ONCE, self._total - told))
            if not proposals:
                return Ending.EXHAUSTED, f"no new point is left in the space after {told} trials"
            self._train(proposals, interrupts)
            if interrupts.requested and not all(one.number in self._trials for one in proposals):
                raise Interruption(interrupts.requested)
            if self._first.reason is not None:
                return Ending.STOPPED, self._first.reason
            self._strategy.tell([self._trials[proposal.number] for proposal in proposals])
            told += len(proposals)
        self._audit(interrupts)
        return Ending.COMPLETE, ""

    def _audit(self, interrupts: Interrupts) -> None:
        """Train some pruned trials to their ends; one that is cut off stays pruned."""
        chosen = drawn(self._trials.values(), self._folder.about.seed, self._audited)
        trials = [
            trial_of(Proposal(number=one.number, values=one.values), self._folder) for one in chosen
        ]
        if trials:
            whole = [one for one in trials if isinstance(one, Trial)]
            self._train_stretch(whole, WHOLE, interrupts)
        if interrupts.requested:
            raise Interruption(interrupts.requested)

    def _block(self, proposals: Sequence[Proposal]) -> Rungs | Population:
        """The trials of a block; a proposal whose values make no valid config is over at once."""
        folder, strategy, pruner = self._folder, self._strategy, self._pruner
        moves = isinstance(strategy, PopulationBased)
        block = block_of(proposals, folder, self._trials, pruned=pruner is not None, moves=moves)
        for number in block.numbers:
            self._first.expect(number)
        for record in block.impossible:
            self._finish(record, None)
        return course_of(block, strategy, pruner, folder.recipe, folder.path)

    def _train(self, proposals: Sequence[Proposal], interrupts: Interrupts) -> None:
        """Train a block: to its end, or from rung to rung."""
        self._rungs = self._block(proposals)
        while (stretch := self._rungs.next()) is not None:
            self._train_stretch(*stretch, interrupts)
            if interrupts.requested or self._first.reason is not None:
                return
            self._write()  # before anything stands on who is over
            for record in self._rungs.judge():
                self._running.end(record.number)
                self._finish(record, None)
            if self._rungs.files:
                self._write()
                keep_only(self._folder.path, self._rungs.files)

    def _train_stretch(
        self, trials: Sequence[Trial], stretch: Stretch, interrupts: Interrupts
    ) -> None:
        run = self._executor.run(trials, best=self._best, stretch=stretch)
        with contextlib.closing(run) as training:
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
                if self._rungs.end(record):
                    self._finish(record, checkpoint)
            case TrialPaused(record=record):
                self._running.pause(record.number)
                self._rungs.pause(progress)
            case Environment():
                self._environment = progress.after(self._environment)
            case Noted(text=text):
                self._report(EventKind.NOTED, notes=(text,))
        waited = time.perf_counter() - self._written_at
        if waited >= min(self._write_seconds / WRITE_SHARE, LONGEST_UNWRITTEN_SECONDS):
            self._write()

    def _finish(self, trial: TrialRecord, checkpoint: PackedCheckpoint | None) -> None:
        """Take in a trial that is over; of the checkpoints, only those of the best are kept."""
        bare = trial.without_history()
        kept = {} if checkpoint is None else {trial.number: checkpoint}
        pruned = self._trials.get(trial.number)
        if pruned is not None:  # then this is an audit
            if trial.state is TrialState.INTERRUPTED:
                return
            trial = dataclasses.replace(trial, reason=audit_reason(pruned, trial))
            bare = trial.without_history()
        self._pending[trial.number] = trial
        if trial.state is TrialState.INTERRUPTED:
            self._best_cut = better(self._best_cut, bare)
            self._cut_checkpoint = kept if self._best_cut is bare else self._cut_checkpoint
            return
        self._trained += 1
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

    def _note_conditions(self) -> None:
        """Keep what the trials about to be written were trained with."""
        known, self._environment = self._environment, None
        if known is not None:
            # This process has imported what loads the data, and looked at the model's file.
            files = {**imported_files(self._folder.code_folders), **known.files}
            text = self._folder.keep_conditions(files, threads=known.threads, device=known.device)
            if text:
                self._report(EventKind.NOTED, notes=(text,))
        self._folder.note(data={**self._folder.session.data, **self._data_hashes})

    def _report(self, kind: EventKind, **about: Unpack[EventParts]) -> None:
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
