"""One trial as its epochs tell: which was the best, and whether it is done."""

from __future__ import annotations

import math
from collections.abc import Iterable

from dltune.training.engine import Stop
from dltune.training.history import EpochRecord, Trial, TrialState
from dltune.training.reactions import Reactions

# A stopped trial in one of these states has an objective: it ended in good health.
USABLE = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.INTERRUPTED)


class Monitor:
    """Follows one trial: its history, its best epoch, and whether it is done.

    The objective is `dev_error` or `dev_loss`; only a strictly smaller one counts as better. On
    equal error the earlier epoch stays: less training for the same result.

    seconds  a trial that is not done after so many fails; None for no limit.
    history  the epochs that it has had, and has outlived.

    reactions  of the trial to its epochs.
    turns      the numbers of epochs after which its settings change.
    """

    def __init__(
        self,
        trial: Trial,
        *,
        seconds: float | None = None,
        history: Iterable[EpochRecord] = (),
    ) -> None:
        self.trial = trial
        self._seconds = math.inf if seconds is None else seconds
        self.history: list[EpochRecord] = []
        self.best: EpochRecord | None = None
        self.stop: Stop | None = None
        self.reactions = Reactions(trial.config)
        self.turns = {epoch for points in trial.config.replay.values() for epoch, _ in points}
        for record in history:
            self.see(record)
        self.stop = None

    def see(self, record: EpochRecord) -> bool:
        """Take in one epoch; True if it is the best so far."""
        self.history.append(record)
        self.reactions.see(record)
        diverged = record.non_finite
        improved = not diverged and (
            self.best is None or self.objective(record) < self.objective(self.best)
        )
        if improved:
            self.best = record
        # One that is over without any good epoch has come to nothing.
        outlives = self.reactions.outlives and (self.best is not None or not self.done)
        if diverged and not outlives:
            reason = f"non-finite {diverged} in epoch {record.epoch}"
            self.stop = Stop(state=TrialState.DIVERGED, reason=reason)
        elif not self.done and math.fsum(one.seconds for one in self.history) > self._seconds:
            reason = f"timeout: more than {self._seconds:g} s"
            self.stop = Stop(state=TrialState.FAILED, reason=reason)
        return improved

    def interrupt(self, reason: str) -> Monitor:
        """Let it end after the epochs that it has had; itself, for a list."""
        epochs = f"{len(self.history)} of {self.trial.config.train.epochs}"
        reason = f"{reason} after epoch {epochs}"
        self.stop = Stop(state=TrialState.INTERRUPTED, reason=reason)
        return self

    @property
    def done(self) -> bool:
        """Whether the trial trains no further."""
        if self.stop is not None:
            return True
        epoch, patience = len(self.history), self.trial.config.regularize.early_stop
        waited = epoch - (self.best.epoch if self.best else 0)
        return epoch >= self.trial.config.train.epochs or (
            patience is not None and waited >= patience
        )

    @property
    def usable(self) -> bool:
        """Whether its best epoch counts: what blew up is no candidate, however good before."""
        return self.best is not None and (self.stop is None or self.stop.state in USABLE)

    def objective(self, record: EpochRecord) -> float:
        """The metric that the recipe asks to minimise."""
        return float(getattr(record, self.trial.config.objective.metric))
