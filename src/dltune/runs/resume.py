"""Whether a stopped study may go on with what is asked now: only with what it was started with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from dltune.errors import RunFolderError
from dltune.recipe.recipe import Recipe
from dltune.recipe.toml import shown
from dltune.runs.records import StudyMeta
from dltune.training.history import TrialResult

# More differences than this fill the screen; the first ones show what happened.
SHOWN = 5


def check_same_recipe(path: Path, stored: Recipe, given: Recipe) -> None:
    """Raise RunFolderError unless both recipes say the same; comments and layout may differ.

    path   the run folder.
    given  already relocated to `path`.
    """
    before, now = _leaves(stored), _leaves(given)
    differences = [
        f"{name} was {_said(before, name)}, is now {_said(now, name)}"
        for name in [*before, *(name for name in now if name not in before)]
        if _said(before, name) != _said(now, name)
    ]
    if differences:
        more = len(differences) - SHOWN
        listed = "; ".join(differences[:SHOWN]) + (f"; and {more} more" if more > 0 else "")
        raise RunFolderError(
            f"{path} was started with another recipe: {listed}",
            hint="Resume with the recipe unchanged, or start a new study with another --name.",
        )


def check_same_options(
    path: Path,
    meta: StudyMeta,
    *,
    strategy: str | None,
    seed: int | None,
    options: Mapping[str, Any],
    last: int | None,
    trials: int | None,
) -> None:
    """Raise RunFolderError unless what was asked for is what the study was started with.

    strategy, seed, trials  as asked for now; None for "as before".
    options                 only those that were asked for.
    last                    highest number of a trial that the study has, None if it has none;
                            `trials` may be any number that does not leave it out.
    """
    asked = {"--strategy": strategy, "--seed": seed}
    stored: dict[str, Any] = {"--strategy": meta.strategy, "--seed": meta.seed}
    asked |= {f"--{name}": value for name, value in options.items()}
    stored |= {f"--{name}": value for name, value in meta.options.items()}
    for name, value in asked.items():
        if value is not None and value != stored.get(name):
            raise RunFolderError(
                f"{path} was started with {name} {stored.get(name)}, not {value}",
                hint=f"Leave {name} out to go on, or start a new study with another --name.",
            )
    if trials is not None and last is not None and trials <= last:
        raise RunFolderError(
            f"{path} has a trial {last} already, and --trials {trials} ends with {trials - 1}",
            hint=f"Type --trials with {last + 1} or more; only more trials can be added.",
        )


def check_same_values(path: Path, stored: TrialResult, values: Mapping[str, Any]) -> None:
    """Raise RunFolderError unless a stored trial has the values that the strategy chooses for it.

    It chooses others where a library draws its random numbers otherwise than the one before.
    """
    before, now = stored.values, values
    differing = [
        f"{name} was {_said(before, name)}, would now be {_said(now, name)}"
        for name in sorted({*before, *now})
        if name not in before or name not in now or before[name] != now[name]
    ]
    if differing:
        raise RunFolderError(
            f"{path}: trial {stored.number} does not repeat: {'; '.join(differing[:SHOWN])}",
            hint="Go on with the versions of dltune and numpy that started the study, "
            "or start a new one with another --name.",
        )


def _leaves(recipe: Recipe) -> dict[str, Any]:
    """The values and whole ranges of a recipe by dotted path."""
    return dict(_walk(recipe.table, "", {one.path for one in recipe.space.dimensions}))


def _walk(table: Mapping[str, Any], prefix: str, ranges: set[str]) -> Iterable[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, Mapping) and prefix + key not in ranges:
            yield from _walk(value, f"{prefix}{key}.", ranges)
        else:
            yield prefix + key, value


def _said(leaves: Mapping[str, Any], name: str) -> str:
    return shown(leaves[name]) if name in leaves else "not given"
