"""Places in the user's files, as they stand in messages."""

from __future__ import annotations

from pathlib import Path

import pytest
from torch import nn

from dltune.recipe.places import place_of, place_of_error
from dltune.recipe.references import load_reference

FILE = """\
import json
def outer(text):
    return inner(text)
def inner(text):
    return json.loads(text)
class Net:
    pass
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "net.py").write_text(FILE)
    return tmp_path


def test_the_last_line_of_the_users_that_ran(folder: Path) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011  # of the standard library
        load_reference("own/net.py:outer", folder)("no json")
    assert place_of_error(caught.value) == "own/net.py, line 5"


def test_where_a_function_or_class_begins(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inner, net = (load_reference(f"own/net.py:{name}", folder) for name in ("inner", "Net"))
    assert (place_of(inner), place_of(net)) == ("own/net.py, line 4", "own/net.py, line 6")
    monkeypatch.chdir(folder / "own")
    assert place_of(inner) == "net.py, line 4"
    monkeypatch.chdir("/")
    assert place_of(inner) == f"{str(folder).lstrip('/')}/own/net.py, line 4"


def test_what_is_not_the_users_has_no_place(folder: Path) -> None:
    assert [place_of(one) for one in (nn.Linear, len, 3, load_reference)] == [""] * 4
