"""What a study tells its caller: events while it runs, and how it ended."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path

from dltune.training.history import TrialResult


class EventKind(StrEnum):
    """STARTED comes once and first, EPOCH while a trial trains, TRIAL when one is over."""

    STARTED = "started"
    EPOCH = "epoch"
    TRIAL = "trial"


@dataclasses.dataclass(frozen=True, kw_only=True)
class StudyEvent:
    """Where the study stands.

    done         trials that are over, those of earlier sessions included.
    total        trials there will be.
    best         so far; None while no trial is complete.
    number       of the trial that the event is about; None at the start.
    epoch        that the trial has finished, from 1, and `epochs` how many it may run.
    result       of the trial, when it is over.
    grid_points  at the start: points of the grid; None for other strategies.
    notes        at the start: what was found out about the data.
    """

    kind: EventKind
    done: int
    total: int
    best: TrialResult | None = None
    number: int | None = None
    epoch: int | None = None
    epochs: int | None = None
    result: TrialResult | None = None
    grid_points: int | None = None
    notes: tuple[str, ...] = ()


class Ending(StrEnum):
    """How a study ended.

    COMPLETE     all trials that were wanted are done.
    EXHAUSTED    the space has no further point.
    INTERRUPTED  Ctrl-C; --resume goes on.
    STOPPED      the first trials all failed alike.
    """

    COMPLETE = "complete"
    EXHAUSTED = "exhausted"
    INTERRUPTED = "interrupted"
    STOPPED = "stopped"


@dataclasses.dataclass(frozen=True, kw_only=True)
class StudyEnd:
    """What a study came to.

    path      of the run folder.
    reason    why it ended, in words; empty when complete.
    trained   trials that this session has finished; 0 if a resumed study was complete already.
    total     trials that were wanted.
    results   of all trials, in order of number, without histories.
    best      of them; None if no trial is complete.
    examples  number of examples in each split.
    """

    path: Path
    ending: Ending
    reason: str
    trained: int
    total: int
    results: tuple[TrialResult, ...]
    best: TrialResult | None
    examples: Mapping[str, int | None]
