"""Standings in closed form, to be judged."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from dltune.search.pruning.base import Bracket, Standing, standing_of
from dltune.training.history import TrialRecord, TrialState
from tests.histories import history_of
from tests.training.configs import make_config


def record_of(
    number: int,
    dev_errors: Sequence[float],
    *,
    train: Sequence[float] | None = None,
    state: TrialState = TrialState.PRUNED,
    **fields: Any,
) -> TrialRecord:
    """A record whose epochs have these dev errors, and train losses (1 for all if not given)."""
    losses = [1.0] * len(dev_errors) if train is None else list(train)
    history = history_of(len(dev_errors), train=lambda e: losses[e - 1], dev=lambda e: 1.0)
    history = [
        dataclasses.replace(one, trial=number, dev_error=error, **fields)
        for one, error in zip(history, dev_errors, strict=True)
    ]
    return TrialRecord(
        number=number, seed=0, state=state, epochs=len(history), history=tuple(history)
    )


def standings(
    *errors: Sequence[float], epoch: int | None = None, alive: bool = True, **config: Any
) -> list[Standing]:
    """Of trials 0, 1, ... after as many epochs as there are dev errors."""
    return [
        standing_of(
            number,
            make_config(**config),
            record_of(number, curve),
            alive=alive,
            epoch=len(curve) if epoch is None else epoch,
        )
        for number, curve in enumerate(errors)
    ]


def one_bracket(trials: int, *rungs: int) -> Bracket:
    return Bracket(trials=tuple(range(trials)), rungs=rungs)
