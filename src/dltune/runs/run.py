"""A run as it is read: by every command, also while it is being trained. No torch."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from dltune.errors import RunFolderError, closest
from dltune.runs.about import FORMAT, About, Session
from dltune.runs.from_json import parse_json
from dltune.runs.history_csv import read_history
from dltune.runs.journal import JournalFile
from dltune.runs.legacy import is_old, upgraded
from dltune.runs.storage import Storage
from dltune.training.history import TrialRecord, TrialState, best_trials

if TYPE_CHECKING:
    from dltune.recipe.recipe import Recipe

RECIPE, JOURNAL, TRIALS, HISTORY = "recipe.toml", "study.journal", "trials.csv", "history.csv"
BEST_RECIPE, RESULT, RESULT_TEXT, CODE = "best.toml", "result.json", "result.txt", "code"

NAMES_SHOWN = 8  # of runs, in a hint: as many as fit on a line; the folder itself has the rest


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """What a run folder holds.

    trials  that are over, in order of number; while their search runs, numbers may be missing. An
            interrupted one is among them with what it had come to.
    """

    path: Path
    about: About
    trials: tuple[TrialRecord, ...]

    @property
    def name(self) -> str:
        """Of the study, which is the folder's."""
        return self.path.name

    @functools.cached_property
    def recipe(self) -> Recipe:
        """As stored; file references hold from the folder. RecipeError if it cannot be read."""
        from dltune.recipe.files import load_recipe

        return load_recipe(self.path / RECIPE)

    @property
    def best(self) -> TrialRecord | None:
        """The best complete or interrupted trial, of equals the first; None if there is none."""
        return next(iter(best_trials(self.trials, 1)), None)

    @property
    def done(self) -> tuple[TrialRecord, ...]:
        """The trials that a resume does not train again."""
        return tuple(trial for trial in self.trials if trial.state is not TrialState.INTERRUPTED)

    @property
    def has_complete(self) -> bool:
        """Whether any trial was trained to its end in good health."""
        return any(trial.state is TrialState.COMPLETE for trial in self.trials)

    @property
    def is_complete(self) -> bool:
        """Whether all the trials that were wanted are done."""
        return len(self.done) >= self.about.trials

    @property
    def states(self) -> dict[str, int]:
        """How many trials ended in which state."""
        counted = Counter(trial.state for trial in self.trials)
        return {state.value: counted[state] for state in TrialState if counted[state]}

    @property
    def accepted(self) -> list[str]:
        """The changes between its sessions with which it went on, in words."""
        return [change for session in self.about.sessions for change in session.accepted]

    def trial(self, number: int) -> TrialRecord:
        """The trial of that number.

        Raises RunFolderError if there is none.
        """
        by_number = {trial.number: trial for trial in self.trials}
        if number in by_number:
            return by_number[number]
        low, high = min(by_number), max(by_number)
        near = min(by_number, key=lambda each: abs(each - number))
        raise RunFolderError(
            f"{self.path} has no trial {number}: its {len(by_number)} trials are numbered "
            f"{low} to {high}",
            hint=f"Type --trial {near}, or --all.",
        )

    def result(self) -> dict[str, Any] | None:
        """What a command that trains no trials of its own has come to, as its --json prints it."""
        file = self.path / RESULT
        if not file.exists():
            return None
        try:
            document = parse_json(file.read_bytes())
            if not isinstance(document, dict):
                raise ValueError("it is no object")
        except ValueError as problem:
            raise RunFolderError(
                f"{file}: damaged ({problem})", hint=f"Run dltune {self.about.command} again."
            ) from None
        return {key: value for key, value in document.items() if key != "format"}

    def result_text(self) -> str:
        """The same as it was shown, in 80 columns; what is no UTF-8 is shown as "�"."""
        text = (self.path / RESULT_TEXT).read_text(encoding="utf-8", errors="replace")
        return text.removesuffix("\n")


def load_run(path: Path, *, histories: Literal["all", "best", "none"] = "all") -> Run:
    """Read a run folder; nothing in it is changed.

    path       the folder, such as runs/digits-1.
    histories  which trials get their epochs; of a large study those of all take longest to read.

    Raises RunFolderError if it is no run folder or its journal is damaged.
    """
    check_is_run_folder(path)
    about, trials = read_study(storage_of(path), path)
    wanted = None
    if histories != "all":
        wanted = {one.number for one in best_trials(trials, 1 if histories == "best" else 0)}
    epochs = {} if histories == "none" else read_history(path / HISTORY, wanted)
    for place, trial in enumerate(trials):
        if history := epochs.get(trial.number):
            trials[place] = dataclasses.replace(trial, history=history)
    return Run(path=path, about=about, trials=tuple(trials))


def storage_of(path: Path, *, name: str | None = None) -> Storage:
    """Where the study of a run folder is kept.

    name  of the study; None for the folder's.
    """
    return JournalFile(path / JOURNAL, path.name if name is None else name)


def read_study(storage: Storage, path: Path) -> tuple[About, list[TrialRecord]]:
    """What a study is, and its trials that count, in order of number and without histories.

    path  of the run folder, for messages.

    Raises RunFolderError if it cannot be read, or is of a format that is not known yet.
    """
    attributes, trials = storage.read()
    try:
        if is_old(attributes):
            return upgraded(attributes, trials, path / RECIPE)
        if attributes["format"] > FORMAT:
            raise RunFolderError(
                f"{path} has format {attributes['format']}; this dltune reads up to {FORMAT}",
                hint="Install the newest dltune: pip install -U dltune.",
            )
        about = About.from_attributes(attributes)
    except (KeyError, TypeError, ValueError, AttributeError) as problem:
        raise RunFolderError(
            f"{path / JOURNAL}: damaged, or not of a dltune study "
            f"({type(problem).__name__}: {problem})",
            hint="Start again with --name and a new name; the CSV files can still be read.",
        ) from problem
    return about, [trial for trial in trials if not _is_void(trial, about.sessions)]


def _is_void(trial: TrialRecord, sessions: Sequence[Session]) -> bool:
    """Whether a later session trains a trial again, with mended code."""
    later = sessions[trial.session + 1 :]
    return trial.state is not TrialState.COMPLETE and any(one.mended for one in later)


def check_is_run_folder(path: Path) -> None:
    """Raise RunFolderError unless a run was started in this folder."""
    if not path.is_dir():
        raise RunFolderError(f"{path}: no such run folder", hint="Check --runs-dir and --name.")
    missing = next((name for name in (JOURNAL, RECIPE) if not (path / name).exists()), None)
    if missing:
        raise RunFolderError(
            f"{path}: has no {missing}, so it is not a run folder",
            hint="Name a folder that dltune search or dltune train has written.",
        )


def find_run(run: str | Path, *, runs_dir: Path) -> Path:
    """The folder of a run named by its path or by its name inside `runs_dir`.

    Raises RunFolderError, with the closest existing run, if there is none.
    """
    for folder in (Path(run), runs_dir / run):
        if folder.is_dir():
            return folder
        if folder.is_file():
            is_inside = (folder.parent / JOURNAL).is_file()
            raise RunFolderError(
                f"{folder} is a file: a run is a folder with a {JOURNAL} in it",
                hint=f"Name its folder: {folder.parent}."
                if is_inside
                else f"Runs in {runs_dir}: {_names(runs_dir)}.",
            )
    runs = [folder.name for folder in run_folders(runs_dir)]
    near = closest(Path(run).name, runs)
    hint = f"Did you mean {near}? " if near else ""
    raise RunFolderError(
        f"there is no run {run}, neither as a folder nor in {runs_dir}",
        hint=f"{hint}Runs in {runs_dir}: {_names(runs_dir)}.",
    )


def run_folders(runs_dir: Path) -> list[Path]:
    """The run folders in a folder, by name; empty if it is not there."""
    if not runs_dir.is_dir():
        return []
    # A name with a dot in front is of a folder that is being made, or was when its process died.
    return sorted(
        each
        for each in runs_dir.iterdir()
        if not each.name.startswith(".") and os.path.isfile(each / JOURNAL)  # also if unreadable
    )


def _names(runs_dir: Path) -> str:
    runs = [folder.name for folder in run_folders(runs_dir)]
    more = len(runs) - NAMES_SHOWN
    return (", ".join(runs[:NAMES_SHOWN]) or "none") + (f" and {more} more" if more > 0 else "")
