"""What `dltune lr-find` found on paper: the tables for a terminal, the CSV, the JSON."""

from __future__ import annotations

import csv
import math
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dltune.lr.curve import LrCurve, SweepEnd
from dltune.lr.find import LrFind
from dltune.lr.suggest import ALGORITHM, LrSuggestion
from dltune.lr.validation.choose import Candidate, Choice
from dltune.lr.validation.plan import ValidationPlan
from dltune.lr.validation.validate import Validation
from dltune.report.lr_plot import (
    PLOT_COLUMNS,
    SMALLEST_DECIMAL,
    Mark,
    Sweeps,
    marks,
    render_plot,
    show_rate,
)
from dltune.report.numbers import count_of, show_error
from dltune.report.terminal import PLAIN_WIDTH

CSV_COLUMNS = ("seed", "step", "lr", "loss", "mean", "smoothed", "slope")


def sweeps_of(result: LrFind) -> Sweeps:
    """What is drawn of a result: a rate that is not the sweeps' own stands in their place."""
    trained = result.validation is not None
    if not trained and result.rate == result.suggestion.suggestion:
        return Sweeps(curves=result.curves, found=result.suggestion)
    return Sweeps(
        curves=result.curves,
        found=result.suggestion,
        rate=result.rate,
        band=result.band,
        trained=trained,
    )


def render_lr_find(result: LrFind, *, width: int = PLAIN_WIDTH) -> str:
    """The plot, the rates with their meaning, the validation, and the reasons.

    width  columns; more than 120 are not used.
    """
    parts = [render_sweeps(sweeps_of(result), search=result.search_range, width=width)]
    if result.validation is not None:
        parts.append(render_validation(result.validation, epochs=result.epochs))
        rate, reason = result.rate, result.validation.choice.reason
        lead = "no suggestion" if rate is None else show_rate(rate)
        parts.append(_filled(f"{lead}: {reason}", width))
    elif result.rate is not None and result.decays:
        parts.append(f"{show_rate(result.rate)}: for the peak of the recipe's schedule")
    return "\n\n".join(parts)


def render_sweeps(
    shown: Sweeps, *, search: tuple[float, float] | None = None, width: int = PLAIN_WIDTH
) -> str:
    """The plot, and below it the rates with their meaning or the reason why there is none.

    search  the rates to search, where they are others than the sweeps' own.
    """
    found = shown.found
    search = found.search_range if shown.of_the_curves else search
    parts = [render_plot(shown, width=width)] if len(found.mean.losses) > 1 else []
    rows = [_mark_line(mark, shown) for mark in marks(shown)]
    if shown.answer_band is not None:
        low, high = map(show_rate, shown.answer_band)
        how = "as good, within noise" if shown.trained else "likely as good"
        rows.insert(1, f"= band      {low:>8} to {high}: {how}")
    if search is not None:
        low, high = map(show_rate, search)
        rows.append(f"  range     {low:>8} to {high}: to search, with other values free")
    parts += ["\n".join(rows)] if rows else []
    parts.append(_filled(_verdict(shown), width))
    return "\n\n".join(parts)


def _verdict(shown: Sweeps) -> str:
    """What the sweeps say, and why; where trainings decide, that it is the sweeps alone."""
    found = shown.found
    if found.suggestion is None or found.peak is None:
        alone = "sweeps: " if shown.trained else ""
        return f"{alone}no suggestion ({found.status}): {found.reason}"
    constant, peak = show_rate(found.suggestion), show_rate(found.peak)
    rates = f"{constant} for a constant rate, {peak} for the peak of a decay"
    return f"sweeps: {rates}. {constant} is {found.reason}"


def _filled(text: str, width: int) -> str:
    return textwrap.fill(text, min(width, PLOT_COLUMNS))


def _mark_line(mark: Mark, shown: Sweeps) -> str:
    """A rate, what it means, and between which rates the seeds alone have it."""
    own = [getattr(seed, mark.name) for seed in shown.found.seeds]
    there = [rate for rate in own if rate is not None]
    seeds = ""
    of_the_sweeps = mark.name == "edge" or (mark.name == "suggestion" and shown.of_the_curves)
    if of_the_sweeps and len(own) > 1 and there:
        seeds = f" (seeds {show_rate(min(there))} to {show_rate(max(there))})"
    return f"{mark.letter} {mark.name:<10}{show_rate(mark.rate):>8}   {mark.meaning}{seeds}"


def render_validation(validation: Validation, *, epochs: int) -> str:
    """A row a candidate: its dev loss in every round, and what became of it.

    epochs  of the recipe.
    """
    rungs = validation.plan.rungs
    lengths = [count_of(math.ceil(rung.share * epochs - 1e-9), "epoch") for rung in rungs]
    seeds = [count_of(rung.seeds, "seed") for rung in rungs]
    lines = ["lowest dev loss in trainings of", _row("", lengths), _row("lr", seeds)]
    lines.append(_row("untrained", [_show_loss(validation.untrained)]))
    for one in validation.candidates:
        cells = [_show_loss(float(np.mean(losses))) for losses in one.rounds]
        cells += [""] * (len(rungs) - len(cells))
        words = ", ".join(_words(one, validation.choice))
        lines.append(_row(show_rate(one.rate), cells) + (f"  {words}" if words else ""))
    stacks = " in stacks" if validation.plan.row_cost < 1 else ""
    whole = f"{validation.trainings:.1f} whole trainings"
    lines.append(f"{validation.updates:,} updates, {whole}{stacks}")
    return "\n".join(line.rstrip() for line in lines)


def _row(first: str, cells: Sequence[str]) -> str:
    return f"{first:>10}" + "".join(f"{cell:>12}" for cell in cells)


def _words(one: Candidate, choice: Choice) -> list[str]:
    """What is to be said of a candidate beside its losses."""
    words = []
    if one.rate == choice.rate:
        words.append("<- suggestion")
    elif one.rate in choice.tied:
        words.append("as good within noise")
    return [*words, "the recipe's own"] if one.own else words


def _show_loss(loss: float) -> str:
    """As an error, but a loss may be far smaller and still count.

    >>> _show_loss(0.08951), _show_loss(0.00055), _show_loss(float("inf"))
    ('0.0895', '5.5e-4', 'diverged')
    """
    if not math.isfinite(loss):
        return "diverged"
    return show_rate(loss) if 0 < abs(loss) < SMALLEST_DECIMAL else show_error(loss)


def write_csv(path: Path, curves: Sequence[LrCurve], found: LrSuggestion) -> None:
    """A row a seed and step: seed, step from 1, lr, loss, and the mean's loss, smoothed and slope.

    Numbers in full; the last three stand with every seed, empty where there were too few points.
    """
    smoothed = found.smoothed
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(CSV_COLUMNS)
        for curve in curves:
            for index, (rate, loss) in enumerate(zip(curve.rates, curve.losses, strict=True)):
                fit = ["", ""]
                if smoothed is not None:
                    fit = [repr(float(v[index])) for v in (smoothed.losses, smoothed.slopes)]
                mean = repr(found.mean.losses[index])
                writer.writerow([curve.seed, index + 1, repr(rate), repr(loss), mean, *fit])


def lr_find_document(result: LrFind) -> dict[str, Any]:
    """The result as plain values for JSON; null where the curves support no number."""
    return {
        **suggestion_document(result.suggestion),
        "suggestion": result.rate,
        "band": result.band,
        "search_range": result.search_range,
        "validation": _validation_document(result.validation),
        "updates": result.updates,
        "seed": result.seed,
    }


def suggestion_document(found: LrSuggestion) -> dict[str, Any]:
    """What the sweeps say, as plain values."""
    mean = found.mean
    return {
        "algorithm": ALGORITHM,
        "suggestion": found.suggestion,
        "constant": found.suggestion,
        "peak": found.peak,
        "band": found.band,
        "search_range": found.search_range,
        "edge": found.edge,
        "steepest": found.steepest,
        "minimum": found.minimum,
        "status": str(found.status),
        "reason": found.reason,
        "advice": found.advice,
        "spread_decades": found.spread,
        "seeds": [
            {
                "seed": one.seed,
                "suggestion": one.suggestion,
                "edge": one.edge,
                "steepest": one.steepest,
                "minimum": one.minimum,
            }
            for one in found.seeds
        ],
        "slope_per_decade": found.slope,
        "drop": found.drop,
        "noise": found.noise,
        "initial_loss": mean.initial_loss,
        "constant_loss": mean.baseline,
        "optimizer": mean.optimizer,
        "low": mean.low,
        "high": mean.high,
        "steps": mean.steps,
        "losses": len(mean.losses),
        "epochs": mean.epochs,
        "end": str(mean.end),
        "ended_by": mean.ended_by,
        "ended_at": mean.ended_at,
    }


def _validation_document(validation: Validation | None) -> dict[str, Any] | None:
    if validation is None:
        return None
    return {
        "suggestion": validation.choice.rate,
        "reason": validation.choice.reason,
        "tied": validation.choice.tied,
        "candidates": [
            {"lr": one.rate, "dev_losses": one.rounds, "own": one.own}
            for one in validation.candidates
        ],
        "untrained_dev_loss": validation.untrained,
        "rounds": _rounds(validation.plan),
        "trainings": validation.trainings,
        "updates": validation.updates,
    }


def _rounds(plan: ValidationPlan) -> list[dict[str, Any]]:
    return [
        {"candidates": rung.candidates, "seeds": rung.seeds, "share_of_epochs": rung.share}
        for rung in plan.rungs
    ]


def describe_end(curves: Sequence[LrCurve]) -> str:
    """How the sweeps ended, in one sentence.

    >>> from dltune.lr.curve import SweepEnd
    >>> print(describe_end([LrCurve(
    ...     rates=(0.1, 1.0), losses=(1.0, 2.0), initial_loss=1.0, end=SweepEnd.NON_FINITE,
    ...     ended_by="non-finite loss", ended_at=10.0, low=0.1, high=10.0, steps=3, epochs=1.25,
    ...     optimizer="sgd", seed=0)]))
    one seed, stopped at 10: non-finite loss (2 of 3 losses, 1.2 epochs)
    """
    last = max(curves, key=lambda curve: len(curve.losses))
    extent = f"({len(last.losses)} of {last.steps} losses, {last.epochs:.1f} epochs)"
    seeds = "one seed" if len(curves) == 1 else f"{len(curves)} seeds"
    if last.end is SweepEnd.RANGE:
        return f"{seeds}, swept the whole range {extent}"
    where = "before the first update" if last.ended_at is None else f"at {last.ended_at:.2g}"
    return f"{seeds}, stopped {where}: {last.ended_by} {extent}"
