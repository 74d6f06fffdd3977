"""TOML text: reading it, and writing one value for a message.

A slip in the text is told with its line, its column and the usual cause.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from dltune.errors import RecipeError


class NotTomlError(RecipeError):
    """Text that is no TOML, in contrast to TOML that says what no recipe may say."""


PLACE = re.compile(
    r"(?P<what>.*) \(at (line (?P<line>\d+), column (?P<column>\d+)|end of document)\)"
)

# A recipe has five levels of tables and lists; Python's own stack ends at about a thousand calls,
# of which tomlkit takes several a level.
DEEPEST = 32
# TOML's own limit. Longer ones overflow in the arithmetic of floats.
LARGEST_INT = 2**63 - 1


def is_deeper(value: Any, levels: int) -> bool:
    """Whether tables and lists stand in each other more than so many levels deep.

    >>> is_deeper([[1]], 1), is_deeper({"a": [1]}, 2)
    (True, False)
    """
    level = [value]
    for _ in range(levels):
        level = [entry for one in level for entry in _entries(one)]
    return any(isinstance(one, (dict, list)) for one in level)


def _entries(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def long_ints(value: Any) -> Iterator[int]:
    """The whole numbers in a value that take more than 64 bits.

    >>> list(long_ints({"seed": [1, 2**64]}))
    [18446744073709551616]
    """
    if isinstance(value, int) and abs(value) > LARGEST_INT:
        yield value
    for entry in _entries(value):
        yield from long_ints(entry)


def parse_toml(text: str, *, file: str = "") -> dict[str, Any]:
    """The table that TOML text stands for.

    file  name for the message.

    Raises `RecipeError` with file, line and column (from 1) of what is not TOML, and for values
    that nobody can compute with: nested too deeply, or whole numbers of more than 64 bits.

    >>> parse_toml("lr = 1e-4")
    {'lr': 0.0001}
    """
    too_long = f"a whole number must lie within plus or minus {LARGEST_INT}"
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _told(str(error), text, file) from None
    except RecursionError:
        raise _too_deep(file) from None
    except ValueError:  # Python reads whole numbers of a few thousand digits only
        raise RecipeError(f"{file and f'{file}: '}not valid TOML: {too_long}") from None
    if is_deeper(table, DEEPEST):
        raise _too_deep(file)
    for number in long_ints(table):
        raise RecipeError(f"{file and f'{file}: '}{shown(number)}: {too_long}")
    return table


def _too_deep(file: str) -> RecipeError:
    place = f"{file}: " if file else ""
    return RecipeError(f"{place}tables and lists must be nested {DEEPEST} levels deep at most")


def _told(message: str, text: str, file: str) -> NotTomlError:
    match = PLACE.fullmatch(message)
    lines = text.split("\n")
    line, column = len(lines), len(lines[-1]) + 1
    if match and match["line"]:
        line, column = int(match["line"]), int(match["column"])
    what = match["what"] if match else message
    place = f"{file}, line {line}, column {column}" if file else f"line {line}, column {column}"
    rest = lines[line - 1][column - 1 :].strip() if line <= len(lines) else ""
    return NotTomlError(f"{place}: not valid TOML: {what}{_usual_cause(what, rest)}")


def _usual_cause(what: str, rest: str) -> str:
    if what != "Invalid value":
        return ""
    if re.match(r"[-+]?\.\d", rest):
        return "; numbers start with a digit, as in 0.9"
    if word := re.match(r"[A-Za-z_][\w./:-]*", rest):
        simple = word[0].lower()
        return f"; write {simple}" if simple in ("true", "false") else "; text needs quotes"
    return ""


# Longer values are cut in messages, which should stay one line.
LONGEST_SHOWN = 120


def toml_value(value: Any) -> str:
    """The TOML text of a value on one line.

    >>> toml_value({"log": [1e-4, 0.1], "points": 5})
    '{log = [0.0001, 0.1], points = 5}'
    >>> toml_value(["relu", True, 3])
    '["relu", true, 3]'
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key} = {toml_value(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(toml_value, value)) + "]"
    return str(value)


def shown(value: Any) -> str:
    """The TOML text of a value, cut where it would fill the screen.

    >>> len(shown(list(range(1000))))
    120
    """
    text = toml_value(value)
    return text if len(text) <= LONGEST_SHOWN else text[: LONGEST_SHOWN - 3] + "..."
