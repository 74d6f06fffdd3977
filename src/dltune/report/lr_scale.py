"""The rate of another batch size in words: the rule, the sweeps, and the verdict."""

from __future__ import annotations

from dltune.lr.batch.scale import AGREEMENT, LrCheck, LrVerdict, ScaledLr, SweptBatch
from dltune.report.numbers import show_value


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
