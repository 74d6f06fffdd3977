"""A search from start to end: what the command calls."""

from __future__ import annotations

import dataclasses
import gc
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from dltune.data.dataset import Dataset
from dltune.errors import RecipeError, UsageError
from dltune.recipe.files import names_file, relocate, relocate_config
from dltune.recipe.recipe import Recipe
from dltune.recipe.references import check_factory
from dltune.recipe.schema import Config
from dltune.runs.about import Session
from dltune.runs.folder import RunFolder
from dltune.runs.lock import check_free
from dltune.runs.provenance import about_run, begin_session
from dltune.runs.resume import (
    check_same_conditions,
    check_same_kind,
    check_same_options,
    check_same_recipe,
    check_stored_values,
)
from dltune.runs.run import Run
from dltune.search.data_shelf import DataShelf
from dltune.search.events import StudyEnd, StudyEvent
from dltune.search.executors.build import WorkersOption, build_executor, check_options
from dltune.search.plan import StackOption
from dltune.search.strategies.base import Strategy
from dltune.search.strategies.random import proposal_generator
from dltune.search.strategies.registry import build_strategy
from dltune.search.study_loop import StudyLoop
from dltune.training.history import without_gap

DEFAULT_STRATEGY = "random"  # needs no tuning of its own, and any number of trials is a fair sample
DEFAULT_SEED = 0

# Draws until one makes a valid config, before the space counts as broken altogether.
CONFIG_TRIES = 20


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """What a search is asked for; None stands for the default, or for "as before" in a resume."""

    strategy: str | None
    trials: int | None
    seed: int | None
    options: Mapping[str, Any]
    note: str
    accept_changes: bool


def run_study(
    recipe: Recipe | None,
    *,
    path: Path,
    strategy: str | None = None,
    trials: int | None = None,
    seed: int | None = None,
    options: Mapping[str, Any] | None = None,
    resume: bool = False,
    accept_changes: bool = False,
    note: str = "",
    dataset: Dataset | None = None,
    workers: WorkersOption = 1,
    stack: StackOption = "auto",
    trial_timeout: float | None = None,
    on_event: Callable[[StudyEvent], None] = lambda event: None,
) -> StudyEnd:
    """Search the space of a recipe, writing the run folder `path`.

    recipe    with at least one range; None only with `resume`: as stored.
    path      of the run folder, as `new_run_path` gives it.
    strategy  "random" (the default), "grid" or "evolution".
    trials    how many in all, at least 1; None: the whole grid, or as before with `resume`.
    seed      of the study, 0 when absent; proposals and trial seeds derive from it.
    options   of the strategy; those that are None count as absent.
    resume    go on with the study in `path`. What is given must be what it was started with;
              `trials` may be more.
    accept_changes  whether a resume may go on with other data, code or torch than before.
    note      the user's, kept with the session.
    dataset   trains on this instead of loading what the recipe names.
    workers   processes that train; "auto": one for each GPU or core. With 1, this process trains.
    stack     trials trained together: "auto" measures, "off" for none, or at most so many.
    trial_timeout  seconds that a trial may train; None: no limit.
    on_event  called with every event, in this thread; Ctrl-C is held back while it runs.

    `workers`, `stack` and `trial_timeout` say how to train and not what: a resume may have others.

    Ctrl-C is an ending, not an exception, once the first event has come.

    Raises UsageError for options that make no sense, RunFolderError if the folder is taken, or is
    not what is to be resumed, DataError if the data cannot be loaded, RecipeError if a function
    that the recipe names is not there.
    """
    given = {name: value for name, value in (options or {}).items() if value is not None}
    request = Request(
        strategy=strategy,
        trials=trials,
        seed=seed,
        options=given,
        note=note,
        accept_changes=accept_changes,
    )
    _check_trials(trials)
    check_options(workers=workers, stack=stack, trial_timeout=trial_timeout)
    shelf = DataShelf(path, dataset)
    study = (
        _reopen(recipe, path, request, shelf) if resume else _start(recipe, path, request, shelf)
    )
    how = {"workers": workers, "stack": stack, "trial_timeout": trial_timeout}
    try:
        return _search(study, shelf, how, on_event)
    finally:
        study.folder.close()


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Study:
    """A study whose folder is open.

    config  one of its space: what all of them have in common can be read from it.
    """

    folder: RunFolder
    strategy: Strategy
    config: Config


def _search(
    study: _Study,
    shelf: DataShelf,
    how: Mapping[str, Any],
    on_event: Callable[[StudyEvent], None],
) -> StudyEnd:
    folder, config = study.folder, study.config
    left = folder.about.trials - len(folder.trials)
    with build_executor(
        shelf,
        folder.path,
        trials=left,
        device=config.train.device,
        code_folders=folder.code_folders,
        **how,
    ) as executor:
        loop = StudyLoop(
            folder=folder,
            strategy=study.strategy,
            executor=executor,
            total=folder.about.trials,
            data_hashes=shelf.hashes,
            on_event=on_event,
        )
        # Without trials to train, the data are not needed.
        of_data = shelf.dataset(config.data).notes if left else ()
        notes = (*_changes(folder.session), *folder.notes, *of_data)
        # What the imported libraries have made never dies; looking through it at every full
        # garbage collection is 3 % of the time of a search over small models.
        gc.freeze()
        try:
            return loop.run(notes)
        finally:
            gc.unfreeze()


def _changes(session: Session) -> list[str]:
    """A line about what has changed since the session before."""
    if session.mended:
        return [f"{'; '.join(session.mended)}, and no trial is complete: all are trained again"]
    return [f"going on though {'; '.join(session.accepted)}"] if session.accepted else []


def _start(typed: Recipe | None, path: Path, request: Request, shelf: DataShelf) -> _Study:
    if typed is None:
        raise UsageError("a new study needs a recipe", hint="Type dltune search RECIPE.")
    if request.accept_changes:
        raise UsageError(
            "--accept-changes is for a study that goes on, and this one is new",
            hint="Leave it out, or type --resume too.",
        )
    check_free(path)
    recipe = relocate(typed, path)
    seed, name = request.seed or DEFAULT_SEED, request.strategy or DEFAULT_STRATEGY
    strategy = build_strategy(name, recipe.space, seed, **request.options)
    if any(one.path == "objective.metric" for one in recipe.space.dimensions):
        raise UsageError(
            "objective.metric is a range: trials measured by different metrics cannot be compared",
            hint="Fix it with --set objective.metric=dev_error.",
        )
    total = _total(strategy, name, request.trials)
    config = _some_config(recipe, seed)
    as_typed = relocate_config(config, path, typed.folder)
    check_factory(as_typed, typed.folder)
    dataset = shelf.load(config.data, typed=as_typed.data, folder=typed.folder)
    about = about_run(
        typed,
        path,
        dataset,
        shelf.hashes,
        command="search",
        config=config,
        note=request.note,
        strategy=name,
        options=strategy.options,
        seed=seed,
        trials=total,
    )
    folder = RunFolder.create(path, recipe, about)
    return _Study(folder=folder, strategy=strategy, config=config)


def _reopen(recipe: Recipe | None, path: Path, request: Request, shelf: DataShelf) -> _Study:
    """Open a run folder to go on with it, once it is certain that nothing would be mixed."""
    asked: dict[str, Any] = {}

    def begin(run: Run) -> Session:
        strategy, asked["total"] = _asked(recipe, run, request)
        config = _some_config(run.recipe, run.about.seed)
        asked["study"] = {"strategy": strategy, "config": config}
        changes: dict[str, tuple[str, ...]] = {}
        if run.best is None or asked["total"] > len(run.trials):  # else nothing is trained
            accept = request.accept_changes
            if all(map(names_file, run.about.data_hashes)):
                # Before they are loaded, as other files may not even be such data.
                changes = check_same_conditions(run, {}, accept=accept)
            # All mistakes come before the run is touched.
            check_factory(config, path)
            shelf.dataset(config.data)
            changes = check_same_conditions(run, shelf.hashes, accept=accept)
        return begin_session(run.path / run.about.origin, note=request.note, **changes)

    folder = RunFolder.open(path, begin)
    try:
        if asked["total"] != folder.about.trials:
            folder.want(asked["total"])
        study = _Study(folder=folder, **asked["study"])
        study.strategy.tell(without_gap(folder.trials))
    except BaseException:
        folder.close()
        raise
    return study


def _asked(recipe: Recipe | None, run: Run, request: Request) -> tuple[Strategy, int]:
    """The strategy to go on with, and how many trials there are to be in all."""
    check_same_kind(run)
    check_stored_values(run)
    path, about = run.path, run.about
    if recipe is not None:
        check_same_recipe(path, run.recipe, relocate(recipe, path))
    check_same_options(
        path,
        about,
        strategy=request.strategy,
        seed=request.seed,
        options=request.options,
        last=run.trials[-1].number if run.trials else None,
        trials=request.trials,
    )
    strategy = build_strategy(about.strategy, run.recipe.space, about.seed, **about.options)
    return strategy, _total(strategy, about.strategy, request.trials or about.trials)


def _check_trials(trials: int | None) -> None:
    if trials is not None and trials < 1:
        raise UsageError(f"--trials {trials}: must be at least 1", hint="Try --trials 32.")


def _total(strategy: Strategy, name: str, trials: int | None) -> int:
    """How many trials there will be: what was asked for, or what the strategy has."""
    if strategy.total is not None:
        return strategy.total if trials is None else min(trials, strategy.total)
    if trials is None:
        raise UsageError(
            f"--strategy {name} has no end of its own, and no --trials is given",
            hint="Say how many: --trials 32.",
        )
    return trials


def _some_config(recipe: Recipe, seed: int) -> Config:
    """A config of the space: what all of them have in common can be read from it."""
    for number in range(CONFIG_TRIES):
        unit = proposal_generator(seed, number).random(len(recipe.space))
        try:
            return recipe.config(recipe.space.from_unit(unit.tolist()))
        except RecipeError as error:
            mistake = error
    raise mistake
