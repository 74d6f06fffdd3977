"""A run folder of dltune: the trials of `trials.csv` and what `recipe.toml` says about them."""

from __future__ import annotations

import csv
import dataclasses
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dltune.diagnosis.readers.cells import Line, setting
from dltune.diagnosis.readers.task import section, task_of
from dltune.errors import RunFolderError, closest

TRIALS_FILE, RECIPE_FILE = "trials.csv", "recipe.toml"
STATES = ("complete", "pruned", "diverged", "failed", "interrupted")
ERRORS = ("train_error", "dev_error", "test_error", "train_dev_error")
SIZES = ("train_examples", "dev_examples", "test_examples", "train_dev_examples")
COLUMNS = ("trial", "state", "reason", "objective", "best_epoch", "epochs", *ERRORS, *SIZES)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrialRow:
    """One line of `trials.csv`.

    objective  what the search minimised; None for a trial without.
    config     every hyperparameter by dotted path; None for an empty cell.
    """

    number: int
    state: str
    reason: str
    objective: float | None
    best_epoch: int | None
    epochs: int | None
    train_error: float | None
    dev_error: float | None
    test_error: float | None
    train_dev_error: float | None
    train_examples: int | None
    dev_examples: int | None
    test_examples: int | None
    train_dev_examples: int | None
    config: Mapping[str, Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """A run folder as read.

    trials         in order of number; while their search runs, numbers may be missing.
    target_error   of the recipe; None if the recipe has none.
    task           classification or regression; None if neither the recipe nor the errors tell.
    task_inferred  how the task was told where the recipe does not name it; else empty.
    """

    folder: Path
    trials: tuple[TrialRow, ...]
    target_error: float | None
    task: str | None
    task_inferred: str

    @property
    def has_complete(self) -> bool:
        """Some trial is complete, so that there is a best one."""
        return any(row.state == "complete" and row.objective is not None for row in self.trials)

    def best(self) -> TrialRow:
        """The complete trial with the smallest objective, the first of equals.

        Raises RunFolderError if no trial is complete.
        """
        complete = [row for row in self.trials if row.state == "complete"]
        ranked = [(row.objective, row.number, row) for row in complete if row.objective is not None]
        if not ranked:
            first = self.trials[0].number
            raise RunFolderError(
                f"{self.folder} has no complete trial: {self._states()}",
                hint=f"Type --trial {first} for what became of it, or --all.",
            )
        return min(ranked, key=lambda entry: entry[:2])[2]

    def trial(self, number: int) -> TrialRow:
        """The trial of that number.

        Raises RunFolderError if there is none.
        """
        for row in self.trials:
            if row.number == number:
                return row
        numbers = [row.number for row in self.trials]
        raise RunFolderError(
            f"{self.folder} has no trial {number}: its {len(numbers)} trials are numbered "
            f"{min(numbers)} to {max(numbers)}",
            hint=f"Type --trial {min(numbers, key=lambda each: abs(each - number))}, or --all.",
        )

    def _states(self) -> str:
        counted = {state: sum(row.state == state for row in self.trials) for state in STATES}
        return ", ".join(f"{number} {state}" for state, number in counted.items() if number)


def read_run(run: str, *, runs_dir: Path) -> Run:
    """Read a run by the path of its folder, or by its name inside `runs_dir`.

    Raises RunFolderError for a run that is not there, and for a damaged file: path, line, column.
    """
    folder = find_run(run, runs_dir=runs_dir)
    trials = _read_trials(folder / TRIALS_FILE)
    recipe = _read_recipe(folder / RECIPE_FILE)
    task, inferred = task_of(recipe, _measured(trials))
    _check_shares(folder / TRIALS_FILE, trials, task)
    return Run(
        folder=folder,
        trials=trials,
        target_error=_target(recipe, folder / RECIPE_FILE),
        task=task,
        task_inferred=inferred,
    )


def find_run(run: str, *, runs_dir: Path) -> Path:
    """The folder of a run named by its path or by its name inside `runs_dir`.

    Raises RunFolderError, with the closest existing run, if there is none.
    """
    for folder in (Path(run), runs_dir / run):
        if folder.is_dir():
            if not (folder / TRIALS_FILE).is_file():
                raise RunFolderError(
                    f"{folder} has no {TRIALS_FILE}: it is no run folder, or no trial has ended",
                    hint=f"Runs in {runs_dir}: {_names(runs_dir)}.",
                )
            return folder
        if folder.is_file():
            raise RunFolderError(
                f"{folder} is a file: a run is a folder with a {TRIALS_FILE} in it",
                hint=f"Type dltune diagnose {folder.parent}."
                if (folder.parent / TRIALS_FILE).is_file()
                else f"Runs in {runs_dir}: {_names(runs_dir)}.",
            )
    runs = _runs(runs_dir)
    near = closest(Path(run).name, runs)
    hint = f"Did you mean {near}? " if near else ""
    raise RunFolderError(
        f"there is no run {run}, neither as a folder nor in {runs_dir}",
        hint=f"{hint}Runs in {runs_dir}: {_names(runs_dir)}.",
    )


def _runs(runs_dir: Path) -> list[str]:
    if not runs_dir.is_dir():
        return []
    return sorted(each.name for each in runs_dir.iterdir() if (each / TRIALS_FILE).is_file())


def _names(runs_dir: Path) -> str:
    # Eight fit on a line; the folder itself has the rest.
    runs = _runs(runs_dir)
    return ", ".join(runs[:8]) + (", ..." if len(runs) > 8 else "") if runs else "none"


def _read_trials(file: Path) -> tuple[TrialRow, ...]:
    try:
        with file.open(newline="", encoding="utf-8") as stream:
            reader = csv.reader(stream)
            header = next(reader, [])
            _check_header(file, header)
            rows = [_row(file, reader.line_num, header, cells) for cells in reader if cells]
    except (OSError, UnicodeDecodeError, csv.Error) as problem:
        raise RunFolderError(
            f"{file} cannot be read as a table: {problem}",
            hint="Restore it from a copy, or run the search again.",
        ) from None
    if not rows:
        raise RunFolderError(
            f"{file} has no trials yet", hint="Wait until the first trial has ended."
        )
    # While a search runs, they stand in the order in which they ended.
    return tuple(sorted(rows, key=lambda row: row.number))


def _check_header(file: Path, header: list[str]) -> None:
    for column in COLUMNS:
        if column not in header:
            near = closest(column, header)
            raise RunFolderError(
                f"{file} has no column {column}",
                hint=f"Rename {near} to {column}."
                if near and near not in COLUMNS
                else "Diagnose a run that dltune wrote, or type --train-error and --dev-error.",
            )


def _row(file: Path, number: int, header: list[str], cells: list[str]) -> TrialRow:
    if len(cells) != len(header):
        raise RunFolderError(
            f"{file}, line {number} has {len(cells)} cells, but the header has {len(header)}",
            hint=f"Take line {number} out of the file.",
        )
    line = Line(file=file, number=number, cells=dict(zip(header, cells, strict=True)))
    trial = line.whole("trial")
    if trial is None:
        raise line.refuse("trial", "the number of the trial is needed")
    state = line.cells["state"].strip()
    if state not in STATES:
        near = closest(state, STATES)
        must = f"one of {', '.join(STATES)} is needed"
        raise line.refuse("state", f"{must}; did you mean {near}?" if near else must)
    return TrialRow(
        number=trial,
        state=state,
        reason=line.cells["reason"].strip() or "no reason given",
        objective=line.number_or_none("objective"),
        best_epoch=line.whole("best_epoch"),
        epochs=line.whole("epochs"),
        train_error=line.error("train_error"),
        dev_error=line.error("dev_error"),
        test_error=line.error("test_error"),
        train_dev_error=line.error("train_dev_error"),
        # An empty split has no examples: its size is as unknown as its error.
        train_examples=line.whole("train_examples") or None,
        dev_examples=line.whole("dev_examples") or None,
        test_examples=line.whole("test_examples") or None,
        train_dev_examples=line.whole("train_dev_examples") or None,
        config={key: setting(text) for key, text in line.cells.items() if "." in key},
    )


def _read_recipe(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RunFolderError(
            f"{file} is missing: the diagnosis takes the task and the target error from it",
            hint=f"Copy the recipe of the run to {file}.",
        ) from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as problem:
        raise RunFolderError(
            f"{file} is not a recipe: {problem}", hint=f"Copy the recipe of the run to {file}."
        ) from None


def _target(recipe: Mapping[str, Any], file: Path) -> float | None:
    target = section(recipe, "objective").get("target_error")
    if target is None:
        return None
    if isinstance(target, bool) or not isinstance(target, int | float) or not target >= 0:
        raise RunFolderError(
            f"{file}, objective.target_error is {target!r}: a number, 0 or more, is needed",
            hint="Type --target-error with the human-level or best known error.",
        )
    return float(target)


def _measured(trials: tuple[TrialRow, ...]) -> list[tuple[float, int]]:
    """The train and dev errors of all trials, each with its number of examples."""
    pairs = [
        pair
        for row in trials
        for pair in ((row.train_error, row.train_examples), (row.dev_error, row.dev_examples))
    ]
    return [(error, size) for error, size in pairs if error is not None and size is not None]


def _check_shares(file: Path, trials: tuple[TrialRow, ...], task: str | None) -> None:
    if task != "classification":
        return
    for row in trials:
        for column in ERRORS:
            error = getattr(row, column)
            if error is not None and error > 1:
                raise RunFolderError(
                    f"{file}, trial {row.number}, column {column} is {error:g}: the error of a "
                    "classification is a share, from 0 to 1",
                    hint=f'Mend the cell, or set data.task = "regression" in {RECIPE_FILE}.',
                )
