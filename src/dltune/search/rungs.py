"""The trials of a block on their way from rung to rung."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from dltune.recipe.schema import Config
from dltune.runs.running import Place
from dltune.search.executors.protocol import Stretch, TrialPaused
from dltune.search.pruning.base import Bracket, Pruner, Standing, standing_of
from dltune.training.history import Trial, TrialRecord, TrialState


class Rungs:
    """Who trains next and how far, and who ends where; by the records of trials alone.

    pruner  None lets everybody train to the end.
    trials  of the block that are to be trained, in any order.
    over    those of it that are over already, by number, with their histories and configs.
    kept    where trials go on from, by number.
    epochs  of the longest training that the space allows: of it the rungs are shares.
    """

    def __init__(
        self,
        pruner: Pruner | None,
        trials: Sequence[Trial],
        *,
        over: Mapping[int, tuple[Config, TrialRecord]],
        kept: Mapping[int, Place],
        epochs: int = 0,
    ) -> None:
        self._pruner = pruner
        self._living = {trial.number: trial for trial in trials}
        self._configs = {one.number: one.config for one in trials}
        self._configs |= {number: config for number, (config, _) in over.items()}
        self._records = {number: record for number, (_, record) in over.items()}
        self._kept = dict(kept)
        everybody = sorted(self._configs)
        self._brackets = [] if pruner is None else pruner.brackets(everybody, epochs)
        self._looks = dict.fromkeys(range(len(self._brackets)), 0)  # that each bracket has had
        self._is_last = False

    @property
    def files(self) -> set[str]:
        """The files that somebody goes on from."""
        return {self._kept[number].file for number in self._living if number in self._kept}

    def next(self) -> tuple[list[Trial], Stretch] | None:
        """The trials to train, and how far; None once nobody is left."""
        if self._is_last or not self._living:
            return None
        until: dict[int, int] = {}
        for place, bracket in enumerate(self._brackets):
            look = self._looks[place]
            if look < len(bracket.rungs):
                alive = [number for number in bracket.trials if number in self._living]
                until |= dict.fromkeys(alive, bracket.rungs[look])
        self._is_last = not until
        trials = list(self._living.values())
        return trials, Stretch(until=until, kept=self._kept).of(trials)

    def pause(self, paused: TrialPaused) -> None:
        """A trial has come to its rung."""
        number = paused.record.number
        self._records[number] = paused.record
        self._kept.pop(number, None)
        if paused.kept:
            self._kept[number] = Place(paused.kept, number)

    def end(self, record: TrialRecord) -> bool:
        """A trial is over, which is True; its history counts."""
        self._records[record.number] = record
        self._living.pop(record.number, None)
        return True

    def judge(self) -> list[TrialRecord]:
        """Those that end at the rungs to which everybody has come, in order of number."""
        ended: list[TrialRecord] = []
        for place, bracket in enumerate(self._brackets):
            look = self._looks[place]
            if look < len(bracket.rungs):
                self._looks[place] += 1
                ended += self._judge(bracket, look)
        return sorted(ended, key=lambda record: record.number)

    def _judge(self, bracket: Bracket, rung: int) -> list[TrialRecord]:
        assert self._pruner is not None
        there = [number for number in bracket.trials if not self._has_left(number, bracket, rung)]
        standings = [self._standing(number, bracket.rungs[rung]) for number in there]
        reasons = self._pruner.judge(standings, bracket, rung)
        for number in reasons:
            del self._living[number]
        return [
            dataclasses.replace(self._records[number], reason=reason)
            for number, reason in reasons.items()
        ]

    def _has_left(self, number: int, bracket: Bracket, rung: int) -> bool:
        """Whether an earlier rung has ended it."""
        if number in self._living or number not in self._records:
            return False
        record = self._records[number]
        return record.state is TrialState.PRUNED and record.epochs < bracket.rungs[rung]

    def _standing(self, number: int, epoch: int) -> Standing:
        return standing_of(
            number,
            self._configs[number],
            self._records.get(number),
            alive=number in self._living,
            epoch=epoch,
        )
