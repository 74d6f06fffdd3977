"""One training into a run folder: new, forked from another, or gone on with."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import sys
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from dltune.cli import output
from dltune.cli.keeping import KeptRun, check_is_unfinished_training, keep_run, reopen_run
from dltune.cli.status import TO_SCREEN_END, StatusLine, is_watched, obeys_escapes
from dltune.report.numbers import count_of

if TYPE_CHECKING:  # what a training needs takes seconds to import: inside, once it is wanted
    from dltune.recipe.recipe import Recipe
    from dltune.recipe.schema import Config
    from dltune.runs.keepers import StateKeeper
    from dltune.training.loop import Cohort, CohortEpoch
    from dltune.training.outcome import TrialOutcome
    from dltune.training.state import TrainingState


def new_training(
    path: Path,
    recipe: Recipe,
    note: str,
    status: StatusLine,
    *,
    forked: Path | None,
    start: Literal["best", "last"],
) -> int:
    """Train the recipe's one config into a new run folder; the exit code of what interrupts it.

    forked, start  the run that it goes on from, if any, and from where.

    Raises RecipeError for a factory that is not there, DataError, RunFolderError if the folder is
    taken, and what `runs.fork.fork` raises.
    """
    from dltune.recipe.references import check_factory
    from dltune.runs.fork import fork

    config = recipe.config()
    check_factory(config, recipe.folder)
    state, notes = _fresh(config), list[str]()
    if forked is not None:
        state, notes = fork(forked, config, start=start)
    kept = keep_run(path, recipe, config, command="train", note=note, trials=1)
    return _train(kept, state, notes, status)


def _fresh(config: Config) -> TrainingState:
    from dltune.training.history import Trial
    from dltune.training.state import TrainingState

    return TrainingState(trial=Trial(number=0, config=config, seed=config.train.seed))


def resume_training(path: Path, note: str, status: StatusLine, *, accept: bool) -> int:
    """Go on with an interrupted training from its last checkpoint, or else from its start.

    accept  whether changes of data, code or torch are accepted.

    Returns and raises as `new_training`; RunFolderError if it cannot be gone on with.
    """
    from dltune.runs.checkpoint import FOLDER
    from dltune.runs.keepers import LAST
    from dltune.runs.run import load_run
    from dltune.runs.training_state import read_states

    run = load_run(path, histories="none")
    check_is_unfinished_training(run)
    state = _fresh(run.recipe.config())
    notes = ["it was stopped before its first checkpoint, and begins anew"]
    if (path / FOLDER / LAST).exists():
        (kept,) = read_states(path / FOLDER / LAST).values()
        state = dataclasses.replace(kept, trial=state.trial)
        notes = [f"going on from epoch {kept.epochs}"]
    return _train(reopen_run(path, note, accept=accept), state, notes, status)


def _train(
    kept: AbstractContextManager[KeptRun],
    state: TrainingState,
    notes: list[str],
    status: StatusLine,
) -> int:
    """Train one trial from where it stands into a run folder; the exit code of what interrupts it.

    A signal ends it after the update that runs, and the best epoch so far is kept. A second one
    stops at once, like an error: a new folder goes then, unless a checkpoint is in it.
    """
    from dltune.cli.watch import follow
    from dltune.data.device import resolve_device, to_device
    from dltune.runs.checkpoint import pack_checkpoint
    from dltune.runs.keepers import StateKeeper
    from dltune.search.interrupts import Interruption, Interrupts, exit_code
    from dltune.training.loop import Cohort
    from dltune.training.schedules import peak_notes

    config = state.trial.config
    with kept as run:
        path = run.folder.path
        if run.folder.session.mended:
            state, notes = _fresh(config), [*run.folder.session.mended, "it begins anew"]
        dataset = run.dataset(config)
        said = (*dataset.notes, *peak_notes([config], examples=len(dataset.train)))
        output.say(*said, f"{path}: 1 trial of {count_of(config.train.epochs, 'epoch')}", *notes)
        data = to_device(dataset, resolve_device(config.train))
        keeper = StateKeeper(path)
        with Interrupts(_say_stopping) as interrupts, interrupts.allowed():
            cohort = Cohort(
                data,
                folder=run.recipe.folder,
                interrupted=lambda: interrupts.reason,
                on_end=keeper.end,
            )
            cohort.put([state])
            epochs = _epochs(cohort, keeper, lambda: run.note_conditions(config))
            (outcome,) = follow(epochs, config, status, history=state.history)
            if interrupts.requested and outcome.record.best_epoch is None:
                raise Interruption(interrupts.requested)
        with Interrupts():  # the writing is not cut off
            record = outcome.record
            run.note_conditions(config)
            run.folder.append([record], {0: pack_checkpoint(record, config, outcome.weights)})
            keeper.write()
            run.folder.sort()  # what an earlier session has written of it goes
            run.folder.end("interrupted" if interrupts.requested else "complete")
    return exit_code(interrupts.requested) if interrupts.requested else 0


def _epochs(
    cohort: Cohort, keeper: StateKeeper, written: Callable[[], None]
) -> Generator[CohortEpoch, Any, list[TrialOutcome]]:
    """Every epoch of the one trial, with its checkpoints."""
    while True:
        epoch = cohort.run_epoch()
        if cohort.alive:
            written_now = keeper.see(lambda: cohort.take([0])[0], improved=0 in epoch.improved)
            if written_now:
                written()
        yield epoch
        if epoch.ended:
            return list(epoch.ended)


def _say_stopping() -> bool:
    """The handler of a signal calls it: not by way of a stream, which may be in use.

    What stands below the cursor goes, and comes back below what is said.
    """
    erased = TO_SCREEN_END if is_watched(sys.stderr) and obeys_escapes() else ""
    line = f"{erased}stopping after this update; Ctrl-C again stops at once\n"
    with contextlib.suppress(OSError):
        os.write(2, line.encode())
    return True
