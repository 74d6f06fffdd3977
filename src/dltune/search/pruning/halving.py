"""Successive halving, and Hyperband: several of them side by side that begin to look later."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dltune.data.dataset import Dataset
from dltune.errors import UsageError
from dltune.search.pruning.base import Bracket, Standing, look, ranked

# Li et al. 2018 take 3 or 4, and e (2.7) is the best by their theory.
REDUCTION = 3
# Looks before the end of a training, where nothing else is said: with 3, at a ninth and a third.
LOOKS = 2


class Halving:
    """Of n trials the best n / reduction train on after each rung, in the same order of rungs.

    reduction   at least 2: by which the trials fall and the epochs rise from rung to rung.
    first_rung  epochs before the first look, at least 1; None for a training's epochs /
                reduction^2, so that there are two looks.

    A paused trial goes on from where it stands. Trials that fail or diverge rank last, complete
    ones keep their place, and each rung lets on at least one.

    Source: Jamieson & Talwalkar 2016, Non-stochastic best arm identification, AISTATS.
    """

    def __init__(self, *, reduction: int = REDUCTION, first_rung: int | None = None) -> None:
        if reduction < 2:
            raise UsageError(
                f"--reduction {reduction}: must be at least 2, as one in so many trains on",
                hint=f"Try --reduction {REDUCTION}.",
            )
        if first_rung is not None and first_rung < 1:
            raise UsageError(
                f"--first-rung {first_rung}: must be at least 1 epoch",
                hint="Leave it out: it is then a share of the epochs.",
            )
        self._reduction, self._first = reduction, first_rung

    @property
    def options(self) -> Mapping[str, int | float]:
        given = {"reduction": self._reduction}
        return given if self._first is None else given | {"first_rung": self._first}

    def rungs(self, epochs: int) -> tuple[int, ...]:
        """The epochs after which it is looked, for trainings of so many.

        >>> Halving().rungs(20), Halving(first_rung=1).rungs(30), Halving().rungs(1)
        ((2, 7), (1, 3, 9, 27), ())
        """
        factor = self._reduction
        at = epochs / factor**LOOKS if self._first is None else float(self._first)
        found: list[int] = []
        while round(at) < epochs:
            found += [round(at)] if round(at) >= 1 else []
            at *= factor
        return tuple(dict.fromkeys(found))

    def learn(self, dataset: Dataset) -> None:
        """It needs nothing of it."""

    def brackets(self, trials: Sequence[int], epochs: int) -> list[Bracket]:
        return [Bracket(trials=tuple(trials), rungs=self.rungs(epochs))]

    def judge(self, standings: Sequence[Standing], bracket: Bracket, rung: int) -> dict[int, str]:
        count = max(1, len(bracket.trials) // self._reduction ** (rung + 1))
        on = "goes on" if count == 1 else "go on"
        best = "the best" if count == 1 else f"the best {count}"
        return {
            one.number: f"{look(bracket, rung)}: rank {rank} of {len(standings)}, {best} {on}"
            for rank, one in enumerate(ranked(standings), start=1)
            if rank > count and one.alive
        }


class Hyperband(Halving):
    """Halvings side by side, of which each begins to look a rung later than the one before, and
    the last one never looks: early ranks may mislead.

    reduction, first_rung  as for `Halving`.

    Each bracket has the trials that take it about as many epochs as the others: of s + 1 looks (the
    last one is the end), in proportion to reduction^s / (s + 1). Trials are dealt out in turn by
    number, so that more of them change nothing for the first ones.

    Source: Li et al. 2018, Hyperband: a novel bandit-based approach to hyperparameter optimization,
    JMLR 18, algorithm 1.
    """

    def brackets(self, trials: Sequence[int], epochs: int) -> list[Bracket]:
        rungs = self.rungs(epochs)
        weights = [self._reduction**s / (s + 1) for s in range(len(rungs), -1, -1)]
        members: list[list[int]] = [[] for _ in weights]
        for place, number in enumerate(trials, start=1):
            owed = [
                weight / sum(weights) * place - len(mine)
                for weight, mine in zip(weights, members, strict=True)
            ]
            members[owed.index(max(owed))].append(number)
        return [
            Bracket(trials=tuple(mine), rungs=rungs[skipped:])
            for skipped, mine in enumerate(members)
            if mine
        ]
