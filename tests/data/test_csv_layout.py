from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dltune.data.sources.csv_layout import numbered_rows

EMPTY = "t.csv: the file is empty\nCheck that it was written to its end."
ICONV = "Save it as UTF-8: iconv -f UTF-16 -t UTF-8 t.csv > utf8.csv."
AS_TABLE = "Write it as a table: pandas.read_json(path).to_csv(path, index=False)."


@pytest.mark.parametrize(
    ("content", "text"),
    [
        pytest.param("", EMPTY, id="no bytes"),
        pytest.param(" \n\n", EMPTY, id="blanks"),
        pytest.param(
            "a,b,y\n",
            "t.csv: has a header with 3 columns but no rows under it\n"
            "Check that the file was written to its end.",
            id="header only",
        ),
        pytest.param(
            "<!DOCTYPE html><html>",
            "t.csv: is no CSV but HTML or XML\nDownload the file itself, not the page around it.",
            id="html",
        ),
        pytest.param(
            b"PK\x03\x04rest",
            "t.csv: is no CSV but a zip archive, as Excel files are\n"
            "Save it as CSV from the spreadsheet.",
            id="excel",
        ),
        pytest.param(
            b"\x1f\x8brest",
            "t.csv: is no CSV but compressed with gzip\n"
            "Unpack it first: gunzip < t.csv > unpacked.csv.",
            id="gzip",
        ),
        pytest.param('{"a": 1}', f"t.csv: is no CSV but JSON\n{AS_TABLE}", id="json object"),
        pytest.param("[1, 2]", f"t.csv: is no CSV but JSON\n{AS_TABLE}", id="json array"),
        pytest.param(
            "a,y\n1,2\n".encode("utf-16"),
            f"t.csv: is no CSV but text in UTF-16\n{ICONV}",
            id="utf-16",
        ),
        pytest.param(
            b"abc\0def",
            "t.csv: is no CSV: it holds binary data (a zero byte at position 4)\n"
            "Give the path of a text file with one row a line and commas between the cells.",
            id="binary",
        ),
        pytest.param(
            "Dear reader\nthis is text\n",
            "t.csv, line 1: is no CSV: 'Dear reader' has no comma, semicolon, tab or bar to "
            "separate columns\nGive a table with a header, commas between the cells and at least "
            "two columns.",
            id="prose",
        ),
        pytest.param(
            "Well, this is text\nno comma here\nnone\nor, here, too\nno\nno\n",
            "t.csv: is no CSV: line 2 has 1 cells where the header has 2, and so have most lines\n"
            "Give a table with a header and the same number of cells on every line.",
            id="prose with commas",
        ),
        pytest.param(
            "a;b,c;y\n1;2,3;4\n5;6,7;8\n",
            "t.csv: comma and semicolon both cut every line evenly, so the delimiter is not clear\n"
            "Write the file with commas, and quotes around cells that hold one.",
            id="two delimiters",
        ),
        pytest.param(
            "a,größe,y\n1,2,3\n".encode("latin-1"),
            "t.csv, line 1: byte 0xf6 is not UTF-8\n"
            "Save it as UTF-8: iconv -f LATIN1 -t UTF-8 t.csv > utf8.csv.",
            id="a header in latin-1",
        ),
        pytest.param(
            "1,2,3\n4,5,6\n",
            "t.csv, line 1: holds numbers (1, 2, 3, ...) where the names of the columns must "
            "stand\nAdd a first line with one name a column to the file.",
            id="no header",
        ),
    ],
)
def test_what_is_no_csv(refuse, content, text):
    assert refuse(content) == text


@pytest.mark.parametrize(
    ("mark", "word"),
    [(";", "semicolon"), ("\t", "tab"), ("|", "bar")],
    ids=["semicolon", "tab", "bar"],
)
def test_other_delimiters_are_found_and_said(load, table, mark, word):
    found, expected = load(table().replace(",", mark)), load(table())
    assert f"t.csv: the cells are separated by a {word}" in found.notes
    np.testing.assert_array_equal(found.train.features, expected.train.features)


def test_blanks_around_names_are_taken_off_and_said(load, table):
    dataset = load(table().replace("a,b,y", "a, b ,y"))
    assert dataset.feature_names == ("a", "b")
    assert "t.csv: blanks around the column names were taken off" in dataset.notes


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda text: "\ufeff" + text, id="byte order mark"),
        pytest.param(lambda text: text.replace("\n", "\r\n"), id="windows line ends"),
        pytest.param(lambda text: text.rstrip("\n"), id="no last line end"),
        pytest.param(lambda text: "\n\n" + text + "\n\n", id="blank lines around"),
        pytest.param(lambda text: text.replace("a,b,y", '"a","b","y"'), id="quotes"),
    ],
)
def test_harmless_differences(load, table, change):
    found, expected = load(change(table())), load(table())
    assert found.feature_names == ("a", "b")
    np.testing.assert_array_equal(found.train.features, expected.train.features)


def test_lines_are_counted_as_an_editor_does(tmp_path: Path):
    path = tmp_path / "t.csv"
    path.write_text('a,b\n\n1,"x\ny"\n\n2,z\n')
    rows = list(numbered_rows(path, ","))
    assert [(row.line, row.last_line, row.cells) for row in rows] == [
        (1, 1, ("a", "b")),
        (3, 4, ("1", "x\ny")),
        (6, 6, ("2", "z")),
    ]


LONG = (
    "a cell of more than 131,072 characters, which is neither a number nor a category\n"
    "If a quote is opened there, close it; or leave the column out of the file."
)


@pytest.mark.parametrize("filling", ["x", "9", "x,"], ids=["text", "digits", "commas"])
@pytest.mark.parametrize("line", [1, 2, 20, 42])
def test_a_very_long_cell(refuse, table, filling, line):
    lines = table().splitlines()
    lines.insert(line - 1, '1,"' + filling * (2_000_000 // len(filling)) + '",3')
    assert refuse("\n".join(lines)) == f"t.csv, line {line}: {LONG}"


def test_a_quote_that_is_never_closed_in_a_large_file(refuse, table):
    content = table(20_000).replace("\n", '\n"', 1)
    assert refuse(content) == f"t.csv, line 2: {LONG}"


def test_rows_longer_than_a_block(load):
    """A million bytes are read at a time."""
    width = 300
    names = ",".join(f"x{index}" for index in range(width))
    row = ",".join(["-0.5" + "0" * 5_000] * width)
    dataset = load(f"{names},y\n" + "".join(f"{row},{index / 3}\n" for index in range(4)))
    assert dataset.input_shape == (width,)


def test_names_of_columns_are_shown_and_not_obeyed(load, refuse, table):
    rows = table(a=lambda row: 1).partition("\n")[2]
    notes = load(f'a\x1b[31m,"b\nc",y\n{rows}').notes
    assert "constant in train: a\\x1b[31m" in notes
    error = refuse(f'a\x1b[31m,"b\nc",y\n{rows}', target="z")
    assert len(error.splitlines()) == 2
    assert "It has 3 columns: a\\x1b[31m, b\\nc, y" in error
