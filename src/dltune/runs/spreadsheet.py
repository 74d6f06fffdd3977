"""CSV files of a run that another program has saved in a form of its own.

Spreadsheet programs write semicolons where the comma is the decimal sign, quotes, other line ends,
a byte order mark and other orders of columns. What was saved so is kept under another name, and
what can be read of it is taken over.
"""

from __future__ import annotations

import csv
import io
import itertools
import os
from collections.abc import Sequence
from pathlib import Path

BYTE_ORDER_MARK = "\ufeff"
DELIMITERS = ",;\t"


def rows_of(text: str, columns: Sequence[str]) -> list[list[str]] | None:
    """The cells of a CSV text of numbers, in the order of these columns; None if it has others.

    Where commas do not separate cells, they are decimal signs.

    >>> rows_of("\\ufefflr;trial\\r\\n0,5;3\\r\\n", ["trial", "lr"])
    [['3', '0.5']]
    >>> rows_of("trial,lr,more\\n", ["trial", "lr"]) is None
    True
    """
    text = text.removeprefix(BYTE_ORDER_MARK)
    for delimiter in DELIMITERS:
        try:
            header, *rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        except (ValueError, csv.Error):
            continue
        if sorted(header) == sorted(columns):
            places = [header.index(name) for name in columns]
            whole = [row for row in rows if len(row) == len(header)]
            decimal = "," if delimiter != "," else "."
            return [[row[place].replace(decimal, ".") for place in places] for row in whole]
    return None


def set_aside(path: Path) -> str:
    """Keep a file under another name, which nothing has yet; the line that says so.

    The name is that of the file with "-changed" behind its stem, and a number if need be.
    """
    for number in itertools.count(1):
        suffix = f"-{number}" if number > 1 else ""
        aside = path.with_name(f"{path.stem}-changed{suffix}{path.suffix}")
        if not aside.exists():
            break
    os.replace(path, aside)
    return f"{path} was saved by another program: it is kept as {aside.name}, and written anew"
