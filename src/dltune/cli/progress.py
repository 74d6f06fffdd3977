"""How far a search is: a bar on a terminal, a few plain lines elsewhere; all on stderr."""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from dltune.cli.output import say, terminal_may_be_gone
from dltune.report.numbers import count_of, show_error, show_seconds
from dltune.search.events import EventKind, StudyEvent

if TYPE_CHECKING:  # only a terminal needs it
    from rich.progress import Progress

# The bar is drawn by the coordinator itself, without a thread that would take the interpreter from
# it. One drawing takes half a millisecond, so ten a second are 0.5 % of one core.
REDRAW_SECONDS = 0.1
PLAIN_LINES = 10  # of a whole search: enough to see that it moves, few enough for a log file
BAR_SHARE = 10  # one column in ten is the bar; the numbers say more
SHORTEST_BAR = 8  # columns; with fewer it hardly moves


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
    verbose  whether to show notes on how trials are trained, too.
    clock    seconds that only ever rise.

    Use as a context; on a terminal the bar disappears with it, and the lines around it stay.
    """

    def __init__(
        self,
        folder: Path,
        *,
        verbose: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder = folder
        self._verbose = verbose
        self._clock = clock
        # When the first trial began: loading torch says nothing about the speed of the rest.
        self._started: float | None = None
        self._before = 0  # trials done then
        self._drawn = clock()
        self._said = 0.0  # trials completed when last said
        self._bar: Progress | None = None
        self._brevity = 0  # how short a form of the text the terminal needs

    def __enter__(self) -> SearchProgress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            with terminal_may_be_gone():
                self._bar.stop()

    def __call__(self, event: StudyEvent) -> None:
        """Take in one event."""
        with terminal_may_be_gone():
            self._take(event)

    def _take(self, event: StudyEvent) -> None:
        if event.kind is EventKind.STARTED:
            self._start(event)
        elif event.kind is EventKind.NOTED:
            if self._verbose:
                self._say(*event.notes)
        elif event.kind is EventKind.STOPPING:
            running = count_of(event.running, "trial")
            keeping = f"{running} end after this update, and are kept as they are"
            self._say(f"{event.notes[0]}: {keeping}; Ctrl-C stops at once")
        elif event.kind is EventKind.TRAINING:
            self._started, self._before = self._clock(), event.done
        else:
            self._show(event)

    def text(self, event: StudyEvent, columns: int | None = None) -> str:
        """What stands beside the bar: best so far, speed, time left.

        columns  that there are for it; None for as many as it takes. Where there are too few, words
                 go before numbers, and stay away, so that the line is calm.
        """
        best, rate, left = best_so_far(event), *self._speed(event)
        short = best.replace(f" {event.metric.replace('_', ' ')}", "")
        fast = rate.replace(" trials/min", "/min")
        number = short.replace("(trial ", "(")
        forms = [(best, rate, left), (short, fast, left), (number, fast, left), (number, left)]
        texts = ["  ".join(filter(None, form)) for form in forms]
        if columns is None:
            return texts[0]
        while self._brevity < len(texts) - 1 and len(texts[self._brevity]) > columns:
            self._brevity += 1
        return texts[self._brevity][:columns]

    def _speed(self, event: StudyEvent) -> tuple[str, str]:
        """Trials a minute, and the time that the rest takes; empty where nothing can be said."""
        if self._started is None:
            return "", ""
        seconds, new = self._clock() - self._started, completed(event) - self._before
        if not (new > 0 and seconds > 0):
            return "", ""
        rate = 60 * new / seconds
        left = seconds / new * (event.total - completed(event))
        return (
            f"{rate:,.0f} trials/min" if rate >= 1000 else f"{rate:.3g} trials/min",
            f"{show_seconds(left)} left" if left > 0 else "",
        )

    def _start(self, event: StudyEvent) -> None:
        say(*event.notes, announcement(event, self._folder))
        self._drawn, self._said = self._clock(), float(event.done)
        if sys.stderr.isatty() and os.environ.get("TERM") not in ("dumb", "unknown"):
            self._bar = _bar()
            self._bar.add_task("", total=event.total, trials="", completed=event.done)
            self._bar.start()

    def _say(self, *lines: str) -> None:
        if self._bar is None:
            say(*lines)
            return
        for line in lines:  # above the bar
            self._bar.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def _show(self, event: StudyEvent) -> None:
        if self._bar is not None:
            if self._clock() - self._drawn >= REDRAW_SECONDS:
                self._draw(event, self._bar)
        elif (completed(event) - self._said) * PLAIN_LINES >= event.total:
            self._said = completed(event)
            running = f", {event.running} running" if event.running > 1 else ""
            done = f"{event.done} of {count_of(event.total, 'trial')}{running}"
            say(f"{done}: {self.text(event)}")

    def _draw(self, event: StudyEvent, bar: Progress) -> None:
        self._drawn = self._clock()
        running = f"+{event.running}" if event.running else ""
        trials = f"{event.done}{running}/{event.total}"
        columns = bar.console.width - len(trials) - bar_columns(bar.console.width) - 2  # blanks
        bar.update(
            bar.task_ids[0],
            completed=completed(event),
            description=self.text(event, columns),
            trials=trials,
        )
        bar.refresh()


def completed(event: StudyEvent) -> float:
    """Trials done, the running ones by the share of their epochs."""
    return min(event.done + event.share, float(event.total))


def bar_columns(width: int) -> int:
    """How long the bar itself is on a terminal of so many columns.

    >>> bar_columns(80), bar_columns(200), bar_columns(40)
    (8, 20, 8)
    """
    return max(SHORTEST_BAR, width // BAR_SHARE)


def _bar() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    from dltune.report.terminal import wants_color

    console = Console(
        stderr=True, force_terminal=True, no_color=not wants_color(sys.stderr), highlight=False
    )
    return Progress(
        TextColumn("{task.fields[trials]}"),
        BarColumn(bar_width=bar_columns(console.width)),
        TextColumn("{task.description}", markup=False),
        console=console,
        auto_refresh=False,
        transient=True,
    )
