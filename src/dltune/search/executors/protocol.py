"""The contract of an executor: trials in, what happens to them out.

An executor trains; it neither chooses trials nor writes what comes of them. Each way of running
trials (this process, worker processes, later other machines) keeps this contract, and the study
does not know which one it has.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from dltune.errors import DltuneError
from dltune.runs.checkpoint import PackedCheckpoint
from dltune.runs.running import Place
from dltune.training.history import EpochRecord, Trial, TrialRecord


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrialStarted:
    """A trial is about to be trained.

    It may come again for the same trial, where a worker died or a stack did not fit: the trial
    then starts from its first epoch.
    """

    trial: Trial


@dataclasses.dataclass(frozen=True, kw_only=True)
class EpochEnded:
    """The newest records of trials that are alive.

    For showing how far they are. Records may be left out where epochs are short; all of them are
    in the result's history.
    """

    records: Sequence[EpochRecord]


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrialEnded:
    """A trial is over.

    record      with its history.
    checkpoint  its weights; None where the trial cannot become the best, because it has no
                objective or was beaten before it ended.
    """

    record: TrialRecord
    checkpoint: PackedCheckpoint | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrialPaused:
    """A trial has trained as far as it was to, and may go on.

    record  what became of it should it not go on: pruned, with its history.
    kept    the file from which it goes on; empty if there was no room for one.
    """

    record: TrialRecord
    kept: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Environment:
    """What a process trains with; told before its first trial ends, and when it has changed.

    files    the contents of the user's files that it has imported, by path.
    threads  of torch.
    device   such as "cpu".
    """

    files: Mapping[Path, bytes]
    threads: int
    device: str

    def after(self, earlier: Environment | None) -> Environment:
        """The same with the files of another process, or of the same one before, as well."""
        files = {**({} if earlier is None else earlier.files), **self.files}
        return dataclasses.replace(self, files=files)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Noted:
    """A line for who wants to know more: how the trials of one shape are trained, and why so."""

    text: str


Progress = TrialStarted | EpochEnded | TrialEnded | TrialPaused | Environment | Noted


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stretch:
    """From where to where trials are trained.

    until  after how many epochs each of them pauses, by number; to its end if it is not there.
    kept   where each goes on from (`runs.running`), by number; from its start if there is nothing.
           A file only saves time: whatever is in it, the numbers are the same.
    """

    until: Mapping[int, int] = dataclasses.field(default_factory=dict)
    kept: Mapping[int, Place] = dataclasses.field(default_factory=dict)

    def of(self, trials: Sequence[Trial]) -> Stretch:
        """Of these trials alone."""
        numbers = {trial.number for trial in trials}
        return Stretch(
            until={number: one for number, one in self.until.items() if number in numbers},
            kept={number: one for number, one in self.kept.items() if number in numbers},
        )


WHOLE = Stretch()


class Executor(Protocol):
    """Trains trials; a context manager that is closed at its end."""

    def run(
        self, trials: Sequence[Trial], *, best: TrialRecord | None, stretch: Stretch = WHOLE
    ) -> Generator[Progress, None, None]:
        """Train the trials; every one ends or pauses once, in any order, after it has started.

        trials   of any shapes; numbers must differ.
        best     of the study so far; decides which trials bring a checkpoint.
        stretch  how far they are trained.

        What goes wrong inside a trial is its result. KeyboardInterrupt passes through. A caller
        that has enough closes the generator, which ends the training at once.
        """
        ...

    def check(self, trials: Sequence[Trial], *, folder: Path) -> DltuneError | None:
        """What is wrong with all of these trials, as far as that shows before one is trained.

        trials  with the same data; the first one that can be trained ends the check.
        folder  where their model factories are looked up.

        None where one can be trained, and where only training will tell.
        """
        ...

    def stop(self, reason: str, *, seconds: float | None = None) -> None:
        """Let what trains end after its next update, as interrupted trials; begin nothing new.

        To be called while `run` runs, also by the handler of a signal.

        reason   such as "stopped by Ctrl-C".
        seconds  after which trials that still train are given up, where they train in processes of
                 their own; None for no limit.
        """
        ...

    def close(self) -> None:
        """Let go of what training needs (processes, temporary files); more than once is fine."""
        ...

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
