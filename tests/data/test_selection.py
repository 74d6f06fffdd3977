from __future__ import annotations

import pytest

from dltune.data.selection import list_names

THREE = "It has 3 columns: a, b, y"


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        pytest.param(
            {"target": None},
            "t.csv: which column is to be predicted? data.target is not set. "
            f"{THREE}\nTry --set data.target=y.",
            id="no target",
        ),
        pytest.param(
            {"target": "yy"},
            f"t.csv: no column 'yy', which data.target names; did you mean 'y'? {THREE}\n"
            "Try --set data.target=y.",
            id="target misspelt",
        ),
        pytest.param(
            {"target": "price"},
            f"t.csv: no column 'price', which data.target names. {THREE}\nTry --set data.target=y.",
            id="target unlike any",
        ),
        pytest.param(
            {"drop": ["aa"]},
            f"t.csv: no column 'aa', which data.drop names; did you mean 'a'? {THREE}\n"
            "Try --set 'data.drop=[\"a\"]'.",
            id="drop misspelt",
        ),
        pytest.param(
            {"categorical": ["q"]},
            f"t.csv: no column 'q', which data.categorical names. {THREE}\n"
            "Take it out of data.categorical: --set 'data.categorical=[]'.",
            id="categorical unlike any",
        ),
        pytest.param(
            {"drop": ["a", "bb", "yy"]},
            "t.csv: no columns 'bb' and 'yy', which data.drop names; did you mean 'b' and 'y'? "
            f'{THREE}\nTry --set \'data.drop=["a", "b", "y"]\'.',
            id="two misspelt beside one that is right",
        ),
        pytest.param(
            {"target": None, "drop": ["y"]},
            "t.csv: which column is to be predicted? data.target is not set. "
            f"{THREE}\nTry --set data.target=b.",
            id="no target, and the last column dropped",
        ),
        pytest.param(
            {"drop": ["y"]},
            "t.csv: data.drop leaves out 'y', which is the target\n"
            "Take 'y' out of data.drop: --set 'data.drop=[]'.",
            id="target dropped",
        ),
        pytest.param(
            {"drop": ["a", "b"]},
            "t.csv: no column is left to learn from (3 columns: a, b, y)\n"
            "Keep at least one column beside the target out of data.drop.",
            id="all dropped",
        ),
    ],
)
def test_names_that_do_not_fit_the_table(refuse, table, settings, text):
    assert refuse(table(), **settings) == text


@pytest.mark.parametrize(
    ("header", "text"),
    [
        pytest.param(
            "a,a,y",
            "t.csv: the column name 'a' stands 2 times (columns 1, 2); names must differ\n"
            "Rename all but one of them in the file.",
            id="double",
        ),
        pytest.param(
            "a,a,y,y",
            "t.csv: the column name 'a' stands 2 times (columns 1, 2); names must differ\n"
            "Rename all but one of them in the file, and so for 'y'.",
            id="two doubles",
        ),
        pytest.param(
            ",b,y",
            "t.csv: column 1 has no name; every column needs one (pandas writes its row index "
            "so)\nName it in the file, or write the file with index=False.",
            id="empty",
        ),
    ],
)
def test_headers_that_name_no_columns(refuse, table, header, text):
    rows = table().replace("\n", ",0\n") if header.count(",") == 3 else table()
    assert refuse(header + rows[rows.index("\n") :]) == text


def test_dropped_columns_may_hold_anything(load, table):
    content = table(b=lambda row: ["", "2024-01-01", "inf"][row % 3])
    assert load(content, drop=["b"]).feature_names == ("a",)


def test_long_lists_of_names_are_cut():
    assert list_names([f"x{index}" for index in range(20)]) == (
        "20 columns: x0, x1, x2, x3, x4, x5, x6, x7, x8, x9, x10, x11, ... 8 more"
    )
