"""The trials that a strategy proposes at a time, as they are trained: values become configs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from dltune.errors import RecipeError
from dltune.recipe.recipe import Recipe
from dltune.recipe.schema import Config
from dltune.recipe.validation import probes
from dltune.runs.folder import RunFolder
from dltune.runs.history_csv import read_history
from dltune.runs.resume import check_same_values
from dltune.runs.run import HISTORY
from dltune.search.strategies.base import Proposal, Strategy
from dltune.training.history import Trial, TrialRecord, TrialState, without_gap
from dltune.training.seeds import trial_seed

# Trials asked for at a time; a strategy that learns gives a generation at most. Workers wait for
# each other only at the end of such a block, and it is asked for and built in a tenth of a second.
ASK_AT_ONCE = 1024


@dataclasses.dataclass(frozen=True, kw_only=True)
class Block:
    """What is to be done with some proposals.

    trials      to be trained.
    impossible  what became of those whose values make no valid config.
    over        those that an earlier session has trained, by number, with their configs and
                histories; empty where nobody is compared with them.
    """

    trials: tuple[Trial, ...]
    impossible: tuple[TrialRecord, ...]
    over: Mapping[int, tuple[Config, TrialRecord]]

    @property
    def numbers(self) -> list[int]:
        """Of all that this session brings to an end."""
        return sorted([*(one.number for one in self.trials), *(r.number for r in self.impossible)])


def longest_training(recipe: Recipe) -> int:
    """The epochs of the longest training that the space of a recipe allows."""
    return max(recipe.config(point).train.epochs for point in probes(recipe.space))


def first_open(trials: Mapping[int, TrialRecord], strategy: Strategy, *, pruned: bool) -> int:
    """The first trial that has to do with what is still to be trained.

    trials  that are over, by number.
    pruned  whether the trials of a block are compared: then it is the first of its block.
    """
    done = len(without_gap(trials))
    return done - done % (strategy.generation or ASK_AT_ONCE) if pruned else done


def block_of(
    proposals: Sequence[Proposal],
    folder: RunFolder,
    done: Mapping[int, TrialRecord],
    *,
    pruned: bool,
    moves: bool = False,
) -> Block:
    """The block of these proposals.

    done    trials that are over, by number.
    pruned  whether trials are compared with each other.
    moves   whether their values change while they are trained: then a record has other ones.

    Raises RunFolderError if a trial that is over had other values.
    """
    for one in proposals:
        if one.number in done and not moves:
            check_same_values(folder.path, done[one.number], one.values)
    made = [trial_of(one, folder) for one in proposals if pruned or one.number not in done]
    trials = {one.number: one for one in made if isinstance(one, Trial)}
    over = {number: done[number] for number in trials if number in done}
    histories = read_history(folder.path / HISTORY, over) if over else {}
    return Block(
        trials=tuple(one for number, one in trials.items() if number not in done),
        impossible=tuple(
            one for one in made if isinstance(one, TrialRecord) and one.number not in done
        ),
        over={
            number: (
                trials[number].config,
                dataclasses.replace(record, history=histories.get(number, ())),
            )
            for number, record in over.items()
        },
    )


def trial_of(proposal: Proposal, folder: RunFolder) -> Trial | TrialRecord:
    """The trial of a proposal, or what became of it if its values make no valid config."""
    number, values = proposal.number, proposal.values
    seed = trial_seed(folder.about.seed, number)
    try:
        config = with_seed(folder.recipe.config(values), seed)
    except RecipeError as error:
        ranges = folder.recipe.space.dimensions
        return TrialRecord(
            number=number,
            seed=seed,
            state=TrialState.FAILED,
            reason=f"recipe: {error.found}",
            values=values,
            config={one.path: values[one.name] for one in ranges if one.name in values},
        )
    return Trial(number=number, config=config, seed=seed, values=values)


def with_seed(config: Config, seed: int) -> Config:
    """The config that trains this very trial again, by itself.

    >>> from dltune.recipe.schema import DataConfig
    >>> with_seed(Config(data=DataConfig(source="sklearn:wine")), 7).train.seed
    7
    """
    return config.model_copy(update={"train": config.train.model_copy(update={"seed": seed})})
