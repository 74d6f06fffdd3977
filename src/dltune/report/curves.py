"""The curves of one training in characters: loss and error over the epochs, train and dev."""

from __future__ import annotations

import dataclasses
import itertools
import math
import re
import textwrap
from collections.abc import Iterator, Sequence

from dltune.report.escapes import COLORS
from dltune.report.numbers import show_value
from dltune.report.terminal import PLAIN_WIDTH
from dltune.training.history import EpochRecord

CURVE_ROWS = 12  # with the lines around it, half of a screen of 24 lines
GAP = 1  # blank columns between the two plots
# Columns and rows in which a plot still has as much curve as frame.
NARROWEST, LOWEST = 48, 7
FRAME_ROWS = 4  # title, two borders, epochs
# Dots of a line that takes eight to a character are told from whole ones without any colour.
DEV, TRAIN = "braille", "·"
LEGEND = {"train": "·", "dev": "⠒"}
TINTS = ((re.compile("[\u2801-\u28ff]+"), "\x1b[36m"), (re.compile("·+"), "\x1b[33m"))
PLAIN = "\x1b[0m"
DECADE = 10.0  # on a linear axis, a tenth of the rows would be left for the rest of the curve
FEW_ROWS = 5  # of labels: plotext draws a third one into the row of another
X_LABEL = 8  # columns of one epoch on the axis, with the blanks beside it


@dataclasses.dataclass(frozen=True, kw_only=True)
class Axis:
    """How the figures of a plot become heights.

    log    whether the height is the logarithm of the figure.
    ticks  figures that are labelled, as heights, and their labels.
    """

    low: float
    high: float
    log: bool
    ticks: tuple[list[float], list[str]]

    @property
    def ends(self) -> tuple[list[float], list[str]]:
        """The lowest and the highest label."""
        places, labels = self.ticks
        keep = slice(None, None, max(1, len(places) - 1))
        return places[keep], labels[keep]

    def height(self, value: float) -> float:
        """Where on the axis a finite figure stands."""
        return math.log10(value) if self.log else value


def can_hold_curves(columns: int, rows: int) -> bool:
    """Whether there is room for both plots beside each other.

    >>> can_hold_curves(48, 7), can_hold_curves(30, 20), can_hold_curves(80, 5)
    (True, False, False)
    """
    return columns >= NARROWEST and rows >= LOWEST


def tinted(text: str) -> str:
    """The same with a colour for each split, by the signs that its curve is drawn with."""
    for sign, tint in TINTS:
        text = sign.sub(rf"{tint}\g<0>{PLAIN}", text)
    return text


def legend() -> str:
    """Which sign is which split.

    >>> legend()
    '⠒ dev   · train'
    """
    return "   ".join(f"{sign} {split}" for split, sign in reversed(LEGEND.items()))


def draw_curves(history: Sequence[EpochRecord], *, width: int = PLAIN_WIDTH) -> str:
    """The curves with their legend; empty without epochs, or where they are too wide."""
    if not history or not can_hold_curves(width, CURVE_ROWS):
        return ""
    return f"{render_curves(history, width=width)}\n{legend()}"


def render_readings(readings: Sequence[str], *, width: int = PLAIN_WIDTH) -> str:
    """What the curves say, a paragraph each.

    >>> print(render_readings(["train loss flat since epoch 5, at 2.3"], width=30))
    curves: train loss flat since
      epoch 5, at 2.3
    """
    paragraphs = [
        textwrap.wrap(
            f"curves: {reading}",
            width,
            subsequent_indent="  ",
            break_long_words=False,
            break_on_hyphens=False,
        )
        for reading in readings
    ]
    return "\n".join(itertools.chain.from_iterable(paragraphs))


def render_curves(
    history: Sequence[EpochRecord], *, width: int = PLAIN_WIDTH, rows: int = CURVE_ROWS
) -> str:
    """Loss and error over the epochs, beside each other; without colour.

    history  of one trial, in order; a figure that is not finite leaves a hole in its curve.
    width    columns of both together, as `can_hold_curves` has them; more than 80 are not used.
    rows     lines of the text.
    """
    columns = (min(width, PLAIN_WIDTH) - GAP) // 2
    plots = [_draw(history, figure, columns, rows).split("\n") for figure in ("loss", "error")]
    pairs = itertools.zip_longest(*plots, fillvalue="")
    return "\n".join(f"{left:{columns + GAP}}{right}".rstrip() for left, right in pairs)


def _draw(history: Sequence[EpochRecord], figure: str, columns: int, rows: int) -> str:
    from plotext import figure as canvas
    from plotext import terminal

    curves = {
        marker: [float(getattr(one, f"{split}_{figure}")) for one in history]
        for split, marker in (("train", TRAIN), ("dev", DEV))
    }
    axis = axis_of(itertools.chain.from_iterable(curves.values()), of_shares=figure == "error")
    labels = axis.ticks if rows - FRAME_ROWS >= FEW_ROWS else axis.ends
    first, last = history[0].epoch, history[-1].epoch
    canvas.clear()  # plotext has one figure for the whole process
    terminal.limit(False, False)  # the size is the caller's, also where there is no terminal
    try:
        canvas.theme("colorless")
        canvas.plot_size(columns, rows)
        for marker, values in curves.items():
            for start, stretch in finite_stretches(values):
                epochs, heights = thinned(
                    [one.epoch for one in history[start : start + len(stretch)]],
                    [axis.height(value) for value in stretch],
                    points=2 * columns,
                )
                line = canvas.signal(epochs, heights, marker=marker)
                line.lines(len(epochs) > 1)
                canvas.draw(line)
        one = 1 if first == last else 0  # a single epoch stands in the middle
        canvas.ruler("x").lim(first - one, last + one)
        canvas.ruler("y").lim(axis.low, axis.high)
        canvas.ruler("x").ticks(*epoch_ticks(first, last, columns))
        canvas.ruler("y").ticks(*labels)
        canvas.title(f"{figure}, log scale" if axis.log else figure)
        drawn = COLORS.sub("", str(canvas.build()))
    finally:
        canvas.clear()
        terminal.limit(True, True)
    return "\n".join(line.rstrip() for line in drawn.rstrip("\n").split("\n"))


def axis_of(figures: Iterator[float], *, of_shares: bool = False) -> Axis:
    """An axis for all finite figures; a logarithmic one where they span a decade.

    of_shares  then only beyond 1, where no share is.

    >>> axis = axis_of(iter([2.0, 0.02, math.nan]))
    >>> axis.log, axis.ticks
    (True, ([-1.0, 0.0], ['1e-1', '1']))
    >>> axis_of(iter([0.5, 0.25])).ticks
    ([0.25, 0.375, 0.5], ['0.25', '0.375', '0.5'])
    """
    finite = [figure for figure in figures if math.isfinite(figure)]
    low, high = (min(finite), max(finite)) if finite else (0.0, 1.0)
    if low > 0 and high / low >= DECADE and (high > 1 or not of_shares):
        from dltune.report.lr_plot import rate_ticks  # with scipy, which no other curve needs

        ticks = rate_ticks(low, high)
        return Axis(low=math.log10(low), high=math.log10(high), log=True, ticks=ticks)
    if low == high:  # a constant curve still needs an axis
        room = abs(low) or 1.0
        return Axis(low=low - room, high=high + room, log=False, ticks=([low], _labels([low])))
    places = [low, low / 2 + high / 2, high]
    return Axis(low=low, high=high, log=False, ticks=(places, _labels(places)))


def _labels(figures: Sequence[float]) -> list[str]:
    """Three decimals, which is more than a row of a plot can tell, or two digits."""
    if all(figure == 0 or 0.01 <= abs(figure) < DECADE for figure in figures[1:] or figures):
        return [f"{figure:.3f}".rstrip("0").rstrip(".") for figure in figures]
    return [show_value(float(f"{figure:.2g}")) for figure in figures]


def finite_stretches(values: Sequence[float]) -> Iterator[tuple[int, list[float]]]:
    """The pieces between figures that are not finite, each with the place of its first.

    >>> list(finite_stretches([1.0, math.nan, 2.0, 3.0]))
    [(0, [1.0]), (2, [2.0, 3.0])]
    """
    for is_finite, piece in itertools.groupby(
        enumerate(values), key=lambda pair: math.isfinite(pair[1])
    ):
        if is_finite:
            pairs = list(piece)
            yield pairs[0][0], [value for _, value in pairs]


def thinned(
    epochs: Sequence[int], heights: Sequence[float], *, points: int
) -> tuple[list[int], list[float]]:
    """At most so many points of a longer curve, and its last: lowest and highest of each stretch.

    So a spike stays.

    points  at least 2.

    >>> thinned(range(1, 9), [0, 9, 3, 2, 2, 2, -9, 3], points=4)
    ([1, 2, 7, 8], [0, 9, -9, 3])
    """
    count = len(heights)
    if count <= points:
        return list(epochs), list(heights)
    stretches = points // 2
    kept = {count - 1}
    for number in range(stretches):
        stretch = range(number * count // stretches, (number + 1) * count // stretches)
        kept |= {min(stretch, key=heights.__getitem__), max(stretch, key=heights.__getitem__)}
    return [epochs[at] for at in sorted(kept)], [heights[at] for at in sorted(kept)]


def epoch_ticks(first: int, last: int, columns: int) -> tuple[list[int], list[str]]:
    """Which epochs are labelled: both ends, and as many round ones between as there is room for.

    >>> epoch_ticks(1, 50, 39)[0], epoch_ticks(1, 1, 39)[1], epoch_ticks(1, 500, 24)[0]
    ([1, 20, 40, 50], ['1'], [1, 200, 500])
    """
    span, room = last - first, max(1, columns // X_LABEL)
    steps = (base * 10**power for power in range(7) for base in (1, 2, 5))
    step = next((one for one in steps if span / one <= room), span or 1)
    clear = span / room  # of both ends
    between = [
        epoch
        for epoch in range(step, last, step)
        if epoch - first >= 0.8 * clear and last - epoch >= 0.8 * clear
    ]
    places = list(dict.fromkeys([first, *between, last]))
    return places, list(map(str, places))
