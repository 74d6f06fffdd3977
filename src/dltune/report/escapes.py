"""Text that a terminal shows and does not obey.

Names, notes, reasons and messages hold whatever somebody has put there: escapes that clear a
screen, marks that turn the reading order round, halves of letters that no encoding has.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable

# Colours and bold, and their end: what `report.terminal.render` makes of styles.
COLORS = re.compile(r"(\x1b\[[0-9;]*m)")


def escaped(text: str) -> str:
    """The text on one line, with an escape for whatever a terminal would act on instead of showing.

    >>> print(escaped("wide\\x1b[2J\\n"), escaped("größer 大"))
    wide\\x1b[2J\\n größer 大
    """
    return _with_escapes(text, lambda one: one.encode("unicode_escape").decode(), keep="")


def escaped_lines(text: str, *, colors: bool = False) -> str:
    """The same of several lines, whose ends stay.

    colors  whether escapes for colours stay, too.

    >>> print(escaped_lines("one\\x07\\ntwo"))
    one\\x07
    two
    """
    if colors:
        parts = COLORS.split(text)  # every second one is a colour
        parts[::2] = map(escaped_lines, parts[::2])
        return "".join(parts)
    return "\n".join(map(escaped, text.split("\n")))


def escaped_json(text: str) -> str:
    """JSON text that says the same, with JSON's own escapes in it.

    >>> print(escaped_json('{"note": "\\x9b2J \\ud800 größer"}'))
    {"note": "\\u009b2J \\ud800 größer"}
    """
    return _with_escapes(text, lambda one: json.dumps(one)[1:-1], keep="\n")


def _with_escapes(text: str, escape: Callable[[str], str], *, keep: str) -> str:
    if text.isprintable():
        return text
    return "".join(
        one
        if one.isprintable() or one in keep or unicodedata.category(one) == "Zs"  # a wide blank
        else escape(one)
        for one in text
    )
