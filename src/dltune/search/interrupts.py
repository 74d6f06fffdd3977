"""Signals that end a command: Ctrl-C, SIGTERM and SIGHUP, at a place where nothing is torn.

Slurm, docker, systemd and `timeout` send SIGTERM, a terminal that is closed sends SIGHUP. All mean
what Ctrl-C means: keep what there is, say how to go on, and end, with 128 + the signal's number.
One that was ignored at the start (`nohup`) stays ignored, and a handler that somebody else has
installed stays in place.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import threading
from collections.abc import Callable, Collection, Iterator
from types import FrameType
from typing import Any

NAMES = ("SIGINT", "SIGTERM", "SIGHUP")  # the last is not there on Windows
SIGNALS = tuple(getattr(signal, name) for name in NAMES if hasattr(signal, name))

# What Python does where nobody has chosen: only that is replaced.
UNTOUCHED = (signal.default_int_handler, signal.SIG_DFL)

# Where Python's own import machinery stands in a frame.
IMPORTING = "<frozen importlib._bootstrap>"


class Interruption(KeyboardInterrupt):
    """One of the signals has come.

    >>> Interruption(signal.SIGTERM).exit_code, str(Interruption(signal.SIGINT))
    (143, 'stopped by Ctrl-C')
    """

    def __init__(self, number: int = signal.SIGINT) -> None:
        super().__init__(f"stopped by {words(number)}")
        self.exit_code = exit_code(number)


def words(number: int) -> str:
    """What a person calls a signal."""
    return "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name


def exit_code(number: int) -> int:
    """What a shell reports for a process that a signal has ended."""
    return 128 + number


class Interrupts:
    """Inside `with`, a signal raises `Interruption` only where `allowed()` says so.

    Elsewhere it is remembered and raised by the next `allowed()`; a further one changes nothing, so
    that an impatient one cannot cut off the writing. Outside the main thread, where no signal
    arrives, nothing is changed.

    on_first  called when the first signal comes, in the middle of whatever this process does: it
              may set a flag and little else. If it returns True, what runs will end by itself, and
              nothing is raised before a second signal.

    requested  number of the first signal that has come; 0 while none has.

    >>> with Interrupts() as interrupts:
    ...     signal.raise_signal(signal.SIGINT)
    ...     finished = "written"
    ...     try:
    ...         with interrupts.allowed(): finished = "never reached"
    ...     except KeyboardInterrupt: print(finished)
    written
    """

    def __init__(self, on_first: Callable[[], bool] | None = None) -> None:
        self.requested = 0
        self._on_first = on_first
        self._is_due = self._is_allowed = False
        self._previous: dict[int, Any] = {}

    @property
    def reason(self) -> str:
        """What has interrupted, such as "stopped by Ctrl-C"; empty while nothing has."""
        return f"stopped by {words(self.requested)}" if self.requested else ""

    def __enter__(self) -> Interrupts:
        self._previous = _install(self)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    @contextlib.contextmanager
    def allowed(self) -> Iterator[None]:
        """Inside, a signal raises at once; an earlier one raises on entry."""
        if self._is_due:
            raise Interruption(self.requested)
        self._is_allowed = True
        try:
            yield
        finally:
            self._is_allowed = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Take in a signal: this object is its handler."""
        is_first, self.requested = not self.requested, self.requested or number
        if is_first and self._on_first is not None and self._on_first():
            return
        self._is_due = True
        if self._is_allowed:
            # A further one that comes on the way out must not reach the writing after it.
            self._is_allowed = False
            raise Interruption(self.requested)


@contextlib.contextmanager
def interruptible() -> Iterator[Interrupts]:
    """Inside, a signal raises `Interruption` wherever it strikes, once."""
    with Interrupts() as interrupts, interrupts.allowed():
        yield interrupts


@contextlib.contextmanager
def without_signals(blocked: Collection[int] = SIGNALS) -> Iterator[None]:
    """Processes that are started inside get no Ctrl-C, SIGTERM or SIGHUP while they load Python.

    Each may reach the whole process group, and this process alone is to handle it: in
    another thread at once, in this one when the block ends. A blocked signal is inherited, unlike a
    handler. Windows cannot block it; there a worker ignores it once it runs.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, blocked)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


# Folders that would stay where nothing is unwound.
TEMPORARY: list[str] = []


class Leave:
    """Ends the process at once, with one line and nothing unwound; for while nothing is kept yet.

    An import that is cut off leaves half a module, and ends in exceptions of any kind.

    always  False: only while something is imported; else an `Interruption` is raised.

    number  of the signal for which it has raised one; 0 while there was none.
    """

    def __init__(self, *, always: bool) -> None:
        self._always = always
        self.number = 0

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if not (self._always or _is_importing(frame)):
            self.number = number
            raise Interruption(number)
        for folder in TEMPORARY:
            shutil.rmtree(folder, ignore_errors=True)
        with contextlib.suppress(OSError):  # nobody reads it any more
            os.write(2, b"interrupted\n")  # not by way of a stream, which may be in use
        os._exit(exit_code(number))


def install(handler: Leave) -> None:
    """Let it take the signals of this process until its end, or those that it has been given."""
    _install(handler)


def _install(handler: Interrupts | Leave) -> dict[int, Any]:
    """The handlers before, by signal; those of somebody else are left out, and stay."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    previous = {number: signal.getsignal(number) for number in SIGNALS}
    ours = {
        number: before
        for number, before in previous.items()
        if before in UNTOUCHED or isinstance(before, Interrupts | Leave)
    }
    for number in ours:
        signal.signal(number, handler)
    return ours


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename == IMPORTING:
            return True
        frame = frame.f_back
    return False
