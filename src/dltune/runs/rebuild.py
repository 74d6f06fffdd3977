"""The CSV files of a run brought up to its journal, which decides."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dltune.runs.csv_files import TrialsCsv, columns_of, set_aside_changed
from dltune.runs.history_csv import keep_history
from dltune.runs.lock import FolderLock
from dltune.runs.run import HISTORY, TRIALS, check_is_run_folder, load_run
from dltune.training.history import TrialRecord


def rebuild_csv(path: Path) -> list[str]:
    """Rewrite `trials.csv` and `history.csv` from the journal, as after a kill -9.

    Returns lines about files that another program has saved.

    Raises RunFolderError as `load_run` does, and if a study is running in the folder.
    """
    check_is_run_folder(path)
    lock = FolderLock(path)
    try:
        run = load_run(path, histories="none")
        notes = rewrite_csv(path, TrialsCsv(path / TRIALS, columns_of(run.recipe)), run.trials)
    finally:
        lock.release()
    return notes


def rewrite_csv(path: Path, trials_csv: TrialsCsv, trials: Sequence[TrialRecord]) -> list[str]:
    """Bring both files up to the journal; lines about those that another program has saved."""
    notes = keep_history(path / HISTORY, {trial.number for trial in trials})
    notes += set_aside_changed(path / TRIALS)
    trials_csv.rewrite(trials)
    return notes
