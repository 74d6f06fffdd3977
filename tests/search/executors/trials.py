"""Trials for the tests of executors: small, and with whatever a user's model may do."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from dltune.recipe.files import parse_recipe
from dltune.recipe.schema import Config
from dltune.search.executors.protocol import (
    EpochEnded,
    Executor,
    Noted,
    Progress,
    TrialEnded,
    TrialStarted,
)
from dltune.training.history import Trial, TrialRecord

WINE = """\
data.source = "sklearn:wine"
optim.lr = 0.01
train.epochs = 2
train.batch_size = 32
train.device = "cpu"
"""
BUILT_IN = ("model.hidden=[8]",)
EXAMPLES = {"train": 106, "curve": 106, "dev": 36, "test": 36}


def config(*overrides: str, text: str = WINE) -> Config:
    return parse_recipe(text, folder=Path(), overrides=overrides).config()


def trial(number: int, *overrides: str) -> Trial:
    """A trial whose learning rate, seed and whatever else is its own."""
    settings = [f"optim.lr={0.01 * (number + 1)}", *overrides]
    if not any(one.startswith("model.") for one in settings):
        settings += BUILT_IN
    return Trial(number=number, config=config(*settings), seed=100 + number)


def own(number: int, function: str, *overrides: str) -> Trial:
    """A trial with the user's model of that name, in net.py."""
    return trial(number, f'model.factory="net.py:{function}"', *overrides)


@dataclasses.dataclass
class Seen:
    """What an executor has told, sorted by kind."""

    progress: list[Progress]

    def __iter__(self) -> Iterator[Progress]:
        return iter(self.progress)

    @property
    def started(self) -> list[int]:
        return [one.trial.number for one in self.progress if isinstance(one, TrialStarted)]

    @property
    def ended(self) -> dict[int, TrialEnded]:
        found = [one for one in self.progress if isinstance(one, TrialEnded)]
        assert len({one.record.number for one in found}) == len(found), "a trial ended twice"
        return {one.record.number: one for one in found}

    @property
    def results(self) -> dict[int, TrialRecord]:
        return {number: one.record for number, one in sorted(self.ended.items())}

    @property
    def notes(self) -> list[str]:
        return [one.text for one in self.progress if isinstance(one, Noted)]

    @property
    def epochs(self) -> list[tuple[int, int]]:
        ends = [one for one in self.progress if isinstance(one, EpochEnded)]
        return [(record.trial, record.epoch) for one in ends for record in one.records]


def train(executor: Executor, trials: Sequence[Trial], best: TrialRecord | None = None) -> Seen:
    return Seen(list(executor.run(trials, best=best)))


def numbers(results: Iterable[TrialRecord]) -> list[str]:
    """All that was measured, but for the time it took; as text, in which NaN equals NaN."""
    found = []
    for result in results:
        fields = dataclasses.asdict(result)
        del fields["seconds"]
        for record in fields["history"]:
            del record["seconds"]
        found.append(repr(fields))
    return found
