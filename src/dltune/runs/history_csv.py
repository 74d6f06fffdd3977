"""`history.csv`: a row an epoch; the journal has none, so that nothing else gives them back."""

from __future__ import annotations

import dataclasses
import itertools
import operator
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from dltune.recipe.whole_file import replace_file
from dltune.runs.about import FORMAT
from dltune.runs.csv_files import append_block, csv_text, damaged, text_of, whole_lines
from dltune.runs.spreadsheet import rows_of, set_aside
from dltune.training.history import EpochRecord

EPOCH_FIELDS = tuple(field.name for field in dataclasses.fields(EpochRecord))
HISTORY_COLUMNS = (*EPOCH_FIELDS, "format")
# An older dltune wrote no format.
HISTORY_HEADERS = [",".join(columns) + "\n" for columns in (HISTORY_COLUMNS, EPOCH_FIELDS)]


def append_history(path: Path, records: Iterable[EpochRecord]) -> None:
    """Add epochs to `history.csv` in one write, and onto the disk.

    The journal's entry of a trial says that its history is there, so the history must not be the
    later of the two to reach the disk.
    """
    text = "".join(map(_history_line, records))
    if text:
        append_block(path, text, sync=True)


_history_cells = operator.attrgetter(*EPOCH_FIELDS)


def _history_line(record: EpochRecord) -> str:
    """Numbers and None need no quotes: without a CSV writer, most of the work of an append goes."""
    return ",".join(map(str, _history_cells(record))).replace("None", "") + f",{FORMAT}\n"


def start_history(path: Path) -> None:
    """Write a `history.csv` that has its header only."""
    replace_file(path, csv_text([HISTORY_COLUMNS]))


def read_history(
    path: Path, trials: Collection[int] | None = None
) -> dict[int, tuple[EpochRecord, ...]]:
    """The epochs in `history.csv` by trial; a half-written last line is left out.

    trials  only those of these trials; None for all.

    Raises RunFolderError if the file is damaged.
    """
    records: dict[int, list[EpochRecord]] = {}
    kept = None if trials is None else {str(number) for number in trials}
    for place, line in enumerate(_history_lines(text_of(path))[1:], start=2):
        cells = line.rstrip("\n").split(",")  # numbers only: nothing is quoted
        if kept is not None and cells[0] not in kept:
            continue
        try:
            is_old = len(cells) == len(EPOCH_FIELDS)  # an older dltune wrote no format
            columns = EPOCH_FIELDS if is_old else HISTORY_COLUMNS
            values = dict(zip(columns, cells, strict=True))
            values.pop("format", None)
            numbers: dict[str, Any] = {
                name: None if text == "" else float(text) for name, text in values.items()
            }
            record = EpochRecord(**numbers | {"trial": int(cells[0]), "epoch": int(cells[1])})
        except ValueError as problem:
            raise damaged(path, f"line {place}: {problem}") from None
        if record.epoch == 1:
            records[record.trial] = []  # one that was interrupted is trained from its start
        records.setdefault(record.trial, []).append(record)
    return {trial: tuple(epochs) for trial, epochs in records.items()}


def keep_history(path: Path, trials: Collection[int]) -> list[str]:
    """Replace `history.csv` by its rows of these trials in order of number, atomically.

    Of a trial that was interrupted and trained again, the later rows stay. What another program has
    saved is kept under another name; returns a line that says so.

    Raises RunFolderError if the file is damaged.
    """
    kept: dict[str, list[str]] = {str(number): [] for number in sorted(trials)}
    text = text_of(path)
    header, *rows = _history_lines(text) or [csv_text([HISTORY_COLUMNS])]
    numbers = [line.partition(",")[0] for line in rows]
    for line, number in zip(rows, numbers, strict=True):
        if number in kept:
            if line.split(",", 2)[1:2] == ["1"]:  # as in `read_history`
                kept[number].clear()
            kept[number].append(line)
    is_killed = "\n" not in text and "\r" not in text  # before the header was whole
    is_ours = text.startswith(header) and all(map(str.isdecimal, numbers))
    notes = [] if is_ours or is_killed else [set_aside(path)]
    replace_file(path, "".join([header, *itertools.chain.from_iterable(kept.values())]))
    return notes


def _history_lines(text: str) -> list[str]:
    """The whole lines of a `history.csv` in dltune's own form, whatever program has saved it."""
    lines = whole_lines(text)
    if lines and lines[0] in HISTORY_HEADERS:
        return lines
    for columns in (HISTORY_COLUMNS, EPOCH_FIELDS):
        rows = rows_of(text, columns)
        if rows is not None:
            return [_plain_line(columns), *map(_plain_line, rows)]
    return [_plain_line(HISTORY_COLUMNS), *lines[1:]]


def _plain_line(cells: Iterable[str]) -> str:
    return ",".join(cells) + "\n"
