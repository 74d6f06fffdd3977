"""Batch sizes on paper: the table with its bars, the rate and the verdict on it, CSV, JSON."""

from __future__ import annotations

import csv
import dataclasses
import math
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dltune.lr.batch.scale import AGREEMENT, LrCheck, LrVerdict, ScaledLr, SweptBatch
from dltune.lr.batch.sizes import NEARLY, BatchRow, BatchSizes, ClimbEnd
from dltune.report.numbers import count_of, show_bytes, show_milliseconds, show_value
from dltune.report.terminal import PLAIN_WIDTH

WIDEST = 120  # columns that are used of a wide terminal
EIGHTHS = " ▏▎▍▌▋▊▉"
TITLES = (("", "batch"), ("updates", "an epoch"), ("ms an", "update"), ("examples", "a second"))
GAP = "  "
RECOMMENDED, OWN = "recommended", "recipe"
CSV_COLUMNS = (
    "batch",
    "examples",
    "updates_per_epoch",
    "microseconds",
    "examples_per_second",
    "memory_bytes",
)


def render_batch_find(
    sizes: BatchSizes, scaled: ScaledLr | None, check: LrCheck | None, *, width: int = PLAIN_WIDTH
) -> str:
    """The table, below it what follows from it, and the verdict on the scaled rate.

    scaled, check  None where no batch fits.
    width          columns; more than 120 are not used.
    """
    width = min(width, WIDEST)
    if not sizes.rows:
        return textwrap.fill(f"not even the smallest batch fits: {describe_end(sizes)}", width)
    parts = [render_table(sizes, width=width), _facts(sizes, scaled, check, width)]
    if scaled is not None and check is not None:
        parts.append(textwrap.fill(describe_verdict(scaled, check), width))
    return "\n\n".join(parts)


def render_table(sizes: BatchSizes, *, width: int = PLAIN_WIDTH) -> str:
    """A row a batch; the bar is its throughput, as a share of the highest."""
    fastest = max(row.examples_per_second for row in sizes.rows)
    titles = (*TITLES, ("", "memory"))
    cells = [
        (
            str(row.batch),
            f"{row.updates_per_epoch:,}",
            show_milliseconds(row.microseconds),
            f"{row.examples_per_second:,.0f}",
            show_bytes(row.memory_bytes),
        )
        for row in sizes.rows
    ]
    columns = list(zip(*titles, strict=True)) + cells
    widths = [max(len(line[place]) for line in columns) for place in range(len(titles))]
    lines = [
        GAP.join(cell.rjust(wide) for cell, wide in zip(line, widths, strict=True))
        for line in columns
    ]
    room = width - len(lines[0]) - 2 * len(GAP) - len(RECOMMENDED)
    drawn = lines[:2]
    for row, line in zip(sizes.rows, lines[2:], strict=True):
        drawn_bar = bar(row.examples_per_second / fastest, room)
        drawn.append(GAP.join([line, drawn_bar.ljust(room), _mark(row, sizes)]))
    return "\n".join(line.rstrip() for line in drawn)


def _mark(row: BatchRow, sizes: BatchSizes) -> str:
    if row == sizes.recommended:
        return RECOMMENDED
    return OWN if row.batch == sizes.own else ""


def bar(share: float, columns: int) -> str:
    """A share in [0, 1] as a bar of at most so many characters, exact to an eighth of one.

    >>> bar(0.55, 5), bar(1.0, 5)
    ('██▊', '█████')
    """
    whole, eighths = divmod(round(8 * columns * share), 8)
    return ("█" * whole + EIGHTHS[eighths]).rstrip()


def _facts(sizes: BatchSizes, scaled: ScaledLr | None, check: LrCheck | None, width: int) -> str:
    largest, recommended = sizes.largest, sizes.recommended
    assert largest is not None
    assert recommended is not None
    facts = [
        ("memory", _memory_meaning(sizes)),
        ("largest", f"{largest.batch}: {describe_end(sizes)}"),
        ("recommended", f"{recommended.batch}: {_trade(sizes, recommended)}"),
    ]
    if scaled is not None:
        facts.append(("learning rate", describe_scaling(scaled)))
    if check is not None and check.after is not None:
        swept = [check.before, check.after] if check.before != check.after else [check.after]
        facts += [
            (f"sweep at {one.batch}", describe_sweep(one)) for one in swept if one is not None
        ]
        if scaled is not None and check.ratio is not None and len(swept) > 1:
            rule = f"the rule multiplies by {short(scaled.ratio)}"
            facts.append(("ratio", f"the sweeps' suggestions by {two(check.ratio)}, {rule}"))
    wide = max(len(name) for name, _ in facts) + len(GAP)
    return "\n".join(
        textwrap.fill(text, width, initial_indent=name.ljust(wide), subsequent_indent=" " * wide)
        for name, text in facts
    )


def _memory_meaning(sizes: BatchSizes) -> str:
    if sizes.counted:
        return "counted: weights, gradients, optimizer state, what autograd saves"
    return f"the peak of an update on {sizes.device}, without the data set"


def describe_end(sizes: BatchSizes) -> str:
    """Why no larger batch was tried, in a few words."""
    if sizes.end is ClimbEnd.TRAIN_SPLIT:
        return "the whole train split"
    if sizes.end is ClimbEnd.MAX_BATCH:
        return "where --max-batch ends it"
    if sizes.end is ClimbEnd.OUT_OF_MEMORY or sizes.refused_bytes is None:
        return f"{sizes.refused} ran out of memory"
    assert sizes.limit_bytes is not None
    free = "a quarter of what is free" if sizes.counted else "what is free"
    whose = "what --memory allows" if sizes.limit_given else free
    over = f"over {show_bytes(sizes.limit_bytes)}, {whose}"
    return f"{sizes.refused} would take {show_bytes(sizes.refused_bytes)}, {over}"


def describe_accumulation(sizes: BatchSizes) -> list[str]:
    """How to make larger updates than fit; no line where all fit."""
    if sizes.largest is None or sizes.refused is None:
        return []
    largest = sizes.largest.batch
    if sizes.own_is_too_large:
        batches = math.ceil(sizes.own_examples / largest)
        return [
            f"the recipe's batch of {sizes.own} does not fit: --set train.batch_size={largest} "
            f"--set train.accumulate={batches} makes updates of as many examples, for its own rate"
        ]
    return [
        f"train.accumulate makes larger updates of batches that fit: 2 for {2 * largest} examples"
    ]


def _trade(sizes: BatchSizes, recommended: BatchRow) -> str:
    """What the recommended batch gains over the recipe's own, and what it costs."""
    why = f"the smallest with {100 * NEARLY:.0f} % of the most examples a second"
    own = sizes.own_row
    if own is None or own == recommended:
        return why + ("; it is the recipe's own" if own else "")
    gain = two(recommended.examples_per_second / own.examples_per_second)
    updates = count_of(recommended.updates_per_epoch, "update")
    trade = (
        f"{gain} times the recipe's {own.batch}, in {updates} an epoch, not {own.updates_per_epoch}"
    )
    if recommended.updates_per_epoch < own.updates_per_epoch:
        trade += f": it pays while training needs fewer than {gain} times the epochs"
    return f"{why}; {trade}"


def write_csv(path: Path, rows: Sequence[BatchRow]) -> None:
    """One row a batch that fits, in rising order; numbers in full."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(CSV_COLUMNS)
        for row in rows:
            writer.writerow([getattr(row, name) for name in CSV_COLUMNS])


def batch_find_document(
    sizes: BatchSizes, scaled: ScaledLr | None, check: LrCheck | None
) -> dict[str, Any]:
    """The result as plain values for JSON; null where nothing was found or swept."""
    recommended, largest = sizes.recommended, sizes.largest
    return {
        "recommended": None if recommended is None else recommended.batch,
        "largest": None if largest is None else largest.batch,
        "lr": None if check is None else check.rate,
        "verdict": None if check is None else str(check.verdict),
        "end": str(sizes.end),
        "refused": sizes.refused,
        "refused_bytes": sizes.refused_bytes,
        "limit_bytes": sizes.limit_bytes,
        "memory_counted": sizes.counted,
        "device": sizes.device,
        "train_examples": sizes.train_examples,
        "recipe_batch": sizes.own,
        "accumulate": sizes.accumulate,
        "scaling": None if scaled is None else dataclasses.asdict(scaled) | {"ratio": scaled.ratio},
        "sweeps": None
        if check is None or check.after is None
        else {
            "before": None if check.before is None else dataclasses.asdict(check.before),
            "after": dataclasses.asdict(check.after),
            "ratio": check.ratio,
        },
        "batches": [{name: getattr(row, name) for name in CSV_COLUMNS} for row in sizes.rows],
    }


def describe_scaling(scaled: ScaledLr) -> str:
    """The rule with its numbers.

    >>> from dltune.lr.batch.scale import scale_lr
    >>> describe_scaling(scale_lr(0.001, before=64, after=256, rule="sqrt"))
    '0.001 × √4 = 0.002 by the square-root rule'
    """
    if scaled.factor == 1.0:
        return f"{short(scaled.before)}: the batch size stays, and so does the rate"
    root, name = ("√", "square-root") if scaled.rule == "sqrt" else ("", "linear")
    product = f"{short(scaled.before)} × {root}{short(scaled.factor)}"
    return f"{product} = {short(scaled.after)} by the {name} rule"


def describe_sweep(swept: SweptBatch) -> str:
    """The rates that a sweep supports, in a few words."""
    if swept.suggestion is None:
        found = f"suggests no rate ({swept.status})"
    else:
        found = f"suggests {two(swept.suggestion)}"
    return found + (f", edge {two(swept.edge)}" if swept.edge is not None else ", saw no edge")


def describe_verdict(scaled: ScaledLr, check: LrCheck) -> str:
    """What a sweep says about the scaled rate, and which rate to take."""
    rate, after = short(scaled.after), check.after
    if after is None:
        return f"unchecked: no sweep says whether training is stable at {rate}"
    at, edge = f"at batch {after.batch}", after.edge
    take = "" if after.suggestion is None else f"; take {two(after.suggestion)}"
    if check.verdict is LrVerdict.ABOVE_EDGE:
        assert edge is not None
        said = f"the rate {rate} lies above the stability edge {two(edge)} {at}{take}"
    elif after.suggestion is None:
        said = f"the sweep {at} supports no rate ({after.status}), so {rate} is not confirmed"
    elif check.verdict is LrVerdict.CONFIRMED:
        below = "no edge was seen" if edge is None else f"it lies below the edge {two(edge)}"
        within = f"within a factor {AGREEMENT:.0f} of what the sweep {at} suggests"
        return f"confirmed: the rate {rate} is {within}, {two(after.suggestion)}, and {below}"
    else:
        times = two(scaled.after / after.suggestion)
        said = f"the rate {rate} is {times} times what the sweep {at} suggests{take}"
    return f"{check.verdict}: {said}{_blame(scaled, check)}"


def _blame(scaled: ScaledLr, check: LrCheck) -> str:
    """Whether the rule is wrong here, or the rate that it started from."""
    before = check.before
    if before is None or before.suggestion is None or before == check.after:
        return ""
    own = scaled.before / before.suggestion
    amiss = own > AGREEMENT if check.verdict is not LrVerdict.LOW else own * AGREEMENT < 1
    if not amiss:
        return ""
    return (
        f". Not by the rule alone: the recipe's own rate {short(scaled.before)} is {two(own)} "
        f"times what the sweep at batch {before.batch} suggests"
    )


def short(value: float) -> str:
    """A rate by a rule, or a factor: up to three digits."""
    return show_value(int(value)) if value == int(value) else show_value(float(f"{value:.3g}"))


def two(value: float) -> str:
    """What was measured, two digits as in `dltune lr-find`."""
    return short(float(f"{value:.2g}"))
