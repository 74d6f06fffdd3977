"""A population on its way from turn to turn: population-based training, for the study's loop."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from dltune.recipe.recipe import Recipe
from dltune.recipe.schema import Config
from dltune.recipe.space import Space
from dltune.recipe.whole_file import replace_file
from dltune.runs.checkpoint import FOLDER, RUNNING
from dltune.runs.from_json import parse_json
from dltune.runs.running import Place, furthest, kept_trainings
from dltune.search.block import Block, longest_training
from dltune.search.executors.protocol import Stretch, TrialPaused
from dltune.search.pruning.base import Pruner, Standing, ranked, standing_of
from dltune.search.rungs import Rungs
from dltune.search.strategies.base import Strategy
from dltune.search.strategies.pbt import PopulationBased
from dltune.training.history import EpochRecord, Trial, TrialRecord, TrialState

SNAPSHOT = "population.json"


def course_of(
    block: Block, strategy: Strategy, pruner: Pruner | None, recipe: Recipe, run: Path
) -> Rungs | Population:
    """How the trials of a block come to their ends.

    run  the run folder, in which an earlier session may have left some of them.
    """
    if isinstance(strategy, PopulationBased):
        space = recipe.space
        return Population(strategy, space, block.trials, file=run / FOLDER / RUNNING / SNAPSHOT)
    numbers = {one.number for one in block.trials}
    kept = [one for one in kept_trainings(run) if one.place.number in numbers]
    over, epochs = block.over, longest_training(recipe)
    return Rungs(pruner, block.trials, over=over, kept=furthest(kept), epochs=epochs)


class Population:
    """Who trains next, how far, and from whose state; by the records of trials alone.

    It has the methods of `Rungs`. One that has diverged gives way at the next turn, whoever else
    does; one that has failed is over.

    strategy  whose proposals the trials are.
    space     of their values.
    trials    of the population that are to be trained, as they were proposed.
    file      where it is kept from turn to turn, perhaps by an earlier session; None for nowhere.
    """

    def __init__(
        self,
        strategy: PopulationBased,
        space: Space,
        trials: Sequence[Trial],
        *,
        file: Path | None = None,
    ) -> None:
        self._strategy, self._space, self._file = strategy, space, file
        self._trials = {trial.number: trial for trial in trials}
        self._histories: dict[int, tuple[EpochRecord, ...]] = {}
        self._places: dict[int, Place] = {}
        self._lost: dict[int, TrialRecord] = {}  # since the latest turn
        longest = max((one.config.train.epochs for one in trials), default=0)
        self._turns = list(strategy.turns(longest))
        self._is_last = False
        if file is not None and file.exists():
            # Where it is damaged, all begin anew, to the same end.
            with contextlib.suppress(OSError, ValueError, LookupError, TypeError, AttributeError):
                self._go_on(parse_json(file.read_bytes()))

    def _go_on(self, kept: Mapping[str, Any]) -> None:
        """Stand where an earlier session did after its latest turn.

        kept  as `keep` has written it.
        """
        members = {int(number): one for number, one in kept["members"].items()}
        if not self._trials.keys() <= members.keys():
            return  # of another block
        turns = [turn for turn in self._turns if turn > kept["turn"]]
        mine = {number: members[number] for number in self._trials}
        trials = {
            number: Trial(
                number=number,
                config=Config.model_validate(one["config"]),
                seed=one["seed"],
                values=one["values"],
            )
            for number, one in mine.items()
        }
        places = {number: Place(*one["place"]) for number, one in mine.items() if one["place"]}
        self._turns, self._trials, self._places = turns, trials, places

    def keep(self, turn: int) -> None:
        """Write down who trains what after a turn, and from which state."""
        members = {
            number: {
                "seed": one.seed,
                "config": one.config.model_dump(mode="json", by_alias=True),
                "values": dict(one.values),
                "place": self._places.get(number),
            }
            for number, one in self._trials.items()
        }
        if self._file is not None:
            with contextlib.suppress(OSError):  # a disk that is full ends no training
                self._file.parent.mkdir(parents=True, exist_ok=True)
                replace_file(self._file, json.dumps({"turn": turn, "members": members}))

    @property
    def files(self) -> set[str]:
        """The files that somebody goes on from."""
        return {place.file for number, place in self._places.items() if number in self._trials}

    def next(self) -> tuple[list[Trial], Stretch] | None:
        """The trials to train, and how far; None once nobody is left."""
        if self._is_last or not self._trials:
            return None
        self._is_last = not self._turns
        until = dict.fromkeys(self._trials, self._turns[0]) if self._turns else {}
        trials = list(self._trials.values())
        return trials, Stretch(until=until, kept=self._places).of(trials)

    def pause(self, paused: TrialPaused) -> None:
        """A trial has come to its turn."""
        number = paused.record.number
        self._histories[number] = paused.record.history
        self._places.pop(number, None)
        if paused.kept:
            self._places[number] = Place(paused.kept, number)

    def end(self, record: TrialRecord) -> bool:
        """A trial has ended; False if it is not over, as it gives way at the next turn."""
        if self._turns and record.state is TrialState.DIVERGED:
            self._lost[record.number] = record
            return False
        self._trials.pop(record.number, None)
        return True

    def judge(self) -> list[TrialRecord]:
        """Let the losers of a turn take over; those that end are all that there are, diverged."""
        if not self._turns:
            return []
        turn, lost = self._turns.pop(0), self._lost
        self._lost = {}
        if lost.keys() >= self._trials.keys():
            self._trials.clear()
            return list(lost.values())
        self._turn(turn, lost)
        self.keep(turn)
        return []

    def _turn(self, epoch: int, lost: Collection[int]) -> None:
        standing = [
            self._standing(number, epoch) for number in sorted(self._trials) if number not in lost
        ]
        order, trials, places = ranked(standing), dict(self._trials), dict(self._places)
        count = self._strategy.replaced(len(self._trials))
        winners = [one.number for one in order[: max(1, count)]]
        losers = [one.number for one in order[len(winners) :]][::-1]
        for loser in [*lost, *losers[: max(0, count - len(lost))]]:
            chance = self._strategy.generator(loser, epoch)
            winner = winners[int(chance.integers(len(winners)))]
            values = self._strategy.explore(self._values_at(trials[winner], epoch), chance)
            self._trials[loser] = self._taken_over(loser, trials[winner], values, epoch)
            self._places.pop(loser, None)
            if winner in places:
                self._places[loser] = places[winner]

    def _standing(self, number: int, epoch: int) -> Standing:
        """By its latest epoch: what is copied is a state, and not the best one that there was."""
        latest = self._histories[number][epoch - 1 : epoch]
        record = TrialRecord(number=number, seed=0, state=TrialState.PRUNED, history=latest)
        return standing_of(number, self._trials[number].config, record, alive=True, epoch=1)

    def _taken_over(
        self, number: int, winner: Trial, values: Mapping[str, float], epoch: int
    ) -> Trial:
        """The winner's training under another number, with other values from now on."""
        present = self._values_at(winner, epoch)
        replay = {key: list(points) for key, points in winner.config.replay.items()}
        for one in self._space.dimensions:
            if values[one.name] != present[one.name]:
                replay.setdefault(one.path, []).append((epoch, float(values[one.name])))
        config = winner.config.model_copy(update={"replay": replay})
        return dataclasses.replace(winner, number=number, config=config)

    def _values_at(self, trial: Trial, epoch: int) -> dict[str, float]:
        """The values of the space's dimensions after so many epochs, by name."""
        config, found = trial.config.at(epoch), dict[str, float]()
        for one in self._space.dimensions:
            section, _, key = one.path.partition(".")
            found[one.name] = getattr(getattr(config, section), key)
        return found
