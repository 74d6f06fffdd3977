"""A search from start to end: what the command calls."""

from __future__ import annotations

import contextlib
import dataclasses
import gc
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from dltune.data.dataset import Dataset
from dltune.errors import UsageError
from dltune.recipe.files import names_file, relocate, relocate_config
from dltune.recipe.recipe import Recipe
from dltune.recipe.schema import Config, FactoryConfig
from dltune.runs.about import Session
from dltune.runs.folder import RunFolder
from dltune.runs.lock import check_free
from dltune.runs.provenance import about_run, begin_session, code_folders, facts_of
from dltune.runs.resume import check_same_conditions
from dltune.runs.run import Run
from dltune.runs.running import forget_running
from dltune.search.block import first_open
from dltune.search.data_shelf import DataShelf
from dltune.search.events import StudyEnd, StudyEvent
from dltune.search.executors.build import WorkersOption, build_executor, check_options
from dltune.search.executors.protocol import Executor
from dltune.search.notes import start_notes
from dltune.search.plan import StackOption
from dltune.search.preflight import (
    check_factories,
    check_trainable,
    first_data,
    some_configs,
)
from dltune.search.request import Asked, Request, asked_again, asked_anew, only_given
from dltune.search.study_loop import StudyLoop


def run_study(
    recipe: Recipe | None,
    *,
    path: Path,
    strategy: str | None = None,
    trials: int | None = None,
    seed: int | None = None,
    options: Mapping[str, Any] | None = None,
    prune: str | None = None,
    prune_options: Mapping[str, Any] | None = None,
    audit: int = 0,
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
    prune     which trials end early: "none", "halving", "hyperband", "median" or "bad-start"; None:
              halving where many are compared, else none.
    prune_options  of it, likewise.
    audit     pruned trials that are trained to their ends after all, drawn by chance.
    resume    go on with the study in `path`. What is given must be what it was started with;
              `trials` may be more.
    accept_changes  whether a resume may go on with other data, code or torch than before.
    note      the user's, kept with the session.
    dataset   trains on this instead of loading what the recipe names.
    workers   processes that train; "auto": one for each GPU or core. With 1, this process trains,
              unless the models are the user's or there is a `trial_timeout`.
    stack     trials trained together: "auto" measures, "off" for none, or at most so many.
    trial_timeout  seconds that a trial may train; None: no limit.
    on_event  called with every event, in this thread; Ctrl-C is held back while it runs.

    `workers`, `stack` and `trial_timeout` say how to train and not what: a resume may have others.

    Ctrl-C is an ending, not an exception, once the first event has come.

    Raises UsageError for options that make no sense, RunFolderError if the folder is taken, or is
    not what is to be resumed, DataError if the data cannot be loaded, RecipeError if a function
    that the recipe names is not there.
    """
    request = Request(
        strategy=strategy,
        trials=trials,
        seed=seed,
        options=only_given(options),
        prune=prune,
        prune_options=only_given(prune_options),
        audit=audit,
        note=note,
        accept_changes=accept_changes,
    )
    check_options(workers=workers, stack=stack, trial_timeout=trial_timeout)
    how = {"workers": workers, "stack": stack, "trial_timeout": trial_timeout}
    with contextlib.ExitStack() as held:
        means = _Means(shelf=DataShelf(path, dataset), how=how, held=held)
        begin = _reopen if resume else _start
        study = begin(recipe, path, request, means)
        held.callback(study.folder.close)
        return _search(study, means.shelf, on_event)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Means:
    """What a study is trained with, all of which is let go of when `held` is closed."""

    shelf: DataShelf
    how: Mapping[str, Any]
    held: contextlib.ExitStack

    def executor(
        self, path: Path, recipe: Recipe, origin: str, config: Config, left: int
    ) -> Executor:
        """The executor of a study whose run folder need not be there yet.

        recipe  as it lies in the run folder `path`.
        left    trials that are still to be trained.
        """
        return self.held.enter_context(
            build_executor(
                self.shelf,
                path,
                trials=left,
                device=config.train.device,
                code_folders=code_folders(recipe, path, origin),
                users_model=isinstance(config.model, FactoryConfig),
                **self.how,
            )
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Study:
    """A study whose folder is open.

    dataset  of one of its configs; None where nothing will be trained, or where no config was found
             whose data can be loaded.
    """

    folder: RunFolder
    asked: Asked
    executor: Executor
    dataset: Dataset | None


def _search(study: _Study, shelf: DataShelf, on_event: Callable[[StudyEvent], None]) -> StudyEnd:
    folder, dataset = study.folder, study.dataset
    strategy, pruner = study.asked.strategy, study.asked.pruner
    if pruner is not None and dataset is not None:
        pruner.learn(dataset)
    told = first_open(folder.trials, strategy, pruned=pruner is not None)
    strategy.tell([folder.trials[number] for number in range(told)])
    loop = StudyLoop(
        folder=folder,
        strategy=strategy,
        told=told,
        pruner=pruner,
        executor=study.executor,
        total=folder.about.trials,
        audit=study.asked.audit,
        data_hashes=shelf.hashes,
        on_event=on_event,
    )
    notes = start_notes(folder, study.asked, dataset)
    # What the imported libraries have made never dies; looking through it at every full
    # garbage collection is 3 % of the time of a search over small models.
    gc.freeze()
    try:
        return loop.run(notes)
    finally:
        gc.unfreeze()
        if folder.about.data.task is None and shelf.newest is not None:
            folder.change(data=facts_of(shelf.newest))


def _start(typed: Recipe | None, path: Path, request: Request, means: _Means) -> _Study:
    if typed is None:
        raise UsageError("a new study needs a recipe", hint="Type dltune search RECIPE.")
    if request.accept_changes:
        raise UsageError(
            "--accept-changes is for a study that goes on, and this one is new",
            hint="Leave it out, or type --resume too.",
        )
    check_free(path)
    recipe = relocate(typed, path)
    asked, shelf, folder = asked_anew(typed, recipe, request), means.shelf, typed.folder

    def as_typed(config: Config) -> Config:
        return relocate_config(config, path, folder)

    def load(config: Config) -> Dataset:
        return shelf.load(config.data, typed=as_typed(config).data, folder=folder)

    check_factories(recipe, asked.seed, as_typed=as_typed, folder=folder)
    config, dataset = first_data(recipe, asked.seed, load)
    about = about_run(
        typed,
        path,
        dataset,
        shelf.hashes,
        command="search",
        config=config,
        note=request.note,
        strategy=asked.name,
        options=asked.strategy.options,
        pruner=asked.prune,
        pruner_options={} if asked.pruner is None else asked.pruner.options,
        seed=asked.seed,
        trials=asked.total,
    )
    executor = means.executor(path, recipe, about.origin, config, asked.total)
    check_trainable(
        recipe,
        asked.seed,
        executor,
        load=load,
        model_of=lambda one: as_typed(one).model,
        folder=folder,
    )
    return _Study(
        folder=RunFolder.create(path, recipe, about),
        asked=asked,
        executor=executor,
        dataset=dataset,
    )


def _reopen(recipe: Recipe | None, path: Path, request: Request, means: _Means) -> _Study:
    """Open a run folder to go on with it, once it is certain that nothing would be mixed."""
    known: dict[str, Any] = {}

    def begin(run: Run) -> Session:
        asked = asked_again(recipe, run, request)
        stored, shelf = run.recipe, means.shelf
        config, dataset = next(some_configs(stored, asked.seed)), None

        def load(config: Config) -> Dataset:
            return shelf.dataset(config.data)

        changes: dict[str, tuple[str, ...]] = {}
        if not run.has_complete or asked.total > len(run.done) or asked.audit:  # else none trains
            accept = request.accept_changes
            if all(map(names_file, run.about.data_hashes)):
                # Before they are loaded, as other files may not even be such data.
                changes = check_same_conditions(run, {}, accept=accept)
            # All mistakes come before the run is touched.
            check_factories(stored, asked.seed, as_typed=lambda one: one, folder=path)
            config, dataset = first_data(stored, asked.seed, load)
            changes = check_same_conditions(run, shelf.hashes, accept=accept)
        if changes:  # what trained with other data or code begins anew
            forget_running(path)
        left = asked.total - (0 if "mended" in changes else len(run.done)) + asked.audit
        executor = means.executor(path, stored, run.about.origin, config, left)
        if left:
            check_trainable(
                stored,
                asked.seed,
                executor,
                load=load,
                model_of=lambda one: one.model,
                folder=path,
            )
        known.update(asked=asked, executor=executor, dataset=dataset)
        return begin_session(run.path / run.about.origin, note=request.note, **changes)

    folder = RunFolder.open(path, begin)
    try:
        if known["asked"].total != folder.about.trials:
            folder.change(trials=known["asked"].total)
        return _Study(folder=folder, **known)
    except BaseException:
        folder.close()
        raise
