"""What a file that calls itself CSV is: its delimiter, its header, or why it is no table."""

from __future__ import annotations

import csv
import dataclasses
import itertools
import shlex
from collections.abc import Iterator
from pathlib import Path

from dltune.data.sources.cells import number_in
from dltune.errors import DataError

DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}

SAMPLE_ROWS = 200
"""Rows looked at for the delimiter: enough to meet a cell with a comma in it, still instant."""

AGREEING_SHARE = 0.5
"""Share of the sampled rows that must have as many cells as the header: with fewer, it is prose."""

FOREIGN_BEGINNINGS = {
    b"PK\x03\x04": ("a zip archive, as Excel files are", "Save it as CSV from the spreadsheet."),
    b"\x1f\x8b": ("compressed with gzip", "Unpack it first: gunzip < FILE > unpacked.csv."),
    b"PAR1": ("a Parquet file", "Give it the ending .parquet."),
    b"\x93NUMPY": ("a NumPy array", "Save it with numpy.savez(path, X=X, y=y) as .npz."),
    b"%PDF": ("a PDF document", "Save the table in it as CSV."),
    b"\xff\xfe": ("text in UTF-16", "Save it as UTF-8: iconv -f UTF-16 -t UTF-8 FILE > utf8.csv."),
    b"\xfe\xff": ("text in UTF-16", "Save it as UTF-8: iconv -f UTF-16 -t UTF-8 FILE > utf8.csv."),
    b"<": ("HTML or XML", "Download the file itself, not the page around it."),
    b"{": ("JSON", "Write it as a table: pandas.read_json(path).to_csv(path, index=False)."),
    b"[": ("JSON", "Write it as a table: pandas.read_json(path).to_csv(path, index=False)."),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class CsvLayout:
    """How to read one CSV file.

    header_lines  lines up to and with the header.
    names         the column names, without blanks around them.
    """

    path: Path
    delimiter: str
    names: tuple[str, ...]
    header_lines: int
    notes: tuple[str, ...]


def find_layout(path: Path, *, origin: str) -> CsvLayout:
    """Find the delimiter and the header of a CSV file.

    The delimiter is the one (comma, semicolon, tab or bar) that cuts every sampled row into as
    many cells as the header has, at least two.

    Raises DataError if the file is empty, is no CSV, has no header, or can be cut in two ways.
    """
    _refuse_foreign(path, origin)
    delimiter = _find_delimiter(path, origin)
    rows = numbered_rows(path, delimiter)
    header = next(rows)
    second = next(rows, None)
    names = tuple(cell.strip() for cell in header.cells)
    if any("\ufffd" in name for name in names) and (wrong := not_utf8(path, origin)) is not None:
        raise wrong
    if all(number_in(name) is not None for name in names):
        raise DataError(
            f"{origin}, line {header.line}: holds numbers ({', '.join(names[:3])}, ...) where the "
            "names of the columns must stand",
            hint="Add a first line with one name a column to the file.",
        )
    if second is None:
        raise DataError(
            f"{origin}: has a header with {len(names)} columns but no rows under it",
            hint="Check that the file was written to its end.",
        )
    notes = []
    if delimiter != ",":
        notes.append(f"{origin}: the cells are separated by a {DELIMITERS[delimiter]}")
    if names != header.cells:
        notes.append(f"{origin}: blanks around the column names were taken off")
    return CsvLayout(
        path=path,
        delimiter=delimiter,
        names=names,
        header_lines=header.last_line,
        notes=tuple(notes),
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class NumberedRow:
    """One row of a file with the lines, from 1, on which it begins and ends."""

    line: int
    last_line: int
    cells: tuple[str, ...]


def numbered_rows(path: Path, delimiter: str, *, strict: bool = False) -> Iterator[NumberedRow]:
    """The rows of a file one by one, header first; blank lines count as lines but not as rows.

    strict  raise csv.Error for a quote that is never closed.

    Raises DataError for a cell so long that no number and no category is.
    """
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as lines:
        reader = csv.reader(lines, delimiter=delimiter, strict=strict)
        before = 0
        try:
            for cells in reader:
                if cells:
                    yield NumberedRow(
                        line=before + 1, last_line=reader.line_num, cells=tuple(cells)
                    )
                before = reader.line_num
        except csv.Error as error:
            if strict:
                raise
            raise DataError(
                f"{path.name}, line {before + 1:,}: a cell of more than "
                f"{csv.field_size_limit():,} characters, which is neither a number nor a category",
                hint="If a quote is opened there, close it; or leave the column out of the file.",
            ) from error


def not_utf8(path: Path, origin: str) -> DataError | None:
    """The error for the first byte that is not UTF-8; None if all are."""
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as wrong:
                return DataError(
                    f"{origin}, line {number:,}: byte {line[wrong.start]:#04x} is not UTF-8",
                    hint="Save it as UTF-8: "
                    f"iconv -f LATIN1 -t UTF-8 {shlex.quote(path.name)} > utf8.csv.",
                )
    return None


def _refuse_foreign(path: Path, origin: str) -> None:
    with path.open("rb") as file:
        beginning = file.read(65_536)  # binary formats have a zero byte within their first pages
    if not beginning.strip(b" \t\r\n\xef\xbb\xbf"):
        raise DataError(
            f"{origin}: the file is empty", hint="Check that it was written to its end."
        )
    for magic, (kind, hint) in FOREIGN_BEGINNINGS.items():
        if beginning.lstrip(b" \t\r\n\xef\xbb\xbf").startswith(magic):
            raise DataError(
                f"{origin}: is no CSV but {kind}", hint=hint.replace("FILE", shlex.quote(path.name))
            )
    if b"\0" in beginning:
        raise DataError(
            f"{origin}: is no CSV: it holds binary data (a zero byte at position "
            f"{beginning.index(0) + 1:,})",
            hint="Give the path of a text file with one row a line and commas between the cells.",
        )


def _find_delimiter(path: Path, origin: str) -> str:
    samples = {delimiter: _sample(path, delimiter) for delimiter in DELIMITERS}
    samples = {mark: rows for mark, rows in samples.items() if rows and len(rows[0].cells) > 1}
    if not samples:
        first = next(numbered_rows(path, ","))
        raise DataError(
            f"{origin}, line {first.line}: is no CSV: {_shorten(','.join(first.cells))!r} has no "
            "comma, semicolon, tab or bar to separate columns",
            hint="Give a table with a header, commas between the cells and at least two columns.",
        )
    agreeing = {mark: _agreeing_share(rows) for mark, rows in samples.items()}
    whole = [mark for mark, share in agreeing.items() if share == 1]
    if len(whole) > 1:
        words = " and ".join(DELIMITERS[mark] for mark in whole)
        raise DataError(
            f"{origin}: {words} both cut every line evenly, so the delimiter is not clear",
            hint="Write the file with commas, and quotes around cells that hold one.",
        )
    best = whole[0] if whole else max(agreeing, key=lambda mark: agreeing[mark])
    if agreeing[best] < AGREEING_SHARE:
        width = len(samples[best][0].cells)
        row = next(row for row in samples[best][1:] if len(row.cells) != width)
        raise DataError(
            f"{origin}: is no CSV: line {row.line} has {len(row.cells)} cells where the header has "
            f"{width}, and so have most lines",
            hint="Give a table with a header and the same number of cells on every line.",
        )
    return best


def _sample(path: Path, delimiter: str) -> list[NumberedRow]:
    """The first rows; fewer where a cell is very long, as it is if cut by another delimiter."""
    rows: list[NumberedRow] = []
    try:
        rows.extend(itertools.islice(numbered_rows(path, delimiter), SAMPLE_ROWS + 1))
    except DataError:  # told when the file is read with the delimiter that is found
        return rows[:1]
    return rows


def _agreeing_share(rows: list[NumberedRow]) -> float:
    body = [len(row.cells) == len(rows[0].cells) for row in rows[1:]]
    return sum(body) / len(body) if body else 1.0


def _shorten(text: str) -> str:
    return text if len(text) <= 40 else text[:37] + "..."
