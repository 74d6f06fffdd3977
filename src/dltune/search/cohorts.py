"""Which trials may train together as one stack, and how they are shared out over workers."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import math
from collections.abc import Sequence
from typing import Any

from dltune.recipe.schema import Config, FactoryConfig
from dltune.training.history import Trial

# What may differ from row to row of a stack: it becomes a number for each row, or decides how long
# a row stays. Everything else in a config decides shapes or kernels and is part of the key.
FREE_IN_A_STACK: dict[str, bool | set[str]] = {
    "optim": True,
    "schedule": True,
    "regularize": True,
    "train": {"seed", "epochs", "on_divergence"},
    "replay": True,
    "objective": {"target_error", "huber_delta"},
}
FREE_IN_A_MODEL = {"dropout"}  # of the built-in models


def shape_key(config: Config) -> str:
    """Trials with equal keys may be one stack.

    The arguments of a user's factory are not in it: what they do to the model only a model built
    with them tells (`training.stacked.kinds`).

    >>> from dltune.recipe.schema import AdamConfig, DataConfig, SgdConfig
    >>> wine = Config(data=DataConfig(source="sklearn:wine"), optim=SgdConfig(lr=0.1))
    >>> shape_key(wine) == shape_key(wine.model_copy(update={"optim": AdamConfig()}))
    True
    """
    free: Any = FREE_IN_A_STACK | {"model": _free_in(config)}
    document = config.model_dump(mode="json", by_alias=True, exclude=free)
    return json.dumps(document, sort_keys=True, separators=(",", ":"))


def _free_in(config: Config) -> set[str]:
    model = config.model
    return set(model.arguments()) if isinstance(model, FactoryConfig) else FREE_IN_A_MODEL


def shape_words(config: Config) -> str:
    """The shape of a trial in a few words, for a line to the user.

    >>> from dltune.recipe.schema import CnnConfig, DataConfig
    >>> digits = Config(data=DataConfig(source="sklearn:digits"), model=CnnConfig())
    >>> shape_words(digits)
    'cnn 16-32-64, batch 64'
    """
    model, batch = config.model, config.train.batch_size
    if isinstance(model, FactoryConfig):
        return f"{model.factory}, batch {batch}"
    widths = [*getattr(model, "filters", []), *model.hidden]
    layers = "-".join(map(str, widths)) if widths else "linear"
    return f"{model.name} {layers}, batch {batch}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Group:
    """Trials of equal shapes, in order of number.

    key  `shape_key`, for a user's model with a digest of its kind behind it.
    """

    key: str
    trials: tuple[Trial, ...]

    @property
    def config(self) -> Config:
        """Of the first trial: in what its shape depends on, all are like it."""
        return self.trials[0].config


def group_by_shape(trials: Sequence[Trial]) -> list[Group]:
    """The trials by `shape_key`; groups in order of their first trial."""
    groups: dict[str, list[Trial]] = {}
    for trial in sorted(trials, key=lambda trial: trial.number):
        groups.setdefault(shape_key(trial.config), []).append(trial)
    return [Group(key=key, trials=tuple(members)) for key, members in groups.items()]


def by_kind(group: Group, kinds: Sequence[str]) -> list[Group]:
    """A group of trials with a user's model, by the kind of each trial's model.

    kinds  one text for each trial, equal where the models may be rows of one stack.

    >>> from dltune.recipe.schema import DataConfig
    >>> config = Config(data=DataConfig(source="sklearn:wine"))
    >>> trials = [Trial(number=number, config=config, seed=0) for number in (1, 2, 5)]
    >>> groups = by_kind(Group(key="key", trials=tuple(trials)), ["narrow", "wide", "narrow"])
    >>> [[trial.number for trial in group.trials] for group in groups]
    [[1, 5], [2]]
    """
    members: dict[str, list[Trial]] = {}
    for trial, kind in zip(group.trials, kinds, strict=True):
        members.setdefault(kind, []).append(trial)
    return [
        Group(key=f"{group.key}#{_digest(kind)}", trials=tuple(trials))
        for kind, trials in members.items()
    ]


def _digest(kind: str) -> str:
    """Short enough for a key; with 64 bits two kinds of a study are never taken for one."""
    return hashlib.blake2b(kind.encode(), digest_size=8).hexdigest()


def split(trials: Sequence[Trial], stack: int, workers: int) -> list[list[Trial]]:
    """Cohorts of near-equal size, each of at most `stack` trials, in order.

    Their number is a multiple of `workers` where there are trials enough, so that in the last round
    no worker idles while another trains a full stack.

    >>> numbers = list(range(10))
    >>> [len(cohort) for cohort in split(numbers, stack=8, workers=2)]
    [5, 5]
    >>> [len(cohort) for cohort in split(numbers, stack=4, workers=2)]
    [3, 3, 2, 2]
    >>> [len(cohort) for cohort in split(numbers, stack=1, workers=4)] == [1] * 10
    True
    """
    count = math.ceil(len(trials) / stack)
    count = min(math.ceil(count / workers) * workers, len(trials))
    if count == 0:
        return []
    size, larger = divmod(len(trials), count)
    ends = [number * size + min(number, larger) for number in range(count + 1)]
    return [list(trials[start:end]) for start, end in itertools.pairwise(ends)]
