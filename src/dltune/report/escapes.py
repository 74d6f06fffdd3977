"""Text that a terminal shows and does not obey.

Names, notes, reasons and messages hold whatever somebody has put there: escapes that clear a
screen, marks that turn the reading order round, halves of letters that no encoding has.
"""

from __future__ import annotations

import json
import re

from dltune.errors import escaped, with_escapes

# Colours and bold, and their end: what `report.terminal.render` makes of styles.
COLORS = re.compile(r"(\x1b\[[0-9;]*m)")


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
    return with_escapes(text, lambda one: json.dumps(one)[1:-1], keep="\n")
