"""From rich renderables to plain text of a fixed width, with or without colour."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from typing import IO

from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.segment import Segment, Segments

from dltune.report.escapes import escaped_lines

PLAIN_WIDTH = 80  # of everything that does not go to a terminal: mails, issues, golden files
BARS = "▁▂▃▄▅▆▇█"


def wants_color(stream: IO[str]) -> bool:
    """Whether text on this stream may be coloured: a terminal, and the user did not say no.

    Sources: no-color.org (NO_COLOR, when set and not empty); terminfo's "dumb".
    """
    refused = bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
    return stream.isatty() and not refused


def width_of(stream: IO[str]) -> int:
    """The columns of the terminal that the stream is; 80 if it is none."""
    if not stream.isatty():
        return PLAIN_WIDTH
    return shutil.get_terminal_size(fallback=(PLAIN_WIDTH, 24)).columns


def render(renderable: RenderableType, *, width: int = PLAIN_WIDTH, color: bool = False) -> str:
    """The text that rich draws, without blanks at the ends of lines and without a last newline.

    What is drawn is shown, never obeyed: the only escapes in the text are those of styles.

    >>> render("[bold]best[/bold]: trial 3")
    'best: trial 3'
    """
    console = Console(
        width=width,
        force_terminal=color,
        color_system="standard" if color else None,
        no_color=not color,
        highlight=False,
        emoji=False,
        soft_wrap=False,
    )
    drawn = console.render(renderable)
    shown = [Segment(escaped_lines(part.text), part.style) for part in drawn if not part.control]
    with console.capture() as captured:
        console.print(Segments(shown), end="")
    return "\n".join(line.rstrip() for line in captured.get().rstrip("\n").split("\n"))


def cut_end(text: str, columns: int) -> str:
    """The beginning of a text, with "…" where it does not fit into so many columns.

    >>> cut_end("a wider range", 8), cut_end("wide", 8)
    ('a wider…', 'wide')
    """
    if cell_len(text) <= columns:
        return text
    start = text[:columns]
    while start and cell_len(start) + 1 > columns:
        start = start[:-1]
    return f"{start}…"


def cut_middle(text: str, columns: int) -> str:
    """Both ends of a text, with "…" between them where it does not fit: names differ in the end.

    >>> cut_middle("digits-mlp-wide-12", 10), cut_middle("digits-1", 10)
    ('digi…de-12', 'digits-1')
    """
    if cell_len(text) <= columns:
        return text
    start, end = text[: len(text) // 2], text[len(text) // 2 :]
    while (start or end) and cell_len(start) + 1 + cell_len(end) > columns:
        if cell_len(start) >= cell_len(end):
            start = start[:-1]
        else:
            end = end[1:]
    return f"{start}…{end}"


def sparkline(numbers: Sequence[float], *, columns: int = 40) -> str:
    """A curve in one line of text: the lowest finite number is ▁, the highest █, a hole a blank.

    columns  at most so many characters; of a longer curve each character shows the last number of
             its stretch, so that the end of the line is the end of the curve.

    >>> sparkline([0.8, 0.4, 0.1, 0.1])
    '█▄▁▁'
    >>> sparkline([1.0, float("nan"), 1.0])
    '▁ ▁'
    """
    count = min(len(numbers), columns)
    shown = [numbers[(index + 1) * len(numbers) // count - 1] for index in range(count)]
    finite = [number for number in shown if abs(number) < float("inf")]
    if not finite:
        return " " * count
    low, span = min(finite), max(finite) - min(finite)
    # Scaled before subtracting anything large, and one level for a curve that does not move.
    levels = len(BARS) - 1
    return "".join(
        BARS[round((number - low) / span * levels) if span > 0 else 0]
        if abs(number) < float("inf")
        else " "
        for number in shown
    )
