from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dltune.data.raw import NumericColumn, TextColumn
from dltune.data.sources.cells import MISSING
from dltune.data.sources.csv_table import read_csv
from dltune.recipe.schema import DataConfig

DROP_B = "leave the column out: --set 'data.drop=[\"b\"]'"
MEND_B = (
    f"Mend the file, or {DROP_B}, or, if it holds categories: --set 'data.categorical=[\"b\"]'."
)
RAGGED = "Fill or delete the row; a cell that holds the delimiter needs quotes."


@pytest.mark.parametrize(
    ("tail", "text"),
    [
        pytest.param(
            "1,2\n3,4,5\n", f"t.csv, line 42: 2 cells where the header has 3\n{RAGGED}", id="short"
        ),
        pytest.param(
            "\n1,2,3\n1,2,3,4\n",
            f"t.csv, line 44: 4 cells where the header has 3\n{RAGGED}",
            id="long, after a blank line",
        ),
        pytest.param(
            '1,"2,3\n4,5,6\n',
            't.csv, line 42: a quote (") is opened and not closed before the next cell\n'
            'Close it, or write a quote inside a quoted cell twice: "".',
            id="open quote",
        ),
        pytest.param(
            b"1,2,3\n1,\xe4,3\n",
            "t.csv, line 43: byte 0xe4 is not UTF-8\n"
            "Save it as UTF-8: iconv -f LATIN1 -t UTF-8 t.csv > utf8.csv.",
            id="latin-1",
        ),
        pytest.param(
            '1,"12,5",3\n',
            "t.csv, line 42, column 'b': '12,5' is not a number, while 40 cells of the column are\n"
            + MEND_B,
            id="decimal comma in one row",
        ),
        pytest.param(
            "1,n/a,3\n",
            "t.csv, line 42, column 'b': 'n/a' is not a number, while 40 cells of the column are\n"
            + MEND_B,
            id="n/a",
        ),
        pytest.param(
            "1,2,NA\n",
            "t.csv, line 42, column 'y': 'NA' is not a number, while 40 cells of the column are\n"
            "These stand for missing values: fill the cells, or delete their rows.",
            id="missing target",
        ),
        pytest.param(
            "1,2,oops\n",
            "t.csv, line 42, column 'y': 'oops' is not a number, while 40 cells of the column are\n"
            "Mend the file, or, if these are classes: --set data.task=classification.",
            id="target",
        ),
    ],
)
def test_rows_that_cannot_be_read(refuse, table, tail, text):
    content = table().encode() + (tail if isinstance(tail, bytes) else tail.encode())
    assert refuse(content) == text


def test_several_stray_texts_are_counted(refuse, table):
    content = table(400, b=lambda row: row if row % 50 else f"x{row}")
    assert refuse(content) == (
        "t.csv, line 2, column 'b': 'x0' is not a number, while 392 cells of the column are; "
        f"also 'x50' on line 52, 'x100' on line 102 and 5 more\n{MEND_B}"
    )


def test_line_after_a_cell_with_line_breaks(refuse, table):
    content = table(b=lambda row: '"p\nq"' if row == 0 else "r") + "1,,2\n"
    assert refuse(content).startswith("t.csv, line 43, column 'b': no value")


@pytest.mark.parametrize(
    ("words", "is_error"),
    [pytest.param(5, True, id="95 % numbers"), pytest.param(6, False, id="94 % numbers")],
)
def test_share_of_numbers_that_makes_a_column_numeric(load, refuse, table, words, is_error):
    content = table(100, b=lambda row: "word" if row < words else row % 3)
    if is_error:
        assert "'word' is not a number, while 95 cells" in refuse(content)
    else:
        note = "column 'b': only 94% of its cells are numbers, so it is taken as categorical"
        assert note in load(content).notes


@pytest.mark.parametrize("words_first", [True, False])
def test_kind_does_not_depend_on_the_order_of_rows(load, table, words_first):
    # More than one block of a megabyte, so that the first block sees one kind only.
    rows, wide = 4000, "0" * 400
    is_word = (lambda row: row < 2000) if words_first else (lambda row: row >= 2000)
    content = table(rows, a=lambda row: f"{row}.{wide}1", b=lambda row: "w" if is_word(row) else 7)
    assert len(content) > 1_500_000
    dataset = load(content)
    assert dataset.feature_names == ("a", "b=7", "b=w", "b=(other)")
    shares = dataset.train.features[:, 1:].mean(axis=0)
    np.testing.assert_allclose(shares, [0.5, 0.5, 0.0], atol=0.05)


def test_target_of_classes_may_mix_numbers_and_words(load, table):
    dataset = load(
        table(y=lambda row: row % 2 if row < 38 else "x"),
        task="classification",
        split={"test": 0.0},
    )
    assert dataset.class_names == ("0", "1", "x")


def test_forced_categories_keep_their_texts(load, table):
    dataset = load(table(b=lambda row: f"0{row % 3}"), categorical=["b"])
    assert dataset.feature_names == ("a", "b=00", "b=01", "b=02", "b=(other)")


def test_numbers_as_a_person_may_write_them(load, table):
    spelled = [" 1", "+2", "3.", ".5", "1e2"]
    dataset = load(table(b=lambda row: spelled[row % 5]), normalize="none")
    values = {float(value) for value in dataset.train.features[:, 1]}
    assert values == {1.0, 2.0, 3.0, 0.5, 100.0}


def test_the_same_numbers_as_pandas(tmp_path):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        rng.normal(size=(500, 4)) * 10.0 ** rng.integers(-9, 9, 4), columns=[*"abcy"]
    )
    frame.to_csv(tmp_path / "t.csv", index=False)
    raw = read_csv(tmp_path / "t.csv", DataConfig(source="t.csv", target="y"))
    for column, name in zip(raw.features, "abc", strict=True):
        np.testing.assert_array_equal(column.values, frame[name].to_numpy())
    np.testing.assert_array_equal(raw.targets[0].values, frame["y"].to_numpy())


WORDS = st.text(
    st.characters(categories=["L", "P", "Zs"], include_characters='",;|'), min_size=1, max_size=8
).filter(lambda word: word.strip() not in ("-", "?", ".") and word.strip().lower() not in MISSING)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(
        st.tuples(st.floats(width=32, allow_nan=False, allow_infinity=False), WORDS),
        min_size=2,
        max_size=30,
    )
)
def test_what_is_written_is_read(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("csv") / "t.csv"
    frame = pd.DataFrame(rows, columns=["a", "b"]).assign(y=1.0)
    frame.to_csv(path, index=False)
    config = DataConfig(source="t.csv", target="y", categorical=["b"])
    number, text = read_csv(path, config).features
    assert isinstance(number, NumericColumn)
    assert isinstance(text, TextColumn)
    np.testing.assert_array_equal(number.values, frame["a"].to_numpy())
    read = [text.categories[code] for code in text.codes]
    assert read == [word.strip() for _, word in rows]
