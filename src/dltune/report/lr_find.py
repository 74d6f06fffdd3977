"""A learning-rate sweep on paper: the plot and table for a terminal, the PNG, the CSV, the JSON."""

from __future__ import annotations

import csv
import dataclasses
import math
import re
import textwrap
from pathlib import Path
from typing import Any

from dltune.lr.curve import LrCurve, SweepEnd
from dltune.lr.suggest import LrStatus, LrSuggestion, two_digits
from dltune.report.numbers import show_value
from dltune.report.terminal import PLAIN_WIDTH

PLOT_ROWS = 18
# A plot in more columns has more points than the default sweep has steps.
PLOT_COLUMNS = 120
# Above the start there is nothing to read but that the loss is too high: a third of the fall is
# shown of it, and higher losses stand on the upper border.
HEADROOM = 1 / 3
CSV_COLUMNS = ("step", "lr", "loss", "smoothed", "slope")
COLORS = re.compile(r"\x1b\[[0-9;]*m")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mark:
    """A rate that is marked in the plot, and explained in the table."""

    name: str
    letter: str
    rate: float
    meaning: str


def marks(found: LrSuggestion) -> list[Mark]:
    """The rates that the curve shows, in the order of their importance."""
    slope = "" if found.slope is None else f"{-found.slope:.2g} per decade"
    rows = [
        ("suggestion", "L", found.suggestion, "the learning rate to start with"),
        ("steepest", "S", found.steepest, f"the smoothed loss falls fastest: {slope}"),
        ("minimum", "M", found.minimum, "the smoothed loss is lowest"),
        ("edge", "E", found.edge, "from here on the loss leaves its minimum for good"),
    ]
    return [
        Mark(name=name, letter=letter, rate=rate, meaning=meaning)
        for name, letter, rate, meaning in rows
        if rate is not None
    ]


def _show(rate: float) -> str:
    return show_value(two_digits(rate))


def render_lr_find(curve: LrCurve, found: LrSuggestion, *, width: int = PLAIN_WIDTH) -> str:
    """The plot, and below it the rates with their meaning or the reason why there is none.

    width  columns; more than 120 are not used.
    """
    parts = [render_plot(curve, found, width=width)] if len(curve.losses) > 1 else []
    rows = [
        f"{mark.letter} {mark.name:<11} {_show(mark.rate):>7}   {mark.meaning}"
        for mark in marks(found)
    ]
    parts += ["\n".join(rows)] if rows else []
    verdict = "" if found.status is LrStatus.OK else f"no suggestion ({found.status}): "
    lead = f"{_show(found.suggestion)}: " if found.suggestion is not None else verdict
    parts.append(textwrap.fill(lead + found.reason, min(width, PLOT_COLUMNS)))
    return "\n\n".join(parts)


def render_plot(curve: LrCurve, found: LrSuggestion, *, width: int = PLAIN_WIDTH) -> str:
    """The loss against the rate on a log axis, drawn with characters; without colour.

    Dots are single batches, the line is the smoothed loss; the letters are those of `marks`.
    """
    from plotext import figure, terminal

    low, high = _loss_limits(curve, found)
    exponents = [math.log10(rate) for rate in curve.rates]
    figure.clear()  # plotext has one figure for the whole process
    terminal.limit(False, False)  # the width is the caller's, also where there is no terminal
    try:
        figure.theme("colorless")
        figure.plot_size(min(width, PLOT_COLUMNS), PLOT_ROWS)
        dots = [min(loss, high) for loss in curve.losses]
        figure.draw(figure.signal(exponents, dots, marker="·"))
        if found.smoothed is not None:
            line = figure.signal(exponents, found.smoothed.losses.clip(low, high).tolist())
            line.lines(True)
            figure.draw(line)
        for mark in reversed(marks(found)):
            place = math.log10(mark.rate)
            figure.draw(figure.text(place, _height_at(place, found, low, high), mark.letter))
        figure.ruler("x").lim(math.log10(curve.low), exponents[-1])
        figure.ruler("y").lim(low, high)
        ticks = _decades(curve.low, curve.rates[-1])
        figure.ruler("x").ticks(ticks, ["1" if tick == 0 else f"1e{tick}" for tick in ticks])
        figure.label("learning rate", "x")
        figure.title("train loss: · one batch, line smoothed")
        drawn = COLORS.sub("", str(figure.build()))
    finally:
        figure.clear()
        terminal.limit(True, True)
    return "\n".join(line.rstrip() for line in drawn.rstrip("\n").split("\n"))


def _loss_limits(curve: LrCurve, found: LrSuggestion) -> tuple[float, float]:
    lowest, highest = min(curve.losses), max(curve.losses)
    if found.smoothed is not None and found.status is not LrStatus.FLAT:
        room = HEADROOM * found.smoothed.drop + 3.0 * found.smoothed.noise
        highest = min(highest, found.smoothed.start + room)
    if highest <= lowest:  # a constant loss still needs an axis
        return lowest - 1.0, lowest + 1.0
    return lowest, highest


def _height_at(exponent: float, found: LrSuggestion, low: float, high: float) -> float:
    if found.smoothed is None:
        return low
    nearest = int(abs(found.smoothed.log_rates - exponent).argmin())
    return min(max(float(found.smoothed.losses[nearest]), low), high)


def _decades(low: float, high: float) -> list[int]:
    first, last = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
    return list(range(first, last + 1))


def write_csv(path: Path, curve: LrCurve, found: LrSuggestion) -> None:
    """One row a step: step from 1, lr, loss, smoothed, slope (per decade); numbers in full.

    The smoothed values are empty where there were too few points for any.
    """
    smoothed = found.smoothed
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(CSV_COLUMNS)
        for index, (rate, loss) in enumerate(zip(curve.rates, curve.losses, strict=True)):
            fit = ["", ""]
            if smoothed is not None:
                fit = [repr(float(v[index])) for v in (smoothed.losses, smoothed.slopes)]
            writer.writerow([index + 1, repr(rate), repr(loss), *fit])


def write_png(path: Path, curve: LrCurve, found: LrSuggestion, *, title: str) -> None:
    """Draw the curve with matplotlib, without touching the state of anyone's pyplot."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    low, high = _loss_limits(curve, found) if curve.losses else (0.0, 1.0)
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(curve.rates, curve.losses, ".", color="0.7", label="one batch")
    if found.smoothed is not None:
        axes.plot(curve.rates, found.smoothed.losses, color="C0", label="smoothed")
    for number, mark in enumerate(marks(found)):
        label = f"{mark.name} {_show(mark.rate)}"
        style = "-" if mark.name == "suggestion" else "--"
        axes.axvline(mark.rate, linestyle=style, color=f"C{number + 1}", label=label)
    margin = 0.05 * (high - low)
    axes.set(xscale="log", xlabel="learning rate", ylabel="train loss", title=title)
    axes.set(ylim=(low - margin, high + margin), xlim=(curve.low, curve.high))
    axes.legend()
    FigureCanvasAgg(figure)  # the figure's backend from here on, whatever pyplot would choose
    figure.savefig(path, format="png")


def lr_find_document(curve: LrCurve, found: LrSuggestion) -> dict[str, Any]:
    """The result as plain values for JSON; null where the curve supports no number."""
    return {
        "suggestion": found.suggestion,
        "edge": found.edge,
        "steepest": found.steepest,
        "minimum": found.minimum,
        "status": str(found.status),
        "reason": found.reason,
        "advice": found.advice,
        "slope_per_decade": found.slope,
        "drop": found.drop,
        "noise": found.noise,
        "initial_loss": curve.initial_loss,
        "optimizer": curve.optimizer,
        "low": curve.low,
        "high": curve.high,
        "steps": curve.steps,
        "losses": len(curve.losses),
        "epochs": curve.epochs,
        "end": str(curve.end),
        "ended_by": curve.ended_by,
        "ended_at": curve.ended_at,
    }


def describe_end(curve: LrCurve) -> str:
    """How the sweep ended, in one sentence.

    >>> from dltune.lr.curve import SweepEnd
    >>> print(describe_end(LrCurve(
    ...     rates=(0.1, 1.0), losses=(1.0, 2.0), initial_loss=1.0, end=SweepEnd.NON_FINITE,
    ...     ended_by="non-finite loss", ended_at=10.0, low=0.1, high=10.0, steps=3, epochs=1.25,
    ...     optimizer="sgd", seed=0)))
    stopped at 10: non-finite loss (2 of 3 losses, 1.2 epochs)
    """
    extent = f"({len(curve.losses)} of {curve.steps} losses, {curve.epochs:.1f} epochs)"
    if curve.end is SweepEnd.RANGE:
        return f"swept the whole range {extent}"
    where = "before the first update" if curve.ended_at is None else f"at {curve.ended_at:.2g}"
    return f"stopped {where}: {curve.ended_by} {extent}"
