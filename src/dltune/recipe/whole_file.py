"""Writing a file as a whole or not at all."""

from __future__ import annotations

import os
import shutil
from pathlib import Path


def replace_file(path: Path, content: str | bytes) -> None:
    """Write a file so that a reader, or a crash, sees the old or the new one, never a part of it.

    A file that is there keeps its permissions. OSError where the system refuses; the old one then
    stays as it was.
    """
    # The process in its name: two that write one file at a time must not write one temporary.
    temporary = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        with temporary.open("wb") as stream:
            stream.write(
                content.encode(errors="backslashreplace") if isinstance(content, str) else content
            )
            stream.flush()
            os.fsync(stream.fileno())
        if path.exists():
            shutil.copymode(path, temporary)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
