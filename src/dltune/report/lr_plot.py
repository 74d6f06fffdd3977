"""Sweeps of several seeds as a picture: in characters for a terminal, and as a PNG."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dltune.lr.curve import LrCurve
from dltune.lr.suggest import LrSuggestion, two_digits
from dltune.report.numbers import show_value
from dltune.report.terminal import PLAIN_WIDTH

if TYPE_CHECKING:  # takes half a second, and most commands draw no PNG
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PLOT_ROWS = 18
# A plot in more columns has more points than the default sweep has steps.
PLOT_COLUMNS = 120
# Above the start there is nothing to read but that the loss is too high: a third of the fall is
# shown of it, and higher losses stand on the upper border.
HEADROOM = 1 / 3
# Smaller rates are shown with an exponent, so that a column of them has one form up to here.
SMALLEST_DECIMAL = 1e-3
COLORS = re.compile(r"\x1b\[[0-9;]*m")


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Sweeps:
    """What is drawn.

    curves  one a seed.
    found   what they say together.
    rate    the answer, where it is another one than the curves'; None takes theirs.
    band    likewise.
    trained  whether rate and band come from trainings: None is then an answer too.
    """

    curves: Sequence[LrCurve]
    found: LrSuggestion
    rate: float | None = None
    band: tuple[float, float] | None = None
    trained: bool = False

    @property
    def of_the_curves(self) -> bool:
        """Whether the answer is the curves' own."""
        return self.rate is None and not self.trained

    @property
    def answer(self) -> float | None:
        """The learning rate to mark."""
        return self.found.suggestion if self.of_the_curves else self.rate

    @property
    def answer_band(self) -> tuple[float, float] | None:
        """The rates as good as the answer."""
        return self.found.band if self.of_the_curves else self.band


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mark:
    """A rate that is marked in the plot, and explained in the table."""

    name: str
    letter: str
    rate: float
    meaning: str


def marks(shown: Sweeps) -> list[Mark]:
    """The rates that the curves show, in the order of their importance."""
    found = shown.found
    slope = "" if found.slope is None else f"{-found.slope:.2g} per decade"
    rows = [
        ("suggestion", "L", shown.answer, "the rate to start with"),
        ("steepest", "S", found.steepest, f"the mean loss falls fastest: {slope}"),
        ("minimum", "M", found.minimum, "the mean loss is lowest"),
        ("edge", "E", found.edge, "from here on the loss goes up"),
    ]
    return [
        Mark(name=name, letter=letter, rate=rate, meaning=meaning)
        for name, letter, rate, meaning in rows
        if rate is not None
    ]


def show_rate(rate: float) -> str:
    """A learning rate in two digits.

    >>> show_rate(0.00031622), show_rate(0.0005), show_rate(0.0051), show_rate(10.0)
    ('3.2e-4', '5e-4', '0.0051', '10')
    """
    rounded = two_digits(rate)
    if rounded >= SMALLEST_DECIMAL:
        return show_value(rounded).removesuffix(".0")
    mantissa, exponent = f"{rounded:.1e}".split("e")
    return f"{mantissa.removesuffix('.0')}e{int(exponent)}"


def render_plot(shown: Sweeps, *, width: int = PLAIN_WIDTH) -> str:
    """The loss against the rate on a log axis, drawn with characters; without colour.

    Dots are losses of single batches, of every seed; the line is the smoothed mean. The letters are
    those of `marks`, and the band is the row of = along the lower border.

    width  columns; more than 120 are not used.
    """
    from plotext import figure, terminal

    mean, smoothed = shown.found.mean, shown.found.smoothed
    low, high = loss_limits(shown)
    first, last = rate_limits(shown)
    figure.clear()  # plotext has one figure for the whole process
    terminal.limit(False, False)  # the width is the caller's, also where there is no terminal
    try:
        figure.theme("colorless")
        figure.plot_size(min(width, PLOT_COLUMNS), PLOT_ROWS)
        for curve in shown.curves:
            if curve.losses:
                dots = [min(max(loss, low), high) for loss in curve.losses]
                figure.draw(figure.signal(_exponents(curve.rates), dots, marker="·"))
        if smoothed is not None:
            line = figure.signal(_exponents(mean.rates), smoothed.losses.clip(low, high).tolist())
            line.lines(True)
            figure.draw(line)
        if shown.answer_band is not None:
            ends = [math.log10(min(max(rate, first), last)) for rate in shown.answer_band]
            band = figure.signal(ends, [low, low], marker="=")
            band.lines(True)
            figure.draw(band)
        for mark in reversed(marks(shown)):
            place = math.log10(min(max(mark.rate, first), last))
            figure.draw(figure.text(place, _height_at(place, shown, low, high), mark.letter))
        figure.ruler("x").lim(math.log10(first), math.log10(last))
        figure.ruler("y").lim(low, high)
        figure.ruler("x").ticks(*rate_ticks(first, last))
        figure.label("learning rate", "x")
        figure.title(_title(shown))
        drawn = COLORS.sub("", str(figure.build()))
    finally:
        figure.clear()
        terminal.limit(True, True)
    return "\n".join(line.rstrip() for line in drawn.rstrip("\n").split("\n"))


def _title(shown: Sweeps) -> str:
    seeds = len(shown.curves)
    line = ", line smoothed" if seeds == 1 else f", line the mean of {seeds} seeds"
    line = "" if shown.found.smoothed is None else line
    band = "" if shown.answer_band is None else ", = the band"
    return f"train loss: · one batch{line}{band}"


def _exponents(rates: Sequence[float]) -> list[float]:
    return [math.log10(rate) for rate in rates]


def loss_limits(shown: Sweeps) -> tuple[float, float]:
    """The lowest and the highest loss to draw."""
    losses = [loss for curve in shown.curves for loss in curve.losses]
    lowest, highest = min(losses), max(losses)
    smoothed = shown.found.smoothed
    if smoothed is not None:
        room = HEADROOM * max(smoothed.drop, 0.0) + 3.0 * smoothed.noise
        highest = min(highest, smoothed.start + room)
    if highest <= lowest:  # a constant loss still needs an axis
        return lowest - 1.0, lowest + 1.0
    return lowest, highest


def rate_limits(shown: Sweeps) -> tuple[float, float]:
    """The lowest and the highest rate to draw: what was swept, and the answer beside it."""
    mean, answer = shown.found.mean, shown.answer
    last = mean.rates[-1] if len(mean.rates) > 1 else mean.high
    return min(mean.low, answer or mean.low), max(last, answer or last)


def _height_at(exponent: float, shown: Sweeps, low: float, high: float) -> float:
    smoothed = shown.found.smoothed
    if smoothed is None:
        return low
    nearest = int(abs(smoothed.log_rates - exponent).argmin())
    return min(max(float(smoothed.losses[nearest]), low), high)


def rate_ticks(low: float, high: float) -> tuple[list[float], list[str]]:
    """Where an axis of log10 of the rate is labelled, and how: by decades, or at its ends.

    >>> rate_ticks(0.005, 2.0), rate_ticks(0.02, 0.5)[1]
    (([-2.0, -1.0, 0.0], ['1e-2', '1e-1', '1']), ['0.02', '0.5'])
    """
    first, last = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
    if last - first < 1:  # one label says nothing about the scale
        return [math.log10(low), math.log10(high)], [show_rate(low), show_rate(high)]
    decades = range(first, last + 1)
    names = ["1" if decade == 0 else f"1e{decade}" for decade in decades]
    return [float(decade) for decade in decades], names


def write_png(path: Path, shown: Sweeps, *, title: str) -> None:
    """Draw the sweeps to a PNG file."""
    draw_figure(shown, title=title).savefig(path, format="png", dpi=120)


def draw_figure(shown: Sweeps, *, title: str) -> Figure:
    """The sweeps as a figure of matplotlib, without touching the state of anyone's pyplot."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    mean, smoothed = shown.found.mean, shown.found.smoothed
    low, high = loss_limits(shown) if mean.losses else (0.0, 1.0)
    for number, curve in enumerate(shown.curves):
        label = None if number else "one batch" if len(shown.curves) == 1 else "one batch, by seed"
        axes.plot(curve.rates, curve.losses, ".", color=f"{0.6 + 0.06 * (number % 5)}", label=label)
    if smoothed is not None:
        label = "smoothed" if len(shown.curves) == 1 else "mean, smoothed"
        axes.plot(mean.rates, smoothed.losses, color="C0", label=label)
    _draw_marks(axes, shown)
    margin = 0.05 * (high - low)
    axes.set(xscale="log", xlabel="learning rate", ylabel="train loss", title=title)
    axes.set(ylim=(low - margin, high + margin), xlim=rate_limits(shown))
    axes.legend()
    return figure


def _draw_marks(axes: Axes, shown: Sweeps) -> None:
    for number, mark in enumerate(marks(shown)):
        label = f"{mark.name} {show_rate(mark.rate)}"
        style = "-" if mark.name == "suggestion" else "--"
        axes.axvline(mark.rate, linestyle=style, color=f"C{number + 1}", label=label)
    if shown.answer_band is not None:
        low, high = shown.answer_band
        label = f"band {show_rate(low)} to {show_rate(high)}"
        axes.axvspan(low, high, color="C1", alpha=0.12, label=label)
    edges = [seed.edge for seed in shown.found.seeds if seed.edge is not None]
    if len(edges) > 1:
        bottom = [0.02] * len(edges)
        axes.plot(
            edges, bottom, "|", color="C4", markersize=12, transform=axes.get_xaxis_transform(),
            label="edge, by seed",
        )  # fmt: skip
