"""What a sweep's curve shows: where it falls, where it is lowest, where it leaves; or why not."""

from __future__ import annotations

import dataclasses
import math
from enum import StrEnum

import numpy as np

from dltune.lr.blow_up import ROUNDING
from dltune.lr.curve import LrCurve, SweepEnd
from dltune.lr.smooth import SIGMA_DECADES, SmoothCurve, smooth

# Between the steepest point and the end of the fall the loss goes on at least a quarter as
# steeply. Shares from a tenth to a half give about the same; a quarter is far enough from the noise
# around the minimum.
SLOPE_SHARE = 0.25
# Where the loss has lost a tenth of what it had fallen, it is about to go: the smoother spreads the
# start of a blow-up over a fifth of a decade to each side.
EDGE_RISE = 0.1
# A model that has learned its batches by heart keeps a loss of nearly nothing over decades: what
# counts is where the fall is over, to this share of it.
BOTTOM_SHARE = 0.02
# Share of the drop that must be done before the slope counts, so that a bump in the flat part
# before the fall is not taken for the steepest point.
ONSET_DROP = 0.1
# Standard deviations that a fall must have. Curves of pure noise pass one time in two hundred.
FALL_SIGMAS = 4.0
# A fall and the blow-up after it take about two decades; less below a blow-up leaves no room.
ROOM_DECADES = 2.0
# A fall that is steepest nearer than this to the lowest rate had begun before the sweep did.
LEAST_LEAD_DECADES = 0.5
# Half of the fewest steps of a sweep; a Gaussian over fewer points mostly sees its own padding.
FEWEST_POINTS = 10
WIDER = 100.0  # what to try instead of a range that was too narrow: two decades more
# A loss that comes below that of a constant prediction by less than this share of it shows that the
# outputs found their average, and nothing of the inputs.
NOTHING_LEARNED = 0.01
# A fresh model predicts no better than a constant, give or take what random outputs cost; one that
# starts below two thirds of that loss has learned before.
LEARNED_SHARE = 2.0 / 3.0


class LrStatus(StrEnum):
    """What the curve supports: a suggestion, or why not.

    ok          there is a suggestion.
    non-finite  the fresh model's loss or gradient is already NaN or infinite.
    short       the sweep broke off before it had points enough for a slope.
    flat        the loss never fell by more than the batches' noise, or no lower than a prediction
                that does not look at the inputs.
    learned     it did not fall, and the model knew the data before: pretrained weights.
    rising      the sweep started too high: below the edge there is no room for a fall.
    falling     the loss still falls at the highest rate: its end was not seen.
    apart       the seeds, or the ways to read the curve, contradict each other.
    """

    OK = "ok"
    NON_FINITE = "non-finite"
    SHORT = "short"
    FLAT = "flat"
    LEARNED = "learned"
    RISING = "rising"
    FALLING = "falling"
    APART = "apart"


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Reading:
    """What one curve shows; rates are learning rates, None where the curve does not show them.

    status      see `LrStatus`.
    reason      one sentence on what is missing; empty if the status is ok.
    advice      options of `dltune lr-find` to try instead; empty if the status is ok.
    edge        stability edge: the largest rate before the loss leaves its minimum for good.
    steepest    where the smoothed loss falls fastest against the logarithm of the rate.
    minimum     the first rate at which the smoothed loss is at its lowest, to 2 % of its fall.
    fading      last rate from the steepest on up to which it falls at least a quarter as steeply.
    slope       of the smoothed loss at `steepest`, in loss units (nats) per decade, negative.
    smoothed    the curve that all this was read from; None if there were too few points.
    """

    status: LrStatus
    reason: str = ""
    advice: str = ""
    edge: float | None = None
    steepest: float | None = None
    minimum: float | None = None
    fading: float | None = None
    slope: float | None = None
    smoothed: SmoothCurve | None = None


def read(curve: LrCurve) -> Reading:
    """Read one sweep, or the mean of several.

    Differences of losses and of log rates are all that is used: the answer does not change if the
    loss is shifted or scaled, if the range is longer, or if the same curve has more points.

    >>> from dltune.lr.curve import exponential_rates
    >>> rates = exponential_rates(1e-5, 1.0, 201)
    >>> losses = [2 / (1 + (rate / 1e-2) ** 2) + (rate / 0.1) ** 4 for rate in rates]
    >>> found = read(LrCurve(
    ...     rates=rates, losses=tuple(losses), initial_loss=2.0, end=SweepEnd.RANGE, low=1e-5,
    ...     high=1.0, steps=201, epochs=1.0, optimizer="sgd", seed=0))
    >>> found.status.value, round(found.minimum, 3), round(found.edge, 3)
    ('ok', 0.03, 0.056)
    """
    if curve.end is SweepEnd.NON_FINITE and not curve.losses and curve.ended_at is None:
        return Reading(
            status=LrStatus.NON_FINITE,
            reason=f"{curve.ended_by} before the first update: look for NaN or infinity in the "
            "data, or in what the model does with it",
        )
    if len(curve.losses) < FEWEST_POINTS:
        return _too_short(curve)
    smoothed = smooth(curve.rates, curve.losses, blown_up=curve.end is not SweepEnd.RANGE)
    if smoothed.drop <= FALL_SIGMAS * smoothed.drop_error:
        return _no_fall(curve, smoothed)
    return _seen(curve, smoothed)


def _seen(curve: LrCurve, smoothed: SmoothCurve) -> Reading:
    rates, losses, slopes = curve.rates, smoothed.losses, smoothed.slopes
    bottom = losses.min() + max(smoothed.residue, BOTTOM_SHARE * smoothed.drop)
    minimum = int(np.flatnonzero(losses <= bottom)[0])
    before_fall = np.flatnonzero(
        losses[: minimum + 1] >= smoothed.start - ONSET_DROP * smoothed.drop
    )
    onset = int(before_fall[-1]) if len(before_fall) else 0
    steepest = onset + int(np.argmin(slopes[onset : minimum + 1]))
    fading = steepest
    while fading < minimum and slopes[fading + 1] <= SLOPE_SHARE * slopes[steepest]:
        fading += 1
    if curve.baseline is not None and losses.min() > (1.0 - NOTHING_LEARNED) * curve.baseline > 0:
        return _nothing_learned(curve, smoothed)
    edge = _edge(curve, smoothed)
    reading = Reading(
        status=LrStatus.OK,
        edge=edge,
        steepest=rates[steepest],
        minimum=rates[minimum],
        fading=rates[fading],
        slope=float(slopes[steepest]),
        smoothed=smoothed,
    )
    if edge is None and math.log10(rates[-1] / rates[fading]) < SIGMA_DECADES:
        return dataclasses.replace(
            reading,
            status=LrStatus.FALLING,
            reason=f"the loss still falls at the highest rate, {rates[-1]:.2g}: "
            "its minimum and the stability edge lie beyond",
            advice=f"--max-lr {curve.high * WIDER:.2g}",
        )
    if math.log10(rates[steepest] / rates[0]) < LEAST_LEAD_DECADES:
        return dataclasses.replace(
            reading,
            status=LrStatus.RISING,
            reason=f"the loss falls from the lowest rate, {rates[0]:.2g}, on: "
            "where the fall begins was not seen",
            advice=f"--min-lr {curve.low / WIDER:.2g}",
        )
    return reading


def _edge(curve: LrCurve, smoothed: SmoothCurve) -> float | None:
    losses = smoothed.losses
    rise = max(FALL_SIGMAS * smoothed.residue, EDGE_RISE * smoothed.drop)
    edge = int(np.flatnonzero(losses <= losses.min() + rise)[-1])
    if curve.end is SweepEnd.RANGE and edge == len(losses) - 1:
        return None
    return curve.rates[edge]


def _nothing_learned(curve: LrCurve, smoothed: SmoothCurve) -> Reading:
    return Reading(
        status=LrStatus.FLAT,
        reason=f"the loss falls to {smoothed.losses.min():.3g} and no further: a prediction that "
        f"does not look at the inputs has {curve.baseline:.3g}, so the model learned nothing yet",
        advice="--validate",
        edge=_last_rate(curve),
        smoothed=smoothed,
    )


def _last_rate(curve: LrCurve) -> float | None:
    """Where the sweep blew up; None if it did not."""
    return None if curve.end is SweepEnd.RANGE else curve.rates[-1]


def _too_short(curve: LrCurve) -> Reading:
    # The last update has a loss of its own only where that loss was finite.
    updates = len(curve.losses) + (curve.ended_at not in curve.rates)
    many = "update" if updates == 1 else "updates"
    losses = "1 loss is" if len(curve.losses) == 1 else f"{len(curve.losses)} losses are"
    return Reading(
        status=LrStatus.SHORT,
        reason=f"{curve.ended_by} after {updates} {many}, at {curve.ended_at:.2g}: "
        f"{losses} too few for a slope, {FEWEST_POINTS} are needed",
        advice=f"--min-lr {curve.low / WIDER:.2g}",
    )


def _no_fall(curve: LrCurve, smoothed: SmoothCurve) -> Reading:
    blown_up = curve.end is not SweepEnd.RANGE
    edge = _last_rate(curve)
    until = f", until it blew up at {curve.rates[-1]:.2g}" if blown_up else ""
    if curve.baseline is not None and smoothed.start < LEARNED_SHARE * curve.baseline:
        return Reading(
            status=LrStatus.LEARNED,
            reason=f"the loss starts at {smoothed.start:.3g}, where a prediction that does not "
            f"look at the inputs has {curve.baseline:.3g}, and falls no further{until}: a model "
            "that was trained before shows only where it breaks",
            advice="--validate",
            edge=edge,
            smoothed=smoothed,
        )
    if blown_up and smoothed.log_rates[-1] - smoothed.log_rates[0] < ROOM_DECADES:
        return Reading(
            status=LrStatus.RISING,
            reason=f"the loss only rises from the lowest rate, {curve.low:.2g}, on",
            advice=f"--min-lr {curve.low / WIDER:.2g}",
            smoothed=smoothed,
        )
    if smoothed.noise <= ROUNDING * abs(smoothed.start):
        reason = f"the loss does not move from {smoothed.start:.3g}{until}"
    else:
        reason = (
            f"the loss fell by {max(smoothed.drop, 0.0):.2g}{until}; from batch to batch it varies "
            f"so much that {FALL_SIGMAS * smoothed.drop_error:.2g} could be chance"
        )
    return Reading(
        status=LrStatus.FLAT,
        reason=reason,
        advice=f"--steps {2 * curve.steps}",
        edge=edge,
        smoothed=smoothed,
    )
