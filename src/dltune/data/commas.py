"""Numbers that are written with commas: decimal ones, or between groups of three digits."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dltune.data.complaints import Complaint
from dltune.data.raw import RawData, TextColumn
from dltune.data.selection import source_option
from dltune.data.sources.cells import has_decimal_comma, has_digit_groups, number_in

MOSTLY = 0.95
"""Share of a column's cells that decides what kind of text it holds; as for numbers in a CSV."""


def comma_complaint(column: TextColumn, raw: RawData) -> Complaint | None:
    """What to do about a column of numbers with commas; None if it is none.

    7,022 is seven thousand where every comma of the column stands before three digits, and about
    seven elsewhere: taking one for the other would be a silent mistake, so this is left to the
    user.
    """
    texts = column.categories
    with_comma = [text for text in texts if has_decimal_comma(text) or has_digit_groups(text)]
    numbers = np.array([number_in(text) is not None for text in texts], dtype=bool)
    commas = np.isin(texts, with_comma)
    counts = np.bincount(column.codes[column.codes >= 0], minlength=len(texts))
    if not with_comma or counts[numbers | commas].sum() < MOSTLY * counts.sum():
        return None
    row = int(np.flatnonzero(commas[column.codes])[0])
    example = f"{texts[column.codes[row]]!r} on {raw.places.of([row])[0]}"
    grouped = all(has_digit_groups(text) for text in with_comma)
    must = (
        "numbers must be written without marks between groups of digits"
        if grouped
        else "a decimal point must stand there"
    )
    return Complaint(
        found=f"{raw.origin}, column {column.name!r}: writes numbers with commas ({example}); "
        f"{must}",
        columns={column.name: "numbers with commas"},
        mend=rewrite(with_comma, raw.origin, raw.delimiter),
        link=", or leave the column out: ",
    )


def rewrite(texts: list[str], origin: str, delimiter: str | None) -> str:
    """How to write such numbers anew, with pandas.

    texts      those with commas.
    delimiter  of the CSV file; None where the data come from elsewhere.

    >>> rewrite(["7,022"], "t.csv", ",")
    "Write a file without commas: pandas.read_csv('t.csv', sep=',', thousands=',')\
.to_csv('t-mended.csv', index=False), then --set data.source=t-mended.csv \
(if 7,022 is about 7, with decimal=',' for thousands=',')"
    >>> rewrite(["1.234,5"], "t.parquet", None)
    "Make them numbers where the data come from: pandas.to_numeric(\
column.str.replace('.', '').str.replace(',', '.'))"
    """
    grouped = all(has_digit_groups(text) for text in texts)
    pointed = any("." in text for text in texts)
    doubtful = grouped and not pointed and all(text.count(",") == 1 for text in texts)
    if delimiter is None:
        steps = ".str.replace(',', '')" if grouped else ".str.replace(',', '.')"
        if pointed and not grouped:
            steps = ".str.replace('.', '')" + steps
        return f"Make them numbers where the data come from: pandas.to_numeric(column{steps})"
    marks = "thousands=','" if grouped else "decimal=','"
    if pointed and not grouped:
        marks += ", thousands='.'"
    mended = str(Path(origin).with_name(f"{Path(origin).stem}-mended.csv"))
    doubt = f" (if {texts[0]} is about {texts[0].partition(',')[0]}, with decimal=',' for {marks})"
    return (
        f"Write a file without commas: pandas.read_csv({origin!r}, sep={delimiter!r}, {marks})"
        f".to_csv({mended!r}, index=False), then {source_option(mended)}"
        f"{doubt if doubtful else ''}"
    )
