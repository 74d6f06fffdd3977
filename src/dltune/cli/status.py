"""What stands at the foot of a terminal: what is being done, and for how long."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import IO, Any, Self

from dltune.report.numbers import show_seconds

# Drawn again without any news, so that one sees that it is alive. A thread that wakes once a second
# takes nothing from a training.
TICK_SECONDS = 1.0
# One drawing takes a tenth of a millisecond, so ten a second are 0.1 % of one core.
REDRAW_SECONDS = 0.1
USUAL_COLUMNS, USUAL_LINES = 80, 24
# After a line of somebody else's, several lines come back at once: without them the screen would
# jump. A terminal takes a hundred such drawings a second easily.
RETURN_SECONDS = 0.01
TO_LINE_END, TO_SCREEN_END, UP = "\x1b[K", "\x1b[J", "\x1b[{}A"  # what to erase, and the way back


def is_watched(stream: IO[str]) -> bool:
    """Whether a stream is a terminal that can draw a line again."""
    return stream.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")


def obeys_escapes() -> bool:
    """Whether a terminal that can draw again does: Windows' old console shows them."""
    return sys.platform != "win32" or "WT_SESSION" in os.environ


def columns_of(stream: IO[str]) -> int:
    """How wide a terminal is; `COLUMNS` overrules it, as everywhere."""
    wanted = os.environ.get("COLUMNS", "")
    if wanted.isdigit() and int(wanted) > 0:
        return int(wanted)
    with contextlib.suppress(OSError, ValueError):  # ValueError: no file behind it
        return os.get_terminal_size(stream.fileno()).columns or USUAL_COLUMNS
    return USUAL_COLUMNS


def lines_of(stream: IO[str]) -> int:
    """How high a terminal is; `LINES` overrules it."""
    wanted = os.environ.get("LINES", "")
    if wanted.isdigit() and int(wanted) > 0:
        return int(wanted)
    with contextlib.suppress(OSError, ValueError):
        return os.get_terminal_size(stream.fileno()).lines or USUAL_LINES
    return USUAL_LINES


def whole_seconds(seconds: float) -> str:
    """A duration that does not flicker.

    >>> whole_seconds(7.6), whole_seconds(59.5), whole_seconds(63.2)
    ('8 s', '1 min 0 s', '1 min 3 s')
    """
    return f"{seconds:.0f} s" if seconds < 59.5 else show_seconds(round(seconds))


def drop_streams() -> None:
    """Send what a stream can no longer take to nowhere.

    The interpreter flushes both when it ends, and would complain then.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


@contextlib.contextmanager
def terminal_may_be_gone() -> Iterator[None]:
    """Inside, what is written to a terminal that was closed (EIO) is lost, and work goes on."""
    try:
        yield
    except OSError as gone:
        if gone.errno != errno.EIO:
            raise
        drop_streams()


class StatusLine:
    """A line, or several, drawn again and again on stderr; where nobody watches, nothing is drawn.

    stage  what is being done, until something else is shown.
    clock  seconds that only ever rise.
    tick   seconds after which it is drawn again though nothing has happened.

    Use as a context. Meanwhile whatever is written to `sys.stderr` appears above the line, which
    disappears at the end. It leaves the last column free: some terminals wrap when it is written.

    After several lines the cursor stands at the beginning of the first, which is best left empty:
    whatever does not come by way of `sys.stderr` (a signal's handler, the ^C that a terminal shows,
    a library in C) is written there, and the next drawing begins below it. So does one after the
    terminal has become narrower and has broken the lines: what it broke lies behind the cursor.
    """

    def __init__(
        self,
        stage: str,
        *,
        clock: Callable[[], float] = time.monotonic,
        tick: float = TICK_SECONDS,
    ) -> None:
        self._clock, self._tick = clock, tick
        self._began = self._drawn = self._returned = clock()
        self._text: Callable[[int], str] = lambda columns: f"{stage}  {self.elapsed}"
        self._length = 0  # of the line that stands there
        self._block: list[str] = []  # the lines, where there are several
        self._stands = False  # whether they do, and have not been erased
        self._size = (0, 0)  # of the terminal when it was drawn: columns, lines
        self._is_open = False  # whether a line above it has no end yet
        self._stream: IO[str] | None = None
        self._lock = threading.RLock()
        self._over = threading.Event()

    @property
    def is_drawn(self) -> bool:
        """Whether somebody watches."""
        return self._stream is not None

    @property
    def elapsed(self) -> str:
        """How long it has been there."""
        return whole_seconds(self._clock() - self._began)

    def stage(self, text: str) -> None:
        """From now on this is being done."""
        self.show(lambda columns: f"{text}  {self.elapsed}")

    def show(self, text: Callable[[int], str]) -> None:
        """From now on this is shown.

        text  of the columns that there are, in one line or in several, which must fit them; called
              again at every drawing.
        """
        self._text = text
        if self._clock() - self._drawn >= REDRAW_SECONDS:
            self.draw()

    def draw(self) -> None:
        """Draw it now."""
        with self._lock, terminal_may_be_gone():
            if self._stream is None or self._is_open:
                return
            self._drawn = self._clock()
            self._size = columns_of(self._stream), lines_of(self._stream)
            columns = self._size[0] - 1
            lines = self._text(columns).split("\n")
            if len(lines) > 1:
                # Higher than the screen, they would push a copy of their first out each time.
                self._draw_block(lines[: self._size[1] - 1])
            else:
                self._draw_line(lines[0][:columns], columns)
            self._stream.flush()

    def keep(self, stage: str) -> None:
        """Leave several lines where they are, as they are now; below, this is being done."""
        with self._lock, terminal_may_be_gone():
            if self._stream is not None:
                if self._is_open:
                    self.write_above("\n")
                self.draw()
                if self._stands:
                    self._stream.write("\n" * len(self._block))
                self._block, self._stands = [], False
            self.stage(stage)
            self.draw()

    def _draw_line(self, line: str, columns: int) -> None:
        assert self._stream is not None
        if self._stands:
            self._erase()
        self._block = []
        self._stream.write("\r" + line.ljust(min(self._length, columns)))
        self._length = len(line)

    def _draw_block(self, lines: list[str]) -> None:
        assert self._stream is not None
        self._block, self._stands, self._length = lines, True, 0
        text = "\n".join(line + TO_LINE_END for line in lines)
        self._stream.write(f"\r{text}{TO_SCREEN_END}\r{UP.format(len(lines) - 1)}")

    def _erase(self) -> None:
        """Leave nothing of what stands there."""
        assert self._stream is not None
        if self._stands:
            self._stream.write(f"\r{TO_SCREEN_END}")
        elif self._length:
            self._stream.write("\r" + " " * self._length + "\r")
        self._stands, self._length = False, 0

    def write_above(self, text: str) -> int:
        """Write to the terminal above the line, which comes back after a whole line only."""
        with self._lock:
            assert self._stream is not None
            self._erase()
            count = self._stream.write(text)
            if text:
                self._is_open = not text.endswith("\n")
            if self._block and not self._is_open:
                self._return()
            self._stream.flush()
        return count

    def _return(self) -> None:
        """Let several lines stand again as they were; in a terminal of another size, at a tick."""
        assert self._stream is not None
        now, size = self._clock(), (columns_of(self._stream), lines_of(self._stream))
        if now - self._returned >= RETURN_SECONDS and size == self._size:
            self._returned = now
            self._draw_block(self._block)

    def __enter__(self) -> Self:
        if is_watched(sys.stderr):
            self._stream = sys.stderr
            sys.stderr = _Above(self, self._stream)
            self.draw()
            threading.Thread(target=self._tick_on, daemon=True).start()
        return self

    def _tick_on(self) -> None:
        with contextlib.suppress(OSError):  # the terminal has gone
            while not self._over.wait(self._tick):
                self.draw()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        with self._lock:
            if self._stream is not None:
                with terminal_may_be_gone():
                    self._erase()
                    self._stream.flush()
                sys.stderr, self._stream = self._stream, None


class _Above:
    """Stands for stderr while a status line is drawn on it."""

    def __init__(self, status: StatusLine, stream: IO[str]) -> None:
        self._status, self._stream = status, stream

    def write(self, text: str) -> int:
        """As a stream does."""
        return self._status.write_above(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
