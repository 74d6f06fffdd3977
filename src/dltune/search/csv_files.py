"""`trials.csv` and `history.csv`: rows, appended a block at a time, and rebuilt after a crash.

A block of rows is one write to a file opened for appending, so that a reader, or a kill -9, sees
whole blocks. Missing values are empty cells, floats are written with `repr` (the shortest text that
reads back as the same number), lists as JSON.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dltune.errors import RunFolderError
from dltune.search.records import SPLITS, StoredTrial
from dltune.training.history import EpochRecord

RESULT_COLUMNS = (
    "trial",
    "state",
    "reason",
    "objective",
    "best_epoch",
    "epochs",
    "train_error",
    "dev_error",
    "test_error",
    "train_loss",
    "dev_loss",
    "test_loss",
    "train_dev_error",
    *(f"{split}_examples" for split in SPLITS),
    "parameters",
    "seconds",
    "seed",
)
HISTORY_COLUMNS = tuple(field.name for field in dataclasses.fields(EpochRecord))


def cell(value: Any) -> str:
    """One value as text.

    >>> [cell(value) for value in (None, True, 3, 0.1, float("nan"), [64, 32], "two\\nlines")]
    ['', 'true', '3', '0.1', 'nan', '[64, 32]', 'two lines']
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, (list, tuple, dict)):
        return json.dumps(value)
    return " ".join(str(value).splitlines())  # a row stays a line


def trial_row(trial: StoredTrial) -> dict[str, str]:
    """The cells of one trial by column; without a column for what its config does not have."""
    result = trial.result
    values = {name: getattr(result, name, None) for name in RESULT_COLUMNS} | {
        "trial": result.number,
        "state": result.state.value,
        **{f"{split}_examples": trial.examples.get(split) for split in SPLITS},
    }
    return {name: cell(value) for name, value in (values | dict(trial.config)).items()}


def merge_columns(known: Sequence[str], rows: Iterable[Mapping[str, str]]) -> tuple[str, ...]:
    """All columns: those of the results, then the hyperparameters with each section together.

    Trials of a conditional space differ in their hyperparameters; a new one goes behind the others
    of its section. The order depends on the order of the trials alone.

    >>> merge_columns(["trial", "optim.name", "train.epochs"], [{"trial": "0", "optim.lr": "1"}])
    ('trial', 'optim.name', 'optim.lr', 'train.epochs')
    """
    names = dict.fromkeys([*known, *(name for row in rows for name in row)])
    sections = list(dict.fromkeys(name.partition(".")[0] for name in names if "." in name))
    results = [name for name in names if "." not in name]
    return (
        *results,
        *sorted(
            (name for name in names if "." in name),
            key=lambda name: sections.index(name.partition(".")[0]),
        ),
    )


class TrialsCsv:
    """`trials.csv` of one run folder."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._columns: tuple[str, ...] = ()
        self._rows: list[dict[str, str]] = []

    def rewrite(self, trials: Sequence[StoredTrial]) -> None:
        """Replace the file by these trials, atomically."""
        self._rows = [trial_row(trial) for trial in trials]
        self._columns = merge_columns(RESULT_COLUMNS, self._rows)
        replace_file(self._path, csv_text([self._columns, *self._cells(self._rows)]))

    def append(self, trials: Sequence[StoredTrial]) -> None:
        """Add rows in one write; the file is replaced where a hyperparameter is new."""
        rows = [trial_row(trial) for trial in trials]
        self._rows += rows
        columns = merge_columns(self._columns, rows)
        if columns != self._columns:
            self._columns = columns
            replace_file(self._path, csv_text([columns, *self._cells(self._rows)]))
        else:
            append_block(self._path, csv_text(self._cells(rows)))

    def _cells(self, rows: Iterable[Mapping[str, str]]) -> list[list[str]]:
        return [[row.get(name, "") for name in self._columns] for row in rows]


def append_history(path: Path, records: Iterable[EpochRecord]) -> None:
    """Add epochs to `history.csv` in one write, and onto the disk.

    The journal's entry of a trial says that its history is there, so the history must not be the
    later of the two to reach the disk.
    """
    text = csv_text([[cell(value) for value in dataclasses.astuple(one)] for one in records])
    if text:
        append_block(path, text, sync=True)


def start_history(path: Path) -> None:
    """Write a `history.csv` that has its header only."""
    replace_file(path, csv_text([HISTORY_COLUMNS]))


def read_history(path: Path) -> dict[int, tuple[EpochRecord, ...]]:
    """The epochs in `history.csv` by trial; a half-written last line is left out.

    Raises RunFolderError if the file is damaged.
    """
    records: dict[int, list[EpochRecord]] = {}
    for line, row in enumerate(_whole_rows(path), start=2):
        try:
            values = dict(zip(HISTORY_COLUMNS, row, strict=True))
            numbers: dict[str, Any] = {
                name: None if text == "" else float(text) for name, text in values.items()
            }
            record = EpochRecord(**numbers | {"trial": int(row[0]), "epoch": int(row[1])})
        except ValueError as problem:
            raise _damaged(path, f"line {line}: {problem}") from None
        records.setdefault(record.trial, []).append(record)
    return {trial: tuple(epochs) for trial, epochs in records.items()}


def keep_history(path: Path, trials: Collection[int]) -> None:
    """Replace `history.csv` by its rows of these trials, atomically.

    Raises RunFolderError if the file is damaged.
    """
    kept = {str(trial) for trial in trials}
    rows = [row for row in _whole_rows(path) if row and row[0] in kept]
    replace_file(path, csv_text([HISTORY_COLUMNS, *rows]))


def _whole_rows(path: Path) -> list[list[str]]:
    try:
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        whole = text[: text.rfind("\n") + 1]
        return list(csv.reader(io.StringIO(whole)))[1:]
    except (UnicodeDecodeError, csv.Error) as problem:
        raise _damaged(path, str(problem)) from None


def _damaged(path: Path, problem: str) -> RunFolderError:
    return RunFolderError(
        f"{path}: damaged ({problem})",
        hint=f"Move {path.name} away: the run works without the epochs of the trials so far.",
    )


def csv_text(rows: Iterable[Sequence[str]]) -> str:
    """Rows as CSV lines.

    >>> csv_text([["trial", "reason"], ["0", "too big, sorry"]])
    'trial,reason\\n0,"too big, sorry"\\n'
    """
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    return buffer.getvalue()


def append_block(path: Path, text: str, *, sync: bool = False) -> None:
    """Append text in one write."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)
    try:
        left = text.encode()
        while left:  # more than one turn only on a full disk or a signal
            left = left[os.write(descriptor, left) :]
        if sync:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace_file(path: Path, content: str | bytes) -> None:
    """Write a file so that a reader sees the old or the new one, never a part of it."""
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_bytes(content.encode() if isinstance(content, str) else content)
    with temporary.open("rb") as stream:
        os.fsync(stream.fileno())
    os.replace(temporary, path)
