"""What a study tells its caller: events while it runs, and how it ended."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TypedDict

from dltune.training.history import EpochRecord, TrialRecord


class EventKind(StrEnum):
    """STARTED comes once and first, TRAINING once when the first trial begins.

    EPOCH comes while trials train, TRIAL when one is over. NOTED is about how they are trained, for
    those who want to know. STOPPING comes after a signal, before trials end as far as they are.
    """

    STARTED = "started"
    TRAINING = "training"
    EPOCH = "epoch"
    TRIAL = "trial"
    NOTED = "noted"
    STOPPING = "stopping"


@dataclasses.dataclass(frozen=True, kw_only=True)
class StudyEvent:
    """Where the study stands.

    done         trials that are over, those of earlier sessions included.
    total        trials there will be.
    metric       what is minimised: "dev_error" or "dev_loss".
    best         so far; None while no trial is complete.
    running      trials that train now.
    share        what those have behind them, each as the share of its epochs, summed.
    leader       the best epoch that any of those has had; None before there is one.
    records      of the epochs that have just ended: of one trial or of many, at most one of each.
    trial        the one that is over.
    grid_points  at the start: points of the grid; None for other strategies.
    notes        at the start: what was found out about the data; later how trials are trained, or
                 what stops them.
    """

    kind: EventKind
    done: int
    total: int
    metric: str = "dev_error"
    best: TrialRecord | None = None
    running: int = 0
    share: float = 0.0
    leader: EpochRecord | None = None
    records: Sequence[EpochRecord] = ()
    trial: TrialRecord | None = None
    grid_points: int | None = None
    notes: tuple[str, ...] = ()


class EventParts(TypedDict, total=False):
    """The parts of an event that only some kinds have."""

    records: Sequence[EpochRecord]
    trial: TrialRecord
    grid_points: int | None
    notes: tuple[str, ...]


class Ending(StrEnum):
    """How a study ended.

    COMPLETE     all trials that were wanted are done.
    EXHAUSTED    the space has no further point.
    INTERRUPTED  Ctrl-C, SIGTERM or SIGHUP; --resume goes on.
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
    signal    number of the one that has interrupted it; 0 if none has.
    audit     pruned trials that were to be trained to their ends.
    trials    those that are done, in order of number, without histories.
    best      of them and of those that were interrupted; None if none has come to anything.
    """

    path: Path
    ending: Ending
    reason: str
    trained: int
    total: int
    trials: tuple[TrialRecord, ...]
    best: TrialRecord | None
    signal: int = 0
    audit: int = 0
