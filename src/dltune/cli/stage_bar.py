"""A bar for a command that goes through stages."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def stage_bar() -> Iterator[Callable[[str, float, float], None] | None]:
    """A bar where somebody watches; it leaves nothing behind.

    Yields what is to be called with the stage, how far it is, and how far it goes; None where
    nobody watches.
    """
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("sweep", total=None)
        yield lambda stage, done, total: bar.update(
            task, description=stage, completed=done, total=total
        )
