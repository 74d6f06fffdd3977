"""Whether a file that is to be written can be, asked before the work and not after it."""

from __future__ import annotations

import shlex
from pathlib import Path

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
