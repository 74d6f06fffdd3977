"""CSV files: read in one pass, piece by piece, into finished columns."""

from __future__ import annotations

import csv
import dataclasses
import functools
import io
from collections.abc import Sequence, Set
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv

from dltune.data.commas import rewrite
from dltune.data.complaints import OR_LEAVE_OUT, Complaint
from dltune.data.dataset import Task
from dltune.data.raw import RawData
from dltune.data.selection import Selection, categorical_hint, select_columns
from dltune.data.sources.cells import has_digit_groups
from dltune.data.sources.column_reader import ColumnReader
from dltune.data.sources.csv_layout import CsvLayout, find_layout, not_utf8, numbered_rows
from dltune.errors import DataError
from dltune.recipe.schema import DataConfig

BLOCK_BYTES = 1 << 20
"""Bytes parsed at a time. Blocks of 1, 4 and 16 MiB took the same time on a file of 450 MB, and
the smallest kept a hundred megabytes less in memory."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class LinePlaces:
    """Rows by the line on which they begin, as an editor counts; the header is line 1."""

    layout: CsvLayout

    def of(self, rows: Sequence[int]) -> list[str]:
        wanted, lines = set(rows), {}
        found = numbered_rows(self.layout.path, self.layout.delimiter)
        next(found)  # the header
        for row, numbered in enumerate(found):
            if row in wanted:
                lines[row] = f"line {numbered.line:,}"
                if len(lines) == len(wanted):
                    break
        return [lines[row] for row in rows]


def read_csv(path: Path, config: DataConfig) -> RawData:
    """Read a CSV file with a header; see `find_layout` for the delimiters.

    A column is numeric if at least 95 % of its filled cells are numbers; then every other cell is
    an error. A column with fewer numbers is categorical, and so is one in `data.categorical`.
    Missing cells stay in: NaN among numbers, MISSING_CODE among categories.

    Raises DataError for a file that is no CSV, rows of different lengths, and stray texts.
    """
    origin = config.source
    layout = find_layout(path, origin=origin)
    selection = select_columns(layout.names, config, origin=origin)
    _refuse_open_quote(layout, origin)
    assert selection.target is not None
    # Classes may be numbers and words side by side; elsewhere a few words among numbers are slips.
    classes = {selection.target} if config.task == "classification" else set()
    words = selection.forced | classes
    readers = _read(layout, selection, words, config.task, origin)
    places = LinePlaces(layout=layout)
    notes = [*layout.notes, *_code_notes(readers[selection.target], config.task)]
    complaints = []
    for reader in readers.values():
        counts = reader.counts
        if reader.name in words or not counts.numbers:
            continue
        if reader.holds_numbers and counts.odd:
            complaint = _stray_text(reader, places, origin, selection.forced)
            if reader.name == selection.target:
                raise DataError(
                    complaint.found,
                    hint="Mend the file, or, if these are classes: --set data.task=classification."
                    if counts.other
                    else "These stand for missing values: fill the cells, or delete their rows.",
                )
            complaints.append(complaint)
        elif counts.other:
            notes.append(_mixed_note(reader))
    bad = {name for complaint in complaints for name in complaint.columns}
    columns = {name: reader.finish() for name, reader in readers.items() if name not in bad}
    return RawData(
        name=path.stem,
        origin=origin,
        features=tuple(columns[name] for name in selection.features if name in columns),
        targets=(columns[selection.target],),
        places=places,
        forced=selection.forced,
        notes=tuple(notes),
        complaints=tuple(complaints),
        target_key=True,
        delimiter=layout.delimiter,
    )


def _read(
    layout: CsvLayout, selection: Selection, words: Set[str], task: Task | None, origin: str
) -> dict[str, ColumnReader]:
    """Read the selected columns, and once more those that begin with numbers but hold words."""
    target = selection.target or ""
    labels = {target} if task != "regression" else set()
    read = functools.partial(_pass, layout, labels=labels, origin=origin)
    readers = read((*selection.features, target), text=selection.forced)
    again = [
        name
        for name, reader in readers.items()
        if not reader.as_text
        and (
            not reader.holds_numbers
            or (name in words and reader.counts.odd)
            or (name in labels and (reader.code is not None or _loses_labels(reader, task)))
        )
    ]
    if again:
        readers |= read(again, text=set(again))
    pa.default_memory_pool().release_unused()  # of the blocks, before the columns are scaled
    return readers


def _loses_labels(reader: ColumnReader, task: Task | None) -> bool:
    """Whether the cells are labels of so many digits that only their texts differ."""
    return reader.rounded and (task == "classification" or reader.holds_whole_numbers)


def _code_notes(target: ColumnReader, task: Task | None) -> list[str]:
    if target.code is None or task is not None or not target.counts.numbers:
        return []
    return [
        f"column {target.name!r}: {target.code.strip()!r} begins with a zero, as codes do, so its "
        "cells are taken as labels; for quantities: --set data.task=regression"
    ]


def _pass(
    layout: CsvLayout,
    names: Sequence[str],
    *,
    text: Set[str],
    labels: Set[str],
    origin: str,
    block: int = BLOCK_BYTES,
) -> dict[str, ColumnReader]:
    rows = _guess_rows(layout)
    readers = {
        name: ColumnReader(name, rows=rows, as_text=name in text, labels=name in labels)
        for name in names
    }
    ragged: list[Any] = []

    def refuse(row: Any) -> str:
        ragged.append(row)
        return "error"

    try:
        blocks = pa.csv.open_csv(
            layout.path,
            read_options=pa.csv.ReadOptions(
                column_names=list(layout.names),
                skip_rows=layout.header_lines,
                block_size=block,
                use_threads=False,  # no faster with, and memory would grow with the cores
            ),
            parse_options=pa.csv.ParseOptions(
                delimiter=layout.delimiter, newlines_in_values=True, invalid_row_handler=refuse
            ),
            convert_options=pa.csv.ConvertOptions(
                include_columns=list(names), column_types=dict.fromkeys(names, pa.string())
            ),
        )
        for piece in blocks:
            for name, column in zip(names, piece.columns, strict=True):
                readers[name].append(column)
    except pa.ArrowInvalid as error:
        if "straddling" not in str(error):
            raise _explain(error, layout, origin, bool(ragged)) from error
        # A row longer than a block: a very wide table, or else a cell that is refused here.
        for _ in numbered_rows(layout.path, layout.delimiter):
            pass
        return _pass(layout, names, text=text, labels=labels, origin=origin, block=8 * block)
    return readers


def _guess_rows(layout: CsvLayout) -> int:
    """Rows in the file by the length of those at its beginning, and a tenth more."""
    with layout.path.open("rb") as file:
        beginning = file.read(BLOCK_BYTES)
    size = layout.path.stat().st_size
    return int(1.1 * beginning.count(b"\n") * size / len(beginning)) + 1


def _refuse_open_quote(layout: CsvLayout, origin: str) -> None:
    """A quote that is never closed swallows the rest of the file, which no reader reports."""
    quotes = 0
    with layout.path.open("rb") as file:
        while block := file.read(io.DEFAULT_BUFFER_SIZE * 64):
            quotes += block.count(b'"')
    if quotes % 2 == 0:
        return
    line = 1
    try:
        for row in numbered_rows(layout.path, layout.delimiter, strict=True):
            line = row.last_line + 1
    except csv.Error as error:
        raise DataError(
            f'{origin}, line {line:,}: a quote (") is opened and not closed before the next cell',
            hint='Close it, or write a quote inside a quoted cell twice: "".',
        ) from error


def _explain(error: Exception, layout: CsvLayout, origin: str, ragged: bool) -> DataError:
    """The place of what pyarrow stumbled over; its own row numbers are those of a block."""
    if ragged:
        width = len(layout.names)
        for row in numbered_rows(layout.path, layout.delimiter):
            if len(row.cells) != width:
                return DataError(
                    f"{origin}, line {row.line:,}: {len(row.cells)} cells where the header has "
                    f"{width}",
                    hint="Fill or delete the row; a cell that holds the delimiter needs quotes.",
                )
    wrong = not_utf8(layout.path, origin)
    if wrong is not None:
        return wrong
    return DataError(f"{origin}: is no CSV: {error}", hint="Write it anew with commas and quotes.")


def _stray_text(
    reader: ColumnReader, places: LinePlaces, origin: str, forced: Set[str]
) -> Complaint:
    counts = reader.counts
    (line, *more), (_, text) = places.of([row for row, _ in counts.strays]), counts.strays[0]
    others = ""
    if counts.odd > 1:
        shown = [f"{text!r} on {at}" for at, (_, text) in zip(more, counts.strays[1:], strict=True)]
        left = counts.odd - 1 - len(shown)
        others = f"; also {', '.join(shown)}" + (f" and {left:,} more" if left else "")
    strays = [text for _, text in counts.strays]
    groups = all(has_digit_groups(text) for text in strays)
    return Complaint(
        found=f"{origin}, {line}, column {reader.name!r}: {text!r} is not a number, "
        f"while {counts.numbers:,} cells of the column are{others}",
        columns={reader.name: f"{counts.odd:,} not a number"},
        mend=rewrite(strays, origin, places.layout.delimiter) if groups else "Mend the file",
        link=OR_LEAVE_OUT,
        instead=f", or, if it holds categories: {categorical_hint([reader.name], forced)}",
    )


def _mixed_note(reader: ColumnReader) -> str:
    return (
        f"column {reader.name!r}: only {reader.counts.number_share:.0%} of its cells are numbers, "
        "so it is taken as categorical"
    )
