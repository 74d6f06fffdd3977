from __future__ import annotations

import shlex

import numpy as np
import pandas as pd
import pytest

from dltune.data.scaling import row_blocks
from dltune.recipe.overrides import parse_override

OUT_B = "leave the column out: --set 'data.drop=[\"b\"]'."
FILL_ONE = f"Fill the cell or delete its row, or {OUT_B}"
ONLY = "it is the only missing value"
BEYOND = "infinite, or beyond the 3.4e38 that float32 holds"
INSIST = "--set 'data.drop=[\"b\"]', or --set 'data.categorical=[\"b\"]'."


@pytest.mark.parametrize(
    ("tail", "text"),
    [
        pytest.param(
            "1,,3\n",
            f"t.csv, line 42, column 'b': no value (empty or NaN); {ONLY}\n{FILL_ONE}",
            id="one empty cell",
        ),
        pytest.param(
            "1,nan,3\n",
            f"t.csv, line 42, column 'b': no value (empty or NaN); {ONLY}\n{FILL_ONE}",
            id="one nan",
        ),
        pytest.param(
            "1,,3\n,,4\n,2,9\n,2,9\n",
            "t.csv, line 42, column 'b': no value (empty or NaN); there are 5 missing values "
            "(a 3, b 2)\nFill these cells or delete their rows.",
            id="all columns, so that leaving them out leaves none",
        ),
        pytest.param(
            "1,2,\n1,3,\n",
            "t.csv, line 42, column 'y': no value (empty or NaN); there are 2 missing values "
            "(y 2)\nFill these cells, or delete their rows.",
            id="target",
        ),
        pytest.param(
            "1,-inf,3\n",
            f"t.csv, line 42, column 'b': {BEYOND}; it is the only such value\n{FILL_ONE}",
            id="infinite",
        ),
        pytest.param(
            "1,1e39,3\n1,inf,3\n",
            f"t.csv, line 42, column 'b': {BEYOND}; there are 2 such values (b 2)\n"
            f"Fill these cells or delete their rows, or {OUT_B}",
            id="beyond float32",
        ),
        pytest.param(
            "1,1,1e39\n",
            f"t.csv, line 42, column 'y': {BEYOND}; it is the only such value\n"
            "Fill the cell, or delete its row.",
            id="target beyond float32",
        ),
    ],
)
def test_cells_that_cannot_be_used(refuse, table, tail, text):
    assert refuse(table() + tail) == text


def test_empty_cell_among_categories(refuse, table):
    content = table(b=lambda row: "ab"[row % 2]) + "1,,3\n"
    assert refuse(content) == (
        f"t.csv, line 42, column 'b': no value (empty or NaN); {ONLY}\n{FILL_ONE}"
    )


@pytest.mark.parametrize("cell", ["", "NA"])
def test_column_without_any_value(refuse, table, cell):
    assert refuse(table(b=lambda row: cell)) == (
        "t.csv, column 'b': no value in any of its 40 rows\n"
        "Leave it out: --set 'data.drop=[\"b\"]'."
    )


def test_target_without_any_value(refuse, table):
    assert refuse(table(y=lambda row: "")) == (
        "t.csv, column 'y': no value in any of its 40 rows\nName another column with data.target."
    )


@pytest.mark.parametrize(
    ("cell", "example"),
    [
        pytest.param(lambda row: f"2024-01-{row % 28 + 1:02}", "2024-01-01", id="date"),
        pytest.param(lambda row: f"{row % 28 + 1:02}.12.2024", "01.12.2024", id="german date"),
        pytest.param(lambda row: f"{row % 24:02}:30", "00:30", id="time of day"),
        pytest.param(lambda row: f"{row % 28 + 1}-Sep-03", "1-Sep-03", id="name of a month"),
        pytest.param(lambda row: f"Jan {row % 28 + 1} 2000", "Jan 1 2000", id="month first"),
    ],
)
def test_dates(refuse, table, cell, example):
    assert refuse(table(b=cell)) == (
        f"t.csv, column 'b': holds dates or times ('{example}' on line 2), which are neither "
        "numbers nor categories\n"
        f"Turn them into a number, such as days since the first, or: {INSIST}"
    )


def test_date_as_target(refuse, table):
    assert refuse(table(y=lambda row: f"2024-01-{row % 28 + 1:02}")) == (
        "t.csv, column 'y': holds dates or times ('2024-01-01' on line 2), which are neither "
        "numbers nor categories\nName another column with data.target."
    )


def test_text_that_differs_in_every_row(refuse, load, table):
    content = table(b=lambda row: f"name {row}")
    assert refuse(content) == (
        "t.csv, column 'b': 40 different texts in 40 rows; as categories they would be learned by "
        f"heart\nLeave it out or insist: {INSIST}"
    )
    assert load(content, categorical=["b"]).input_shape == (1 + 24 + 1,)
    assert load(content, drop=["b"]).feature_names == ("a",)


def test_more_than_a_thousand_categories(refuse, table):
    content = table(3000, b=lambda row: f"street {row % 1001}")
    assert refuse(content).startswith("t.csv, column 'b': 1,001 different texts in 3,000 rows;")


MENDED = "to_csv('t-mended.csv', index=False), then --set data.source=t-mended.csv"


@pytest.mark.parametrize("column", ["b", "y"])
def test_decimal_commas(refuse, table, column):
    cells = {"y": lambda row: row, column: lambda row: f"{row}.5" if row % 2 else row}
    content = table(**cells).replace(",", ";").replace(".5", ",5")
    out = ", or leave the column out: --set 'data.drop=[\"b\"]'" if column == "b" else ""
    assert refuse(content) == (
        f"t.csv, column '{column}': writes numbers with commas ('1,5' on line 3); a decimal point "
        "must stand there\nWrite a file without commas: "
        f"pandas.read_csv('t.csv', sep=';', decimal=',').{MENDED}{out}."
    )


@pytest.mark.parametrize(
    ("cell", "marks"),
    [
        pytest.param(lambda row: f"{row * row * 999:,}", "thousands=','", id="thousands"),
        pytest.param(lambda row: f"{row * 999.25:,.2f}", "thousands=','", id="and a point"),
        pytest.param(
            lambda row: f"{row * 999.25:,.2f}".translate({44: 46, 46: 44}),
            "decimal=',', thousands='.'",
            id="the other way round",
        ),
        pytest.param(lambda row: f"{row / 8:.3f}".replace(".", ","), "decimal=','", id="0,125"),
    ],
)
@pytest.mark.parametrize("as_text", [False, True], ids=["csv", "parquet"])
def test_commas_are_told_apart_and_the_advice_helps(
    load, refuse, tmp_path, monkeypatch, cell, marks, as_text
):
    frame = pd.DataFrame({"a": np.arange(40) % 3, "b": [cell(row) for row in range(40)]})
    frame["y"] = np.arange(40) / 3
    expected = [float(row * 0.125) for row in range(40)] if marks == "decimal=','" else None
    monkeypatch.chdir(tmp_path)
    if as_text:
        error = refuse(frame.to_parquet, name="t.parquet")
        code = error.partition("pandas.")[2].partition(", or leave")[0]
        numbers = eval(f"pd.{code}", {"pd": pd, "column": frame["b"]})
    else:
        error = refuse(frame.to_csv(sep=";", index=False))
        code = error.partition("pandas.")[2].partition(", then")[0]
        eval(f"pd.{code}", {"pd": pd})
        assert marks in code
        assert load(source="t-mended.csv").feature_names == ("a", "b")
        numbers = pd.read_csv("t-mended.csv")["b"]
    if expected is None:
        plain = [cell(row).replace("," if marks[0] == "t" else ".", "") for row in range(40)]
        expected = [float(text.replace(",", ".")) for text in plain]
    np.testing.assert_allclose(numbers, expected)


def test_a_comma_before_three_digits_is_doubtful(refuse, table):
    error = refuse(table(b=lambda row: f'"{row + 1},022"'))
    assert error.endswith(
        "(if 1,022 is about 1, with decimal=',' for thousands=','), or leave the column out: "
        "--set 'data.drop=[\"b\"]'."
    )


def test_all_columns_that_cannot_be_used_are_in_one_message(load, refuse):
    rows = range(60)
    frame = pd.DataFrame(
        {
            "id": [f"name {row}" for row in rows],
            "when": [f"2024-01-{row % 28 + 1:02}" for row in rows],
            "stray": ["x" if row == 30 else row % 7 for row in rows],
            "gap": [None if row == 3 else row * row for row in rows],
            "word": [None if row == 5 else "uv"[row % 2] for row in rows],
            "good": [row % 5 for row in rows],
            "old": ["" for row in rows],
            "y": [row / 3 for row in rows],
        }
    )
    error = refuse(frame.to_csv(index=False), drop=["old"])
    assert error == (
        "t.csv, line 32, column 'stray': 'x' is not a number, while 59 cells of the column are; "
        "not usable either: gap (1 missing), word (1 missing), id (60 different texts), when "
        "(dates or times)\nMend the file, or leave the columns out: "
        '--set \'data.drop=["old", "stray", "gap", "word", "id", "when"]\', or, if it holds '
        "categories: --set 'data.categorical=[\"stray\"]'."
    )
    typed = parse_override(shlex.split(error[error.index("--set ") :])[1].rstrip(","))
    assert load(drop=typed[1]).feature_names == ("good",)


def test_advice_keeps_what_the_recipe_says(refuse, load, table):
    content = "c," + table(b=lambda row: f"name {row}").replace("\n", "\nu,").removesuffix("u,")
    assert refuse(content, categorical=["c"]).endswith(
        "Leave it out or insist: --set 'data.drop=[\"b\"]', or "
        '--set \'data.categorical=["c", "b"]\'.'
    )
    counting = "n,m," + "".join(
        f"{index},{index + 5},{line}\n" if index else f"{line}\n"
        for index, line in enumerate(content.splitlines())
    )
    assert (
        "columns 'n', 'm' only count the rows; leave them out: "
        '--set \'data.drop=["b", "n", "m"]\'' in load(counting, drop=["b"]).notes
    )


def test_single_example(refuse):
    assert refuse("a,y\n1,2\n") == (
        "t.csv: has a single example; a training and a dev set need one each\n"
        "Check that the data was written to its end."
    )


LEAVE_OUT = (
    "Fill it, or leave the example out of X and y: "
    "X[numpy.isfinite(X.astype('float32').reshape(len(X), -1)).all(1)]."
)


@pytest.mark.parametrize(
    ("value", "others", "text"),
    [
        pytest.param(np.nan, 0, "NaN; it is the only such value", id="nan"),
        pytest.param(np.inf, 3, f"{BEYOND}; there are 4 NaN or infinite", id="inf and nans"),
        pytest.param(1e39, 0, f"{BEYOND}; it is the only such value", id="beyond float32"),
    ],
)
def test_arrays(refuse, value, others, text):
    array = np.zeros((40, 1, 4, 4))
    array[16, 0, 1, 2] = value
    array[17, 0, 0, :others] = np.nan

    def write(path):
        np.savez(path, X=array, y=np.arange(40) % 2)

    assert refuse(write, name="a.npz") == f"a.npz, X, row 17, at [0, 1, 2]: {text}\n{LEAVE_OUT}"


def test_place_in_a_given_split(refuse):
    clean, bad = np.zeros((10, 3)), np.zeros((10, 3))
    bad[4, 1] = np.nan
    labels = np.arange(10) % 2

    def write(path):
        np.savez(path, X_train=clean, y_train=labels, X_dev=bad, y_dev=labels)

    assert refuse(write, name="a.npz").startswith("a.npz, X, row 5 of dev, at [1]: NaN;")


def test_blocks_cover_every_row_once():
    blocks = row_blocks(10_000, (3, 32, 32))
    rows = [row for block in blocks for row in range(block.start, block.stop)]
    assert rows == list(range(10_000))
    assert len(blocks) > 1
