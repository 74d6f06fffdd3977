"""Where in the user's Python files something is, or went wrong: "net.py, line 12"."""

from __future__ import annotations

import inspect
import os
import traceback
from pathlib import Path
from typing import Any

from dltune.recipe.references import is_installed


def place_of_error(error: BaseException) -> str:
    """The last line of the user's that ran before an exception; "" if none did.

    >>> place_of_error(ValueError("never raised"))
    ''
    """
    frames = traceback.extract_tb(error.__traceback__)
    last = next((one for one in reversed(frames) if _is_users(one.filename)), None)
    return "" if last is None else _place(last.filename, last.lineno)


def place_of(thing: Any) -> str:
    """Where a function or class of the user's begins; "" if it is none.

    >>> place_of(os.path.join)
    ''
    """
    try:
        file, (_, line) = inspect.getsourcefile(thing), inspect.getsourcelines(thing)
    except (TypeError, OSError):  # no function or class, or its file is gone
        return ""
    return _place(file, line) if file is not None and _is_users(file) else ""


def at(place: str) -> str:
    """A place as it stands behind what is said about it.

    >>> at("net.py, line 12"), at("")
    (' (net.py, line 12)', '')
    """
    return f" ({place})" if place else ""


def _is_users(file: str) -> bool:
    return file.endswith(".py") and not is_installed(file)  # "<string>" is no file


def _place(file: str, line: int | None) -> str:
    """The file as one would type it here."""
    path = Path(os.path.abspath(file))
    shown = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    return f"{shown}, line {line}"
