from __future__ import annotations

import pytest

from dltune.data.selection import list_names, set_option

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
            "Take it out of data.categorical.",
            id="categorical unlike any",
        ),
        pytest.param(
            {"drop": ["y"]},
            "t.csv: data.drop leaves out 'y', which is the target\nTake 'y' out of data.drop.",
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
            ",b,y",
            "t.csv: column 1 has no name; every column needs one (pandas writes its row index "
            "so)\nName it in the file, or write the file with index=False.",
            id="empty",
        ),
    ],
)
def test_headers_that_name_no_columns(refuse, table, header, text):
    assert refuse(table().replace("a,b,y", header)) == text


def test_dropped_columns_may_hold_anything(load, table):
    content = table(b=lambda row: ["", "2024-01-01", "inf"][row % 3])
    assert load(content, drop=["b"]).feature_names == ("a",)


@pytest.mark.parametrize(
    ("value", "typed"),
    [
        ("price", "--set data.target=price"),
        ("two words", "--set 'data.target=\"two words\"'"),
        ("true", "--set 'data.target=\"true\"'"),
        ("2024", "--set 'data.target=\"2024\"'"),
    ],
)
def test_what_is_to_be_typed_is_read_back(value, typed):
    import shlex

    from dltune.recipe.overrides import parse_override

    assert set_option("target", value) == typed
    assert parse_override(shlex.split(typed)[1]) == ("data.target", value)


def test_lists_are_read_back():
    import shlex

    from dltune.recipe.overrides import parse_override

    names = ['a "quoted" name', "it's", "ä"]
    assert parse_override(shlex.split(set_option("drop", names))[1]) == ("data.drop", names)


def test_long_lists_of_names_are_cut():
    assert list_names([f"x{index}" for index in range(20)]) == (
        "20 columns: x0, x1, x2, x3, x4, x5, x6, x7, x8, x9, x10, x11, ... 8 more"
    )
