"""The trials that train now, or pause: how far they are, and which of them does best."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from dltune.training.history import EpochRecord, Trial, TrialRecord, TrialState


class Running:
    """Follows hundreds of trials at the cost of a few dictionary entries an epoch.

    metric  what the study minimises: "dev_error" or "dev_loss".

    >>> len(Running("dev_error")), Running("dev_error").share, Running("dev_error").leader
    (0, 0.0, None)
    """

    def __init__(self, metric: str) -> None:
        self._metric = metric
        self._trials: dict[int, Trial] = {}
        self._epochs: dict[int, int] = {}
        self._best: dict[int, EpochRecord] = {}  # by trial, the epoch with the smallest metric
        self._leader: EpochRecord | None = None
        self._share = 0.0
        self._paused: set[int] = set()

    def __len__(self) -> int:
        return len(self._trials) - len(self._paused)

    @property
    def share(self) -> float:
        """What the trials have behind them, each as the share of its epochs, summed."""
        return self._share if self._trials else 0.0

    @property
    def leader(self) -> EpochRecord | None:
        """The best epoch that any of them has had; None before there is one."""
        return self._leader

    def interrupted(self) -> list[TrialRecord]:
        """The trials in order of number, as they are if they are cut off now."""
        return [
            self._trials[number].record(
                TrialState.INTERRUPTED,
                "interrupted while it paused; --resume goes on with it"
                if number in self._paused
                else "interrupted; --resume trains it again",
                epochs=self._epochs[number],
                **self._measured(number),
            )
            for number in sorted(self._trials)
        ]

    def _measured(self, number: int) -> dict[str, Any]:
        """What is known of its best epoch; no objective, as its weights are lost."""
        best = self._best.get(number)
        if best is None:
            return {}
        names = ("train_loss", "train_error", "dev_loss", "dev_error")
        return {"best_epoch": best.epoch, **{name: getattr(best, name) for name in names}}

    def start(self, trial: Trial) -> None:
        """A trial begins, or goes on after a pause; one that runs begins anew: its worker died."""
        if trial.number in self._paused:
            self._paused.remove(trial.number)
            return
        self.end(trial.number)
        self._trials[trial.number], self._epochs[trial.number] = trial, 0

    def pause(self, number: int) -> None:
        """A trial waits for others; its share and its best epoch still count."""
        self._paused.add(number)

    def see(self, records: Sequence[EpochRecord]) -> None:
        """Trials that run have ended an epoch; late news of one that is over is left out."""
        for record in records:
            number, trial = record.trial, self._trials.get(record.trial)
            if trial is None:
                continue
            self._share += (record.epoch - self._epochs[number]) / trial.config.train.epochs
            self._epochs[number] = record.epoch
            if self._metric_of(record) < self._metric_of(self._best.get(number)):
                self._best[number] = record
                if self._metric_of(record) < self._metric_of(self._leader):
                    self._leader = record

    def end(self, number: int) -> None:
        """A trial is over; one that does not run is none of ours."""
        self._paused.discard(number)
        trial = self._trials.pop(number, None)
        if trial is None:
            return
        self._share -= self._epochs.pop(number) / trial.config.train.epochs
        if self._best.pop(number, None) is self._leader:
            self._leader = min(self._best.values(), key=self._metric_of, default=None)

    def _metric_of(self, record: EpochRecord | None) -> float:
        """The metric; infinite for no record, and no NaN, which would be smaller than nothing."""
        metric = math.inf if record is None else float(getattr(record, self._metric))
        return math.inf if math.isnan(metric) else metric
