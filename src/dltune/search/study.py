"""A search from start to end: what the command calls."""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from dltune import __version__
from dltune.data.dataset import Dataset
from dltune.errors import RecipeError, UsageError
from dltune.recipe.files import relocate
from dltune.recipe.recipe import Recipe
from dltune.recipe.references import check_factory
from dltune.recipe.schema import Config
from dltune.runs.folder import RunFolder, check_free
from dltune.runs.records import StudyMeta, without_gap
from dltune.runs.resume import check_same_options, check_same_recipe
from dltune.search.data_shelf import DataShelf, examples_of
from dltune.search.events import StudyEnd, StudyEvent
from dltune.search.executors.build import build_executor, check_options
from dltune.search.executors.machine import WorkersOption
from dltune.search.plan import StackOption
from dltune.search.strategies.base import Strategy
from dltune.search.strategies.random import proposal_generator
from dltune.search.strategies.registry import build_strategy
from dltune.search.study_loop import StudyLoop, observations

DEFAULT_STRATEGY = "random"  # needs no tuning of its own, and any number of trials is a fair sample
DEFAULT_SEED = 0

# Draws until one makes a valid config, before the space counts as broken altogether.
CONFIG_TRIES = 20


def run_study(
    recipe: Recipe | None,
    *,
    path: Path,
    strategy: str | None = None,
    trials: int | None = None,
    seed: int | None = None,
    options: Mapping[str, Any] | None = None,
    resume: bool = False,
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
    _check_trials(trials)
    check_options(workers=workers, stack=stack, trial_timeout=trial_timeout)
    if resume:
        folder, searcher = _reopen(recipe, path, strategy, trials, seed, given)
        shelf = DataShelf(path, dataset)
    else:
        if recipe is None:
            raise UsageError("a new study needs a recipe", hint="Type dltune search RECIPE.")
        check_free(path)
        shelf = DataShelf(path, dataset)
        folder, searcher = _start(
            recipe, path, strategy or DEFAULT_STRATEGY, trials, seed or DEFAULT_SEED, given, shelf
        )
    try:
        left = folder.meta.trials - len(folder.results)
        some = _some_config(folder.recipe, folder.meta.seed)
        executor = build_executor(
            shelf,
            path,
            trials=left,
            device=some.train.device,
            workers=workers,
            stack=stack,
            trial_timeout=trial_timeout,
        )
        with executor:
            loop = StudyLoop(
                folder=folder,
                strategy=searcher,
                executor=executor,
                total=folder.meta.trials,
                on_event=on_event,
            )
            # Without trials to train, the data are not needed.
            notes = shelf.dataset(some.data).notes if left else ()
            # What the imported libraries have made never dies; looking through it at every full
            # garbage collection is 3 % of the time of a search over small models.
            gc.freeze()
            return loop.run(notes)
    finally:
        gc.unfreeze()
        folder.close()


def _start(
    typed: Recipe,
    path: Path,
    name: str,
    trials: int | None,
    seed: int,
    options: Mapping[str, Any],
    shelf: DataShelf,
) -> tuple[RunFolder, Strategy]:
    recipe = relocate(typed, path)
    strategy = build_strategy(name, recipe.space, seed, **options)
    if any(one.path == "objective.metric" for one in recipe.space.dimensions):
        raise UsageError(
            "objective.metric is a range: trials measured by different metrics cannot be compared",
            hint="Fix it with --set objective.metric=dev_error.",
        )
    total = _total(strategy, name, trials)
    config = _some_config(recipe, seed)
    as_typed = _some_config(typed, seed)
    check_factory(as_typed, typed.folder)
    dataset = shelf.load(config.data, typed=as_typed.data, folder=typed.folder)
    meta = StudyMeta(
        strategy=name,
        options=strategy.options,
        seed=seed,
        trials=total,
        metric=config.objective.metric,
        examples=examples_of(dataset),
        version=__version__,
    )
    return RunFolder.create(path, recipe, meta), strategy


def _reopen(
    recipe: Recipe | None,
    path: Path,
    name: str | None,
    trials: int | None,
    seed: int | None,
    options: Mapping[str, Any],
) -> tuple[RunFolder, Strategy]:
    folder = RunFolder.open(path)
    try:
        if recipe is not None:
            check_same_recipe(path, folder.recipe, relocate(recipe, path))
        meta, last = folder.meta, max(folder.results, default=None)
        check_same_options(
            path, meta, strategy=name, seed=seed, options=options, last=last, trials=trials
        )
        strategy = build_strategy(meta.strategy, folder.recipe.space, meta.seed, **meta.options)
        total = _total(strategy, meta.strategy, trials or meta.trials)
        if total != meta.trials:
            folder.want(total)
        strategy.tell(observations(without_gap(folder.results)))
    except BaseException:
        folder.close()
        raise
    return folder, strategy


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
