"""How far a search is: a bar on a terminal, a few plain lines elsewhere; all on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from dltune.cli.output import say
from dltune.report.numbers import count_of, show_error, show_seconds
from dltune.report.terminal import wants_color
from dltune.search.events import EventKind, StudyEvent

# The bar is drawn by the training itself, without a thread that would take the interpreter from it.
# One drawing takes half a millisecond, so ten a second are 0.5 % of one core.
REDRAW_SECONDS = 0.1
PLAIN_LINES = 10  # of a whole search: enough to see that it moves, few enough for a log file


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


class SearchProgress:
    """Takes in the events of a study and shows where it stands.

    folder  of the run, for the first line.
    clock   seconds that only ever rise.

    Use as a context; on a terminal the bar disappears with it, and the lines around it stay.
    """

    def __init__(self, folder: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder = folder
        self._clock = clock
        self._started = self._drawn = clock()
        self._running: dict[int, float] = {}  # share of its epochs done, by trial
        self._before = self._said = 0  # trials done at the start, and when last said
        self._console = Console(stderr=True, no_color=not wants_color(sys.stderr), highlight=False)
        # Expanded, the bar takes what the text leaves of the line.
        self._bar = Progress(
            TextColumn("{task.fields[trials]}"),
            BarColumn(bar_width=None),
            TextColumn("{task.description}"),
            console=self._console,
            auto_refresh=False,
            transient=True,
            expand=True,
        )

    def __enter__(self) -> SearchProgress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar.task_ids:
            self._bar.stop()

    def __call__(self, event: StudyEvent) -> None:
        """Take in one event."""
        if event.kind is EventKind.STARTED:
            self._start(event)
            return
        assert event.number is not None  # every event but the first is about a trial
        if event.kind is EventKind.TRIAL:
            self._running.pop(event.number, None)
        else:
            self._running[event.number] = (event.epoch or 0) / (event.epochs or 1)
        if self._console.is_terminal:
            self._draw(event)
        elif (event.done - self._said) * PLAIN_LINES >= event.total:
            self._said = event.done
            say(f"{event.done} of {count_of(event.total, 'trial')}: {self.text(event)}")

    def text(self, event: StudyEvent) -> str:
        """What stands beside the bar: best so far, speed, time left."""
        parts = ["no trial complete yet"]
        if event.best is not None:
            best = show_error(event.best.dev_error)
            parts = [f"best dev error {best} (trial {event.best.number})"]
        seconds, new = self._clock() - self._started, self.completed(event) - self._before
        if new > 0 and seconds > 0:
            rate = 60 * new / seconds
            parts.append(f"{rate:,.0f} trials/min" if rate >= 1000 else f"{rate:.3g} trials/min")
            left = seconds / new * (event.total - self.completed(event))
            parts += [f"{show_seconds(left)} left"] if left > 0 else []
        return "  ".join(parts)

    def completed(self, event: StudyEvent) -> float:
        """Trials done, the running ones by the share of their epochs."""
        return min(event.done + sum(self._running.values()), float(event.total))

    def _start(self, event: StudyEvent) -> None:
        say(*event.notes, announcement(event, self._folder))
        self._started = self._drawn = self._clock()
        self._before = self._said = event.done
        if self._console.is_terminal:
            self._bar.add_task(self.text(event), total=event.total, trials="", completed=event.done)
            self._bar.start()

    def _draw(self, event: StudyEvent) -> None:
        now = self._clock()
        if now - self._drawn < REDRAW_SECONDS:
            return
        self._drawn = now
        self._bar.update(
            self._bar.task_ids[0],
            completed=self.completed(event),
            description=self.text(event),
            trials=f"{event.done}/{event.total}",
        )
        self._bar.refresh()
