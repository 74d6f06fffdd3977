"""The learning rate of another batch size: a rule, and what sweeps at both sizes say to it."""

from __future__ import annotations

import dataclasses
import math
from enum import StrEnum
from typing import Literal

Rule = Literal["linear", "sqrt"]

# Their step is a rate times a gradient. All others divide the gradient by its own size.
LINEAR_OPTIMIZERS = ("sgd", "momentum", "nesterov")

# What a suggestion is good to: the sweeps of single seeds differ by up to a factor of four, and so
# lie within two of their middle.
AGREEMENT = 2.0
ROUNDING = 1e-9  # a factor of exactly two counts as within


class LrVerdict(StrEnum):
    """What a sweep at the new batch says about the scaled rate.

    confirmed   below the stability edge, and within a factor of two of the sweep's suggestion.
    above-edge  training would be unstable.
    high        below the edge, or none was seen, but more than twice the suggestion.
    low         less than half of the suggestion: stable, but slow.
    unclear     the sweep supports no suggestion, and the rate is not above an edge.
    unchecked   nobody swept.
    """

    CONFIRMED = "confirmed"
    ABOVE_EDGE = "above-edge"
    HIGH = "high"
    LOW = "low"
    UNCLEAR = "unclear"
    UNCHECKED = "unchecked"


@dataclasses.dataclass(frozen=True, kw_only=True)
class ScaledLr:
    """A learning rate carried over from one batch size to another.

    rule    "linear" or "sqrt".
    factor  examples an update, after over before.
    before  the rate that was, at the recipe's batch size.
    after   the rate by the rule; two significant digits, unless the factor is 1.
    """

    rule: Rule
    factor: float
    before: float
    after: float

    @property
    def ratio(self) -> float:
        """What the rule multiplies the rate by."""
        return self.factor if self.rule == "linear" else math.sqrt(self.factor)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SweptBatch:
    """What a sweep said at one batch size; rates are None where its curve shows none.

    status  of the suggestion, as `dltune lr-find` names it, or the error that ended the sweep.
    """

    batch: int
    suggestion: float | None
    edge: float | None
    status: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class LrCheck:
    """The scaled rate against sweeps.

    verdict  see `LrVerdict`.
    rate     the learning rate to take with the new batch: the rule's, or the sweep's suggestion
             where they contradict each other; None where nothing supports any.
    before   the sweep at the recipe's batch size; None if nobody swept, or it does not fit.
    after    the sweep at the new one; the same where the batch size stays.
    """

    verdict: LrVerdict
    rate: float | None
    before: SweptBatch | None = None
    after: SweptBatch | None = None

    @property
    def ratio(self) -> float | None:
        """The ratio of the sweeps' suggestions, after over before; None if one is missing."""
        if self.before is None or self.after is None:
            return None
        if self.before.suggestion is None or self.after.suggestion is None:
            return None
        return self.after.suggestion / self.before.suggestion


def rule_for(optimizer: str) -> Rule:
    """The rule that is usual for an optimizer, by its name in the recipe.

    >>> rule_for("momentum"), rule_for("adam")
    ('linear', 'sqrt')
    """
    return "linear" if optimizer in LINEAR_OPTIMIZERS else "sqrt"


def scale_lr(lr: float, *, before: int, after: int, rule: Rule) -> ScaledLr:
    """The rate for a batch of another size.

    lr             the rate that suits an update of `before` examples.
    before, after  examples an update, 1 or more.

    linear: lr k,  sqrt: lr sqrt(k),  with k = after / before

    k updates of a small batch move the weights about as far as one of a batch k times as large at
    k times the rate, while the gradient changes little between them: linear. An optimizer that
    divides by the size of the gradient divides by its noise, which falls with the root of the
    batch; to keep the noise of its steps takes the square root. Both fail once a batch is so large
    that its gradient has hardly any noise left.

    >>> scale_lr(0.1, before=64, after=256, rule="linear").after
    0.4
    >>> scale_lr(0.001, before=64, after=256, rule="sqrt").after
    0.002

    Sources: Goyal et al. 2017 (1706.02677), section 2.1; Malladi et al. 2022 (2205.10287),
    for Adam and RMSprop; where it stops, McCandlish et al. 2018 (1812.06162).
    """
    scaled = ScaledLr(rule=rule, factor=after / before, before=lr, after=lr)
    if scaled.factor == 1.0:
        return scaled
    return dataclasses.replace(scaled, after=float(f"{lr * scaled.ratio:.2g}"))


def check_scaled(scaled: ScaledLr, *, before: SweptBatch | None, after: SweptBatch) -> LrCheck:
    """Judge a scaled rate by the sweep at its batch; without one at the old, there is no ratio.

    >>> scaled = scale_lr(0.1, before=64, after=256, rule="linear")
    >>> sweeps = [SweptBatch(batch=b, suggestion=r, edge=6 * r, status="ok")
    ...           for b, r in ((64, 0.04), (256, 0.05))]
    >>> check = check_scaled(scaled, before=sweeps[0], after=sweeps[1])
    >>> check.verdict.value, check.rate
    ('above-edge', 0.05)
    """
    verdict = _verdict(scaled.after, after)
    contradicted = verdict in (LrVerdict.ABOVE_EDGE, LrVerdict.HIGH, LrVerdict.LOW)
    rate = after.suggestion if contradicted else scaled.after
    if verdict is LrVerdict.UNCLEAR:
        rate = None
    return LrCheck(verdict=verdict, rate=rate, before=before, after=after)


def unchecked(scaled: ScaledLr) -> LrCheck:
    """The check of a rate that nobody swept: the rule's rate stands."""
    return LrCheck(verdict=LrVerdict.UNCHECKED, rate=scaled.after)


def _verdict(rate: float, sweep: SweptBatch) -> LrVerdict:
    if sweep.edge is not None and rate > sweep.edge:
        return LrVerdict.ABOVE_EDGE
    if sweep.suggestion is None:
        return LrVerdict.UNCLEAR
    factor = rate / sweep.suggestion
    if factor > AGREEMENT * (1 + ROUNDING):
        return LrVerdict.HIGH
    return LrVerdict.LOW if factor * AGREEMENT * (1 + ROUNDING) < 1 else LrVerdict.CONFIRMED
