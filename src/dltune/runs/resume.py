"""Whether a stopped study may go on with what is asked now: only with what it was started with."""

from __future__ import annotations

import dataclasses
import os
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from dltune.errors import RecipeError, RunFolderError
from dltune.recipe.files import names_file
from dltune.recipe.recipe import Recipe
from dltune.recipe.toml import shown
from dltune.runs.about import GIVEN, About
from dltune.runs.provenance import changes_of_files, versions
from dltune.runs.run import RECIPE, Run
from dltune.training.history import TrialRecord

# More differences than this fill the screen; the first ones show what happened.
SHOWN = 5


def check_same_recipe(path: Path, stored: Recipe, given: Recipe) -> None:
    """Raise RunFolderError unless both recipes say the same; comments and layout may differ.

    path   the run folder.
    given  already relocated to `path`.
    """
    differences = [
        f"{name} was {before}, is now {now}" for name, before, now in recipe_changes(stored, given)
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
    about: About,
    *,
    strategy: str | None,
    seed: int | None,
    options: Mapping[str, Any],
    prune: str | None = None,
    prune_options: Mapping[str, Any] | None = None,
    last: int | None,
    trials: int | None,
) -> None:
    """Raise RunFolderError unless what was asked for is what the study was started with.

    strategy, seed, prune, trials  as asked for now; None for "as before".
    options, prune_options  only those that were asked for.
    last                    highest number of a trial that the study has, None if it has none;
                            `trials` may be any number that does not leave it out.
    """
    asked = {"--strategy": strategy, "--seed": seed, "--prune": prune}
    stored: dict[str, Any] = {"--strategy": about.strategy, "--seed": about.seed}
    stored["--prune"] = about.pruner
    asked |= _as_typed({**options, **(prune_options or {})})
    stored |= _as_typed({**about.options, **about.pruner_options})
    for name, value in asked.items():
        if value is not None and value != stored.get(name):
            raise RunFolderError(
                f"{path} was started with {_said_of(name, stored)}, not {value}",
                hint=f"Leave {name} out to go on, or start a new study with another --name.",
            )
    if trials is not None and last is not None and trials <= last:
        raise RunFolderError(
            f"{path} has a trial {last} already, and --trials {trials} ends with {trials - 1}",
            hint=f"Type --trials with {last + 1} or more; only more trials can be added.",
        )


def _said_of(name: str, stored: Mapping[str, Any]) -> str:
    return f"{name} {stored[name]}" if name in stored else f"no {name} of its own"


def _as_typed(options: Mapping[str, Any]) -> dict[str, Any]:
    return {f"--{name.replace('_', '-')}": value for name, value in options.items()}


def check_same_values(path: Path, stored: TrialRecord, values: Mapping[str, Any]) -> None:
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


def check_same_kind(run: Run) -> None:
    """Raise RunFolderError unless the run is a search whose data and code can be compared."""
    if run.about.command != "search":
        command = f"dltune search {shlex.quote(str(run.path / 'recipe.toml'))}"
        ranges = "" if len(run.recipe.space) else " --space optim.lr=log:1e-4:1e-1"
        raise RunFolderError(
            f"{run.path} is a run of dltune {run.about.command}, which a search cannot go on with",
            hint=f"Start one from its recipe: {command}{ranges} --trials 32",
        )
    if run.about.format == 0:
        raise RunFolderError(
            f"{run.path} was written by an older dltune, without hashes of its data and code: "
            "nothing tells whether new trials could be compared with the old ones",
            hint="Start a new study with another --name; report and diagnose read the old one.",
        )


def check_stored_values(run: Run) -> None:
    """Raise RunFolderError unless the values of every trial lie in the space of the recipe."""
    for trial in run.trials:
        try:
            run.recipe.space.check_values(trial.values)
        except RecipeError as mistake:
            raise RunFolderError(
                f"{run.path}: trial {trial.number} is not of its {RECIPE}: {mistake.found}",
                hint=f"Put the {RECIPE} of the study back, or start a new one with another --name.",
            ) from None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Changes:
    """What is not as it was when a run was last trained, in words.

    gone   data files that are not there any more.
    code   files of the user's code.
    other  all else: data, torch.
    """

    gone: tuple[str, ...]
    code: tuple[str, ...]
    other: tuple[str, ...]


def changed_conditions(run: Run, data: Mapping[str, str]) -> Changes:
    """What has changed since the run was last trained.

    data  SHA-256 by source of what would be trained on now; those of files are looked up here.
    """
    about, before = run.about, run.about.data_hashes
    files = {_shown_path(run.path, name): before[name] for name in before if names_file(name)}
    gone = [name for name in files if not Path(name).is_file()]
    other = changes_of_files(files, Path(), names=[name for name in files if name not in gone])
    other += [
        f"{name.partition('#')[0]} gives other data"
        for name, digest in data.items()
        if not names_file(name) and name != GIVEN and digest != before.get(name, digest)
    ]
    if before.get(GIVEN) != data.get(GIVEN):
        other.append("the data set that Python code passes is another one")
    now = versions()["torch"]
    if about.torch != now:
        other.append(f"torch was {about.torch}, is now {now}")
    code = changes_of_files(about.code_hashes, run.path / about.origin)
    return Changes(
        gone=tuple(f"{name} is gone" for name in gone), code=tuple(code), other=tuple(other)
    )


def check_same_conditions(
    run: Run, data: Mapping[str, str], *, accept: bool
) -> dict[str, tuple[str, ...]]:
    """What the session that begins has to say of changes: `accepted` or `mended`, or nothing.

    Where the user's code alone has changed, and no trial is complete, all may be trained again with
    the code as it is now: nothing is mixed.

    data    as for `changed_conditions`.
    accept  whether changes are accepted.

    Raises RunFolderError for changes that are not, and for data that are gone.
    """
    changes = changed_conditions(run, data)
    if changes.code and not changes.other and not changes.gone and not run.has_complete:
        return {"mended": changes.code}
    all_of_them = (*changes.gone, *changes.code, *changes.other)
    if changes.gone or (all_of_them and not accept):
        way_on = "" if changes.gone else ", or type --accept-changes: the run then says so"
        raise RunFolderError(
            f"{run.path} cannot go on as it began: {'; '.join(all_of_them[:SHOWN])}",
            hint=f"Put it back, or start a new study with another --name{way_on}.",
        )
    return {"accepted": all_of_them} if all_of_them else {}


def _shown_path(folder: Path, name: str) -> str:
    """The path of a file that is named from a folder, as one would type it here."""
    absolute = Path(os.path.normpath(os.path.join(os.path.realpath(folder), name)))
    here = Path.cwd().resolve()
    return str(absolute.relative_to(here) if absolute.is_relative_to(here) else absolute)


def recipe_changes(first: Recipe, second: Recipe) -> list[tuple[str, str, str]]:
    """Where two recipes differ: the dotted path, and what the first and the second have there.

    Whole ranges are compared; comments and layout are not.
    """
    before, now = _leaves(first), _leaves(second)
    names = [*before, *(name for name in now if name not in before)]
    said = [(name, _said(before, name), _said(now, name)) for name in names]
    return [one for one in said if one[1] != one[2]]


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
