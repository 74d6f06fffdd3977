"""Reading a run folder: for tables, reports and diagnoses, also while its study runs. No torch."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from dltune.recipe.files import load_recipe
from dltune.recipe.recipe import Recipe
from dltune.search.csv_files import TrialsCsv, keep_history, read_history
from dltune.search.folder_lock import FolderLock
from dltune.search.journal import read_journal
from dltune.search.records import StoredTrial, StudyMeta, best_trials
from dltune.search.store import HISTORY, JOURNAL, RECIPE, TRIALS, check_is_run_folder
from dltune.training.history import TrialResult


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """What a run folder holds.

    name    of the study, which is the folder's.
    recipe  as stored; file references hold from the folder.
    meta    what the study was started with.
    trials  finished ones, in order of number.
    """

    path: Path
    name: str
    recipe: Recipe
    meta: StudyMeta
    trials: tuple[StoredTrial, ...]

    @property
    def results(self) -> list[TrialResult]:
        """The results in order of number."""
        return [trial.result for trial in self.trials]

    @property
    def best(self) -> TrialResult | None:
        """The best complete trial; None if there is none."""
        return next(iter(best_trials(self.results, 1)), None)

    @property
    def is_complete(self) -> bool:
        """Whether all the trials that were wanted are done."""
        return len(self.trials) >= self.meta.trials


def load_run(path: Path, *, histories: bool = True) -> Run:
    """Read a run folder; nothing in it is changed.

    path       the folder, such as runs/digits-1.
    histories  whether the results get their epochs; without them a large study is read faster.

    Raises RunFolderError if it is no run folder or its journal is damaged.
    """
    check_is_run_folder(path)
    meta, trials = read_journal(path / JOURNAL)
    if histories:
        epochs = read_history(path / HISTORY)
        trials = [
            dataclasses.replace(
                trial,
                result=dataclasses.replace(
                    trial.result, history=epochs.get(trial.result.number, ())
                ),
            )
            for trial in trials
        ]
    recipe = load_recipe(path / RECIPE)
    return Run(path=path, name=path.name, recipe=recipe, meta=meta, trials=tuple(trials))


def rebuild_csv(path: Path) -> Run:
    """Rewrite `trials.csv` and `history.csv` from the journal, as after a kill -9; returns the run.

    Rows of interrupted trials go: they are in no journal.

    Raises RunFolderError as `load_run` does, and if a study is running in the folder.
    """
    check_is_run_folder(path)
    lock = FolderLock(path)
    try:
        run = load_run(path, histories=False)
        TrialsCsv(path / TRIALS).rewrite(run.trials)
        keep_history(path / HISTORY, {result.number for result in run.results})
    finally:
        lock.release()
    return run
