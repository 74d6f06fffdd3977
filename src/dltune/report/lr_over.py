"""The learning rate over another hyperparameter on paper: table, chart, PNG, CSV, JSON."""

from __future__ import annotations

import csv
import math
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dltune.lr.over import OverRow
from dltune.report.lr_find import lr_find_document
from dltune.report.lr_plot import PLOT_COLUMNS, rate_ticks, show_rate
from dltune.report.terminal import PLAIN_WIDTH

CSV_COLUMNS = ("value", "suggestion", "band_low", "band_high", "edge", "steepest", "minimum")
LONGEST_VALUE = 20
MARGIN_DECADES = 0.1  # to each side of the rates in a chart


def render_over(key: str, rows: Sequence[OverRow], *, width: int = PLAIN_WIDTH) -> str:
    """A chart of band, suggestion and edge by value, and the numbers below it.

    width  columns; more than 120 are not used.
    """
    columns = min(width, PLOT_COLUMNS)
    parts = [_chart(key, rows, columns), _table(key, rows)]
    refused = [row for row in rows if row.result.rate is None]
    if refused:
        parts.append("\n".join(textwrap.fill(_refusal(row), columns) for row in refused))
    return "\n\n".join(parts)


def _refusal(row: OverRow) -> str:
    found, validation = row.result.suggestion, row.result.validation
    if validation is not None:
        return f"{row.value}: no suggestion: {validation.choice.reason}"
    return f"{row.value}: no suggestion ({found.status}): {found.reason}"


def _cells(row: OverRow) -> list[str]:
    result = row.result
    band = "-" if result.band is None else " to ".join(map(show_rate, result.band))
    found = result.suggestion
    rates = [result.rate, None, found.edge, found.steepest, found.minimum]
    cells = ["-" if rate is None else show_rate(rate) for rate in rates]
    cells[1] = band
    return cells


def _table(key: str, rows: Sequence[OverRow]) -> str:
    name = key if len(key) <= LONGEST_VALUE else _shortened(key.rpartition(".")[2])
    titles = [name, "suggestion", "band", "edge", "steepest", "minimum"]
    lines = [titles, *([_shortened(row.value), *_cells(row)] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(titles))]
    drawn = []
    for line in lines:
        first, *others = line
        cells = [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        drawn.append("  ".join([first.ljust(widths[0]), *cells]).rstrip())
    return "\n".join(drawn)


def _shortened(value: str) -> str:
    return value if len(value) <= LONGEST_VALUE else value[: LONGEST_VALUE - 1] + "…"


def _chart(key: str, rows: Sequence[OverRow], width: int) -> str:
    """A line a value over one axis of rates: = the band, L the suggestion, E the edge."""
    rates = [rate for row in rows for rate in _drawn_rates(row)]
    if not rates:
        return f"{key}: no value has a suggestion"
    label = max(len(_shortened(row.value)) for row in rows)
    margin = 10.0**MARGIN_DECADES
    ticks, labels = rate_ticks(min(rates) / margin, max(rates) * margin)
    low, high = math.log10(min(rates) / margin), math.log10(max(rates) * margin)
    columns = width - label - 2

    def place(rate: float) -> int:
        return round((math.log10(rate) - low) / (high - low) * (columns - 1))

    lines = [f"{key}: = the band, L suggestion, E edge"]
    for row in rows:
        line = [" "] * columns
        result = row.result
        if result.band is not None:
            first, last = map(place, result.band)
            line[first : last + 1] = "=" * (last + 1 - first)
        if result.suggestion.edge is not None:
            line[place(result.suggestion.edge)] = "E"
        if result.rate is not None:
            line[place(result.rate)] = "L"
        lines.append(f"{_shortened(row.value):>{label}} │{''.join(line)}".rstrip())
    axis, names = ["─"] * columns, [" "] * columns
    for tick, name in zip(ticks, labels, strict=True):
        at = place(10.0**tick)
        axis[at] = "┬"
        first = min(at, columns - len(name))
        names[first : first + len(name)] = name
    lines.append(f"{'':>{label}} └{''.join(axis)}")
    lines.append(f"{'':>{label}}  {''.join(names)}".rstrip())
    return "\n".join(lines)


def _drawn_rates(row: OverRow) -> list[float]:
    result = row.result
    several = [result.rate, result.suggestion.edge, *(result.band or ())]
    return [rate for rate in several if rate is not None]


def write_over_csv(path: Path, rows: Sequence[OverRow]) -> None:
    """A row a value; numbers in full, empty where the curves do not show one."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(CSV_COLUMNS)
        for row in rows:
            found, band = row.result.suggestion, row.result.band or (None, None)
            rates = [row.result.rate, *band, found.edge, found.steepest, found.minimum]
            writer.writerow([row.value, *("" if rate is None else repr(rate) for rate in rates)])


def write_over_png(path: Path, key: str, rows: Sequence[OverRow], *, title: str) -> None:
    """Band, suggestion and edge by value, with matplotlib."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 1.5 + 0.5 * len(rows)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for number, row in enumerate(rows):
        result = row.result
        if result.band is not None:
            axes.plot(result.band, [number, number], color="C1", linewidth=6, alpha=0.4)
        if result.rate is not None:
            axes.plot(result.rate, number, "o", color="C1", label=None if number else "suggestion")
        if result.suggestion.edge is not None:
            label = None if number else "stability edge"
            axes.plot(result.suggestion.edge, number, "|", color="C4", markersize=16, label=label)
    axes.set_yticks(range(len(rows)), [row.value for row in rows])
    axes.set(xscale="log", xlabel="learning rate", ylabel=key, title=title)
    axes.invert_yaxis()
    axes.margins(y=0.5 / len(rows))
    if axes.get_legend_handles_labels()[0]:
        figure.legend(loc="outside lower center", ncols=2)  # inside it would cover a row
    figure.savefig(path, format="png", dpi=120)


def over_document(key: str, rows: Sequence[OverRow]) -> dict[str, Any]:
    """The comparison as plain values for JSON."""
    return {
        "over": key,
        "values": [{"value": row.value} | lr_find_document(row.result) for row in rows],
    }
