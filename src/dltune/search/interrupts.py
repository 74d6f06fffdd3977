"""Ctrl-C without torn state: it strikes while a trial trains, and waits for the writing."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any


class Interrupts:
    """Inside `with`, Ctrl-C raises KeyboardInterrupt only where `allowed()` says so.

    Elsewhere it is remembered and raised by the next `allowed()`; a second Ctrl-C changes nothing,
    so that an impatient one cannot cut off the writing. With `on_first`, which is called when the
    first one comes, a second one raises wherever it strikes. `requested` tells whether one has
    come. A handler that somebody else has installed
    stays in place, and so does Python's own outside the main thread, where no Ctrl-C arrives.

    >>> import signal
    >>> with Interrupts() as interrupts:
    ...     signal.raise_signal(signal.SIGINT)
    ...     finished = "written"
    ...     try:
    ...         with interrupts.allowed(): finished = "never reached"
    ...     except KeyboardInterrupt: print(finished)
    written
    """

    def __init__(self, *, on_first: Callable[[], None] | None = None) -> None:
        self.requested = False
        self._on_first = on_first
        self._is_allowed = False
        self._previous: Any = None

    def __enter__(self) -> Interrupts:
        in_main_thread = threading.current_thread() is threading.main_thread()
        if in_main_thread and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            self._previous = signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        if self._previous is not None:
            signal.signal(signal.SIGINT, self._previous)

    @contextlib.contextmanager
    def allowed(self) -> Iterator[None]:
        """Inside, Ctrl-C raises at once; an earlier one raises on entry."""
        if self.requested:
            raise KeyboardInterrupt
        self._is_allowed = True
        try:
            yield
        finally:
            self._is_allowed = False

    def _handle(self, signal_number: int, frame: FrameType | None) -> None:
        insisted = self.requested and self._on_first is not None
        if not self.requested and self._on_first is not None:
            self._on_first()
        self.requested = True
        if self._is_allowed or insisted:
            # A second one that comes on the way out must not reach the writing after it.
            self._is_allowed = False
            raise KeyboardInterrupt
