"""Reading a run folder: for tables, reports and diagnoses, also while its study runs. No torch."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal

from dltune.recipe.files import load_recipe
from dltune.recipe.recipe import Recipe
from dltune.runs.csv_files import TrialsCsv, columns_of, keep_history, read_history
from dltune.runs.folder_lock import FolderLock
from dltune.runs.journal import read_journal
from dltune.runs.records import StoredTrial, StudyMeta, best_trials
from dltune.runs.folder import HISTORY, JOURNAL, RECIPE, TRIALS, check_is_run_folder
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


def load_run(path: Path, *, histories: Literal["all", "best", "none"] = "all") -> Run:
    """Read a run folder; nothing in it is changed.

    path       the folder, such as runs/digits-1.
    histories  which results get their epochs; of a large study those of all take longest to read.

    Raises RunFolderError if it is no run folder or its journal is damaged.
    """
    check_is_run_folder(path)
    meta, trials = read_journal(path / JOURNAL)
    wanted = None
    if histories != "all":
        best = best_trials((trial.result for trial in trials), 1 if histories == "best" else 0)
        wanted = {result.number for result in best}
    epochs = {} if histories == "none" else read_history(path / HISTORY, wanted)
    for place, trial in enumerate(trials):
        if history := epochs.get(trial.result.number):
            result = dataclasses.replace(trial.result, history=history)
            trials[place] = dataclasses.replace(trial, result=result)
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
        run = load_run(path, histories="none")
        TrialsCsv(path / TRIALS, columns_of(run.recipe)).rewrite(run.trials)
        keep_history(path / HISTORY, {result.number for result in run.results})
    finally:
        lock.release()
    return run
