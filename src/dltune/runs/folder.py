"""The run folder of a study, and its one writer.

Trials are written when they end, in whatever order that is, so that none is lost for waiting for a
slower neighbour. A block of them is written in this order: `history.csv`, the weights if the best
is among them (under the trial's own name), `study.journal`, `trials.csv`, and with a new best
`checkpoints/best.pt` (by renaming) and `best.toml`. The journal decides: a trial is done when it is
in there. A kill -9 between two files leaves history rows or weights of a trial that will be trained
again to the same end, or files that lack what the journal has; opening the folder for a resume
brings all of them up to the journal, and nothing is lost or repeated.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from dltune.errors import FolderTakenError, RunFolderError
from dltune.recipe.files import load_recipe, parse_recipe
from dltune.recipe.recipe import recipe_text_with
from dltune.recipe.recipe import Recipe
from dltune.recipe.schema import flatten
from dltune.runs.checkpoint import Finished
from dltune.runs.csv_files import (
    TrialsCsv,
    append_history,
    columns_of,
    keep_history,
    replace_file,
    sort_rows,
    start_history,
)
from dltune.runs.folder_lock import FolderLock
from dltune.runs.journal import Journal, cut_torn_entry, read_journal
from dltune.runs.records import StoredTrial, StudyMeta, better
from dltune.training.history import Trial, TrialResult, TrialState

RECIPE, JOURNAL, TRIALS, HISTORY = "recipe.toml", "study.journal", "trials.csv", "history.csv"
BEST_RECIPE, BEST_WEIGHTS = "best.toml", "checkpoints/best.pt"
CANDIDATE = "checkpoints/trial-{}.pt"  # the best of a block that is not in the journal yet


def new_run_path(runs_dir: Path, *, name: str | None, stem: str) -> Path:
    """Where a new study goes: `runs_dir/name`, or the first free of stem-1, stem-2, ...

    name  as given with --name; None to find one.
    stem  of the recipe's file name.

    Raises RunFolderError if the name is no folder name, or is taken.

    >>> new_run_path(Path("no-such-folder"), name=None, stem="digits").as_posix()
    'no-such-folder/digits-1'
    """
    if name is None:
        numbers = iter(range(1, 1 + len(list(runs_dir.glob("*"))) + 1))
        return next(
            path for number in numbers if not (path := runs_dir / f"{stem}-{number}").exists()
        )
    if name in ("", ".", "..") or Path(name).name != name:
        raise RunFolderError(
            f"--name {name!r}: must be the name of one folder, without slashes",
            hint="Use --runs-dir for the place: --runs-dir my/runs --name first.",
        )
    check_free(runs_dir / name)
    return runs_dir / name


def check_free(path: Path) -> None:
    """Raise FolderTakenError if something is already there; an empty folder is fine."""
    if path.exists() and not path.is_dir():
        raise FolderTakenError(
            f"{path}: is a file, and a run folder cannot have its name",
            hint="Type --name and another name.",
        )
    if path.exists() and any(path.iterdir()):
        raise FolderTakenError(
            f"{path}: already exists and is not empty",
            hint="Type --resume to go on with it, or --name and another name.",
        )


class RunFolder:
    """The writing side of a run folder; `create` or `open` it, and `close` it.

    path     of the folder.
    recipe   as stored in it: file references hold from the folder.
    meta     what the study was started with.
    results  of the trials so far by number, without histories; numbers may be missing between them.
    best     of the results; None while no trial is complete.
    """

    def __init__(self, path: Path, recipe: Recipe, meta: StudyMeta, lock: FolderLock) -> None:
        self.path, self.recipe, self.meta = path, recipe, meta
        self.results: dict[int, TrialResult] = {}
        self.best: TrialResult | None = None
        self._lock = lock
        self._journal = Journal(path / JOURNAL, path.name)
        self._trials_csv = TrialsCsv(path / TRIALS, columns_of(recipe))

    @classmethod
    def create(cls, path: Path, recipe: Recipe, meta: StudyMeta) -> RunFolder:
        """Start a run folder.

        recipe  already relocated to `path`.

        Raises RunFolderError if the folder is not empty or another process writes in it.
        """
        path.mkdir(parents=True, exist_ok=True)
        lock = FolderLock(path)
        try:
            check_free(path)
            replace_file(path / RECIPE, recipe.text)
            (path / BEST_WEIGHTS).parent.mkdir()
            folder = cls(path, recipe, meta, lock)
            start_history(path / HISTORY)
            folder._trials_csv.rewrite([])
            folder._journal.write_study(meta)
        except BaseException:
            lock.release()
            raise
        return folder

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """Open a run folder to go on with it; the CSV files are rebuilt from the journal.

        Raises RunFolderError if there is none, it is damaged, or another process writes in it.
        """
        check_is_run_folder(path)
        lock = FolderLock(path)
        try:
            cut_torn_entry(path / JOURNAL)
            meta, trials = read_journal(path / JOURNAL)
            folder = cls(path, load_recipe(path / RECIPE), meta, lock)
            folder._trials_csv.rewrite(trials)
            keep_history(path / HISTORY, {trial.result.number for trial in trials})
            folder._take(trial.result for trial in trials)
            folder._choose_weights(of_new_best=False)
            folder._write_best_recipe()
        except BaseException:
            lock.release()
            raise
        return folder

    def want(self, trials: int) -> None:
        """Change how many trials are wanted."""
        self._journal.write_wanted(trials)
        self.meta = dataclasses.replace(self.meta, trials=trials)

    def append(self, block: Sequence[Finished]) -> None:
        """Write finished trials, in any order; none of them may be in the folder already."""
        append_history(
            self.path / HISTORY, (one for finished in block for one in finished.result.history)
        )
        before = best = self.best
        for finished in block:
            best = better(best, finished.result)
        for finished in block:
            if finished.result is best and finished.checkpoint is not None:
                replace_file(self._candidate(finished.result.number), finished.checkpoint)
        stored = [
            StoredTrial(
                result=finished.result,
                config=finished.flat_config(self.recipe.space),
                examples=finished.examples,
            )
            for finished in block
        ]
        self._journal.append(stored, self.recipe.space)
        # Not before: after a failed write (a full disk) these trials do not count.
        self._take(finished.result for finished in block)
        self._trials_csv.append(stored)
        if self.best is not before:
            self._choose_weights(of_new_best=True)
            self._write_best_recipe()

    def append_interrupted(self, trials: Sequence[tuple[Trial, int]]) -> None:
        """Add rows to `trials.csv` for trials that were cut off, each with the epochs it had run.

        They are not in the journal: a resume trains them again, with the same values and seeds.
        """
        self._trials_csv.append(
            [
                StoredTrial(
                    result=TrialResult(
                        number=trial.number,
                        seed=trial.seed,
                        state=TrialState.INTERRUPTED,
                        reason="interrupted; --resume trains it again",
                        epochs=epochs,
                        values=trial.values,
                    ),
                    config=flatten(trial.config),
                    examples={},
                )
                for trial, epochs in trials
            ]
        )

    def sort(self) -> None:
        """Put the rows of both CSV files in order of number."""
        for name in (TRIALS, HISTORY):
            sort_rows(self.path / name)

    def close(self) -> None:
        """Let others write in the folder."""
        self._lock.release()

    def _take(self, results: Iterable[TrialResult]) -> None:
        for result in results:
            bare = dataclasses.replace(result, history=())
            self.results[bare.number] = bare
            self.best = better(self.best, bare)

    def _candidate(self, number: int) -> Path:
        return self.path / CANDIDATE.format(number)

    def _choose_weights(self, *, of_new_best: bool) -> None:
        """Leave only the weights of the best trial, as `best.pt`."""
        weights = self.path / BEST_WEIGHTS
        if self.best is not None and self._candidate(self.best.number).exists():
            os.replace(self._candidate(self.best.number), weights)
        elif of_new_best:
            weights.unlink(missing_ok=True)  # of a trial that is not the best any more
        for other in weights.parent.glob(Path(CANDIDATE.format("*")).name):
            other.unlink()

    def _write_best_recipe(self) -> None:
        if self.best is not None:
            metric = f"{self.meta.metric} {self.best.objective!r}"
            title = f"# Trial {self.best.number} of {self.path.name}: {metric}\n"
            fixed = recipe_text_with(self.recipe, self.best.values)
            # With the trial's own seed: `dltune train best.toml` trains this very trial again.
            seed = f"train.seed={self.best.seed}"
            text = parse_recipe(fixed, folder=self.path, overrides=[seed]).text
            replace_file(self.path / BEST_RECIPE, title + text)


def check_is_run_folder(path: Path) -> None:
    """Raise RunFolderError unless a study was started in this folder."""
    if not path.is_dir():
        raise RunFolderError(f"{path}: no such run folder", hint="Check --runs-dir and --name.")
    missing = next((name for name in (JOURNAL, RECIPE) if not (path / name).exists()), None)
    if missing:
        raise RunFolderError(
            f"{path}: has no {missing}, so it is not the run folder of a search",
            hint="Name a folder that dltune search or dltune train has written.",
        )
