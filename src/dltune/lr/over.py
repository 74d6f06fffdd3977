"""The learning rate against another hyperparameter: how edge and suggestion shift."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

from dltune.lr.find import Loaded, LrFind, find_lr
from dltune.lr.find import load as load_from_folder
from dltune.lr.sweep import Watch
from dltune.lr.validation.plan import DEFAULT_BUDGET
from dltune.recipe.schema import Config


@dataclasses.dataclass(frozen=True, kw_only=True)
class OverRow:
    """One value of the other hyperparameter, as text, and what was found with it."""

    value: str
    result: LrFind


def find_over(
    key: str,
    configs: Sequence[tuple[str, Config]],
    *,
    folder: Path,
    low: float | None = None,
    high: float | None = None,
    steps: int | None = None,
    seeds: int,
    validate: bool | None = False,
    budget: float = DEFAULT_BUDGET,
    load: Callable[[Config], Loaded | None] | None = None,
    say: Callable[[str], None] | None = None,
    watch: Watch | None = None,
) -> list[OverRow]:
    """Find the learning rate for every value of another key.

    key      dotted path of the value in which the configs differ.
    configs  the values as text, and the configs that have them; at least one.

    load     gives the data of a config, or None to have them loaded.

    The rest is as in `find_lr`. A sweep does not see the schedule: values of [schedule] are
    compared by validation, whatever `validate` says.

    Source: Smith 2018 (1803.09820) reads range tests at several weight decays side by side.

    Raises what `find_lr` raises.
    """
    if key.startswith("schedule."):
        validate = True
    loaded, of, rows = None, None, []
    for value, config in configs:
        if loaded is None or config.data != of:
            there = None if load is None else load(config)
            loaded, of = there or load_from_folder(config, folder=folder), config.data
        result = find_lr(
            config,
            folder=folder,
            low=low,
            high=high,
            steps=steps,
            seeds=seeds,
            validate=validate,
            budget=budget,
            loaded=loaded,
            say=None if say is None else lambda text, value=value: say(f"{key} {value}: {text}"),  # type: ignore[misc]
            watch=watch,
        )
        rows.append(OverRow(value=value, result=result))
    return rows
