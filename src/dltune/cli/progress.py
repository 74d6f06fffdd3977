"""How far a search is: one line on a terminal, a few plain ones elsewhere; all on stderr."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from dltune.cli.output import say
from dltune.cli.status import (
    TICK_SECONDS,
    USUAL_COLUMNS,
    StatusLine,
    whole_seconds,
)
from dltune.report.numbers import count_of, show_error
from dltune.search.events import EventKind, StudyEvent

PLAIN_LINES = 10  # of a whole search: enough to see that it moves, few enough for a log file
BAR_SHARE = 10  # one column in ten is the bar; the numbers say more
SURE_SECONDS = 0.5  # of training: before, a rate is that of the first trials to fail
SHORTEST_BAR = 8  # columns; with fewer it hardly moves
FULL, EMPTY = "━", "─"


def announcement(event: StudyEvent, folder: Path) -> str:
    """The line before a search: how many trials there will be, of what, and where they go.

    >>> start = StudyEvent(kind=EventKind.STARTED, done=4, total=20, grid_points=125)
    >>> announcement(start, Path("runs/digits"))
    'runs/digits: 20 trials of a grid of 125 points, 4 of them done already'
    """
    line = f"{folder}: {count_of(event.total, 'trial')}"
    if event.grid_points is not None:
        line += f" of a grid of {count_of(event.grid_points, 'point')}"
    return line + (f", {event.done} of them done already" if event.done else "")


def best_so_far(event: StudyEvent) -> str:
    """The best result, or the best epoch of a running trial if that is better.

    A running trial is marked: it may still diverge.
    """
    name = event.metric.replace("_", " ")
    best = None if event.best is None else event.best.ranked
    if event.leader is not None:
        running = float(getattr(event.leader, event.metric))
        if running < (math.inf if best is None else best):
            return f"best {name} {show_error(running)} (trial {event.leader.trial}, running)"
    if event.best is None:
        return "no trial complete yet"
    return f"best {name} {show_error(best)} (trial {event.best.number})"


class SearchProgress:
    """Takes in the events of a study and shows where it stands.

    folder   of the run, for the first line.
    starts   what goes on between the data and the first trial: "starting workers".
    verbose  whether to show notes on how trials are trained, too.
    clock    seconds that only ever rise.
    tick     seconds after which the line moves though nothing has happened.

    Use as a context, best before the data are loaded; on a terminal the line disappears with it,
    and the lines above it stay.
    """

    def __init__(
        self,
        folder: Path,
        *,
        starts: str = "starting workers",
        verbose: bool = False,
        clock: Callable[[], float] = time.monotonic,
        tick: float = TICK_SECONDS,
    ) -> None:
        self._folder, self._starts, self._verbose = folder, starts, verbose
        self._clock, self._began = clock, clock()
        # When the first trial began: loading torch says nothing about the speed of the rest.
        self._started: float | None = None
        self._before = 0  # trials done then
        self._said = 0.0  # trials completed when last said
        self._ends: float | None = None  # when it will, as far as one knows
        self._brevity = 0  # how short a form of the text the terminal needs
        self._status = StatusLine("loading data", clock=clock, tick=tick)

    def __enter__(self) -> SearchProgress:
        self._status.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._status.__exit__(kind, error, trace)

    def __call__(self, event: StudyEvent) -> None:
        """Take in one event."""
        if event.kind is EventKind.STARTED:
            say(*event.notes, announcement(event, self._folder))
            self._said = float(event.done)
            self._status.stage(f"{count_of(event.total, 'trial')}: {self._starts}")
        elif event.kind is EventKind.NOTED:
            if self._verbose:
                say(*event.notes)
        elif event.kind is EventKind.STOPPING:
            running = count_of(event.running, "trial")
            keeping = f"{running} end after this update, and are kept as they are"
            say(f"{event.notes[0]}: {keeping}; Ctrl-C stops at once")
        elif event.kind is EventKind.TRAINING:
            self._started, self._before = self._clock(), event.done
            self._status.show(lambda columns: self.text(event, columns))
        else:
            self._show(event)

    def text(self, event: StudyEvent, columns: int, *, has_bar: bool = True) -> str:
        """Where the study stands: counts, bar, best so far, speed, time gone and left.

        columns  that there are for it. Where there are too few, words go before numbers, and stay
                 away, so that the line is calm.
        """
        best, rate = best_so_far(event), self._rate(event)
        short = best.replace(f" {event.metric.replace('_', ' ')}", "")
        fast = rate.replace(" trials/min", "/min")
        number = short.partition(" (")[0]
        left = 0.0 if self._ends is None else self._ends - self._clock()
        now = whole_seconds(self._clock() - self._began)
        times = f"{now} gone, {whole_seconds(left)} left" if left > 0 else now
        bar = drawn_bar(completed(event) / event.total, bar_columns(columns)) if has_bar else ""
        forms = [
            (bar, best, rate, times),
            (bar, short, fast, times),
            (bar, short, times),
            (bar, number, times),
            (number, times),
            (number, times.replace(" gone", "")),
            (number, now),
            (now,),
        ]
        counts = counted(event)
        texts = ["  ".join(filter(None, (counts, *form))) for form in forms]
        while self._brevity < len(texts) - 1 and len(texts[self._brevity]) > columns:
            self._brevity += 1
        return texts[self._brevity][:columns]

    def _rate(self, event: StudyEvent) -> str:
        """Trials a minute, as a text; empty where nothing can be said."""
        seconds, new = self._training_seconds, completed(event) - self._before
        if not (new > 0 and seconds >= SURE_SECONDS):
            return ""
        rate = 60 * new / seconds
        return f"{rate:,.0f} trials/min" if rate >= 1000 else f"{rate:.3g} trials/min"

    @property
    def _training_seconds(self) -> float:
        return 0.0 if self._started is None else self._clock() - self._started

    def _show(self, event: StudyEvent) -> None:
        seconds, new = self._training_seconds, completed(event) - self._before
        if new > 0 and seconds > 0:
            left = seconds / new * (event.total - completed(event))
            self._ends = self._clock() + left
        if self._status.is_drawn:
            self._status.show(lambda columns: self.text(event, columns))
        elif (completed(event) - self._said) * PLAIN_LINES >= event.total:
            self._said = completed(event)
            say(self.text(event, USUAL_COLUMNS, has_bar=False))


def counted(event: StudyEvent) -> str:
    """How many trials are done, how many train, and how many there will be.

    >>> counted(StudyEvent(kind=EventKind.EPOCH, done=80, running=40, total=200))
    '80 done, 40 running of 200'
    >>> counted(StudyEvent(kind=EventKind.TRIAL, done=200, total=200))
    '200 done of 200'
    """
    running = f", {event.running} running" if event.running else ""
    return f"{event.done} done{running} of {event.total}"


def completed(event: StudyEvent) -> float:
    """Trials done, the running ones by the share of their epochs."""
    return min(event.done + event.share, float(event.total))


def bar_columns(width: int) -> int:
    """How long the bar itself is on a terminal of so many columns.

    >>> bar_columns(80), bar_columns(200), bar_columns(40)
    (8, 20, 8)
    """
    return max(SHORTEST_BAR, width // BAR_SHARE)


def drawn_bar(share: float, columns: int) -> str:
    """A bar of so many columns, filled to a share; of signs that the terminal has.

    >>> drawn_bar(0.5, 8)
    '━━━━────'
    """
    full = round(share * columns)
    bar = FULL * full + EMPTY * (columns - full)
    try:
        bar.encode(getattr(sys.stderr, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return "#" * full + "." * (columns - full)
    return bar
