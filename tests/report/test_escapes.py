"""What somebody has put into a name, a note or a message is shown, and not obeyed."""

from __future__ import annotations

import json

import pytest
from rich.table import Table
from rich.text import Text

from dltune.errors import escaped
from dltune.report.escapes import escaped_json, escaped_lines
from dltune.report.terminal import render

HOSTILE = "a\x1b[2Jb\x9bc\u202ed\ud800e\x07f\x1b[31mg\rh"
SHOWN = r"a\x1b[2Jb\x9bc\u202ed\ud800e\x07f\x1b[31mg\rh"


def test_one_line() -> None:
    assert escaped(HOSTILE) == SHOWN
    assert escaped("größer 大\u00a0ß\n") == "größer 大\u00a0ß\\n"


def test_lines_and_colours() -> None:
    assert escaped_lines(f"{HOSTILE}\nß") == f"{SHOWN}\nß"
    assert escaped_lines("\x1b[1;31mred\x1b[0m\x1b[2J", colors=True) == (
        "\x1b[1;31mred\x1b[0m\\x1b[2J"
    )


def test_json_says_the_same() -> None:
    document = {"note": f"{HOSTILE} größer \U000e0001"}
    text = escaped_json(json.dumps(document, indent=2, ensure_ascii=False))
    assert json.loads(text) == document
    assert text.replace("\n", "").isprintable()
    assert "größer" in text


@pytest.mark.parametrize("color", [False, True])
def test_what_is_drawn(color: bool) -> None:
    table = Table("title", box=None)
    table.add_row(Text(HOSTILE.replace("\r", ""), style="red"))
    text = render(table, color=color)
    assert SHOWN.replace(r"\x07", "").replace(r"\r", "") in text  # rich leaves out the bell itself
    assert ("\x1b[31m" in text) is color
    assert "\x1b[2J" not in text
