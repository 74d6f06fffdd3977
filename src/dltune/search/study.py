"""A search from start to end: what the command calls."""

from __future__ import annotations

import dataclasses
import gc
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from dltune.data.dataset import Dataset
from dltune.errors import UsageError
from dltune.recipe.files import names_file, relocate, relocate_config
from dltune.recipe.recipe import Recipe
from dltune.recipe.references import check_factory
from dltune.recipe.schema import Config
from dltune.runs.about import Session
from dltune.runs.folder import RunFolder
from dltune.runs.lock import check_free
from dltune.runs.provenance import about_run, begin_session, facts_of
from dltune.runs.resume import check_same_conditions
from dltune.runs.run import Run
from dltune.search.data_shelf import DataShelf
from dltune.search.events import StudyEnd, StudyEvent
from dltune.search.executors.build import WorkersOption, build_executor, check_options
from dltune.search.first_data import first_data, some_configs
from dltune.search.plan import StackOption
from dltune.search.request import Request, asked_again, asked_anew
from dltune.search.strategies.base import Strategy
from dltune.search.study_loop import StudyLoop
from dltune.training.history import without_gap


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

    config   one of its space: what all of them have in common can be read from it.
    dataset  its data; None where nothing will be trained, or where no config was found whose data
             can be loaded.
    """

    folder: RunFolder
    strategy: Strategy
    config: Config
    dataset: Dataset | None


def _search(
    study: _Study,
    shelf: DataShelf,
    how: Mapping[str, Any],
    on_event: Callable[[StudyEvent], None],
) -> StudyEnd:
    folder, dataset = study.folder, study.dataset
    left = folder.about.trials - len(folder.trials)
    with build_executor(
        shelf,
        folder.path,
        trials=left,
        device=study.config.train.device,
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
        of_data = () if dataset is None or not left else dataset.notes
        notes = (*_changes(folder.session), *_seed_note(folder), *of_data)
        # What the imported libraries have made never dies; looking through it at every full
        # garbage collection is 3 % of the time of a search over small models.
        gc.freeze()
        try:
            return loop.run(notes)
        finally:
            gc.unfreeze()
            if folder.about.data.task is None and shelf.newest is not None:
                folder.change(data=facts_of(shelf.newest))


def _changes(session: Session) -> list[str]:
    """A line about what has changed since the session before."""
    if session.mended:
        return [f"{'; '.join(session.mended)}, and no trial is complete: all are trained again"]
    return [f"going on though {'; '.join(session.accepted)}"] if session.accepted else []


def _seed_note(folder: RunFolder) -> list[str]:
    """A line about a seed in the recipe, which a search does not use."""
    seed = folder.recipe.table.get("train", {}).get("seed")
    if seed is None:
        return []
    of_study = f"--seed {folder.about.seed} and its number"
    return [f"train.seed = {seed} plays no part in a search: a trial's seed is made of {of_study}"]


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
    asked = asked_anew(typed, recipe, request)
    first = next(some_configs(recipe, asked.seed))
    check_factory(relocate_config(first, path, typed.folder), typed.folder)

    def load(config: Config) -> Dataset:
        as_typed = relocate_config(config, path, typed.folder)
        return shelf.load(config.data, typed=as_typed.data, folder=typed.folder)

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
        seed=asked.seed,
        trials=asked.total,
    )
    folder = RunFolder.create(path, recipe, about)
    return _Study(folder=folder, strategy=asked.strategy, config=config, dataset=dataset)


def _reopen(recipe: Recipe | None, path: Path, request: Request, shelf: DataShelf) -> _Study:
    """Open a run folder to go on with it, once it is certain that nothing would be mixed."""
    known: dict[str, Any] = {}

    def begin(run: Run) -> Session:
        asked = asked_again(recipe, run, request)
        config, dataset = next(some_configs(run.recipe, asked.seed)), None
        changes: dict[str, tuple[str, ...]] = {}
        if run.best is None or asked.total > len(run.trials):  # else nothing is trained
            accept = request.accept_changes
            if all(map(names_file, run.about.data_hashes)):
                # Before they are loaded, as other files may not even be such data.
                changes = check_same_conditions(run, {}, accept=accept)
            # All mistakes come before the run is touched.
            check_factory(config, path)
            config, dataset = first_data(
                run.recipe, asked.seed, lambda one: shelf.dataset(one.data)
            )
            changes = check_same_conditions(run, shelf.hashes, accept=accept)
        known["total"] = asked.total
        known["study"] = {"strategy": asked.strategy, "config": config, "dataset": dataset}
        return begin_session(run.path / run.about.origin, note=request.note, **changes)

    folder = RunFolder.open(path, begin)
    try:
        if known["total"] != folder.about.trials:
            folder.change(trials=known["total"])
        study = _Study(folder=folder, **known["study"])
        study.strategy.tell(without_gap(folder.trials))
    except BaseException:
        folder.close()
        raise
    return study
