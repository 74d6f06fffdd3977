"""What lr-find and batch-find have in common on the command line."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from dltune.cli.status import StatusLine
from dltune.errors import UsageError


def check_writable(option: str, path: Path, *, example: str) -> None:
    """Raise UsageError where an option names a folder, or a file in a folder that is not there.

    option   as typed, "--csv".
    path     what was given for it.
    example  name of a file, for the advice.
    """
    if path.is_dir():
        raise UsageError(
            f"{option} {path} is a folder: a file is needed",
            hint=f"Try {option} {path / example}.",
        )
    if not path.parent.is_dir():
        raise UsageError(
            f"{option} {path}: there is no folder {path.parent}",
            hint=f"Create it with mkdir -p {shlex.quote(str(path.parent))}.",
        )


def middle_note(chosen: Mapping[str, Any]) -> list[str]:
    """Which ranges stand at their middle, as a line to say; none if there are none.

    chosen  the values by name.

    >>> middle_note({"model.hidden": [64, 64]})
    ['ranges stand at their middle: model.hidden 64,64 (--set fixes another value)']
    """
    from dltune.recipe.toml import shown
    from dltune.report.numbers import show_value

    if not chosen:
        return []
    values = ", ".join(
        f"{name} {shown(value) if isinstance(value, dict) else show_value(value)}"
        for name, value in chosen.items()
    )
    return [f"ranges stand at their middle: {values} (--set fixes another value)"]


@contextlib.contextmanager
def stage_bar() -> Iterator[Callable[[str, float, float], None] | None]:
    """A line where somebody watches; it leaves nothing behind.

    Yields what is to be called with the stage, how far it is, and how far it goes; None where
    nobody watches.
    """
    with StatusLine("loading data") as status:
        if status.is_drawn:
            yield lambda stage, done, total: status.stage(f"{stage} {done / total:.0%}")
        else:
            yield None
