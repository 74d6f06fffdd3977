"""From a sweep's curve to one learning rate, or to a status that says why there is none."""

from __future__ import annotations

import dataclasses
import math
from enum import StrEnum

import numpy as np

from dltune.lr.blow_up import ROUNDING
from dltune.lr.curve import LrCurve, SweepEnd
from dltune.lr.smooth import SIGMA_DECADES, SmoothCurve, smooth

# Share and divisor were chosen together by the measurements in docs/lr-find.md. Shares from a tenth
# to a half do about equally well; a quarter is far enough from the noise around the minimum.
SLOPE_SHARE = 0.25
# A sweep passes the rate at which training turns unstable and shows it only some updates later:
# plain gradient descent up to 3.5 times too high, where theory knows it. Half of the true one is
# the classic advice (Smith 2017, section 3.3); six is what lost least in the measurements.
EDGE_DIVISOR = 6.0
# The smoother spreads the start of a blow-up over a fifth of a decade to each side; a quarter of
# the drop is where its foot stands.
EDGE_RISE = 0.25
# Share of the drop that must be done before the slope counts, so that a bump in the flat part
# before the fall is not taken for the steepest point.
ONSET_DROP = 0.1
# Standard deviations that a fall must have. Curves of pure noise pass one time in two hundred.
FALL_SIGMAS = 4.0
# A fall and the blow-up after it take about two decades; less below a blow-up leaves no room.
ROOM_DECADES = 2.0
# Half of the fewest steps of a sweep; a Gaussian over fewer points mostly sees its own padding.
FEWEST_POINTS = 10
WIDER = 100.0  # what to try instead of a range that was too narrow: two decades more


class LrStatus(StrEnum):
    """What the curve supports: a suggestion, or why not.

    ok          there is a suggestion.
    non-finite  the fresh model's loss or gradient is already NaN or infinite.
    short       the sweep broke off before it had points enough for a slope.
    flat        the loss never fell by more than the batches' noise.
    rising      the sweep started too high: below the edge there is no room for a fall, or for the
                answer.
    falling     the loss still falls at the highest rate: its end was not seen.
    """

    OK = "ok"
    NON_FINITE = "non-finite"
    SHORT = "short"
    FLAT = "flat"
    RISING = "rising"
    FALLING = "falling"


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class LrSuggestion:
    """What a curve says; rates are learning rates, None where the curve does not show them.

    suggestion  two significant digits; None unless the status is ok.
    edge        stability edge: the largest rate before the loss leaves its minimum for good.
    steepest    where the smoothed loss falls fastest against the logarithm of the rate.
    minimum     where the smoothed loss is lowest.
    status      see `LrStatus`.
    reason      one sentence: what decided, or what is missing.
    advice      options of `dltune lr-find` to try instead; empty if the status is ok.
    slope       of the smoothed loss at `steepest`, in loss units (nats) per decade, negative.
    drop        of the smoothed loss from the start to the minimum, in loss units.
    noise       standard deviation of the loss from batch to batch, in loss units.
    smoothed    the curve that all this was read from; None if there were too few points.
    """

    suggestion: float | None
    edge: float | None
    steepest: float | None
    minimum: float | None
    status: LrStatus
    reason: str
    advice: str = ""
    slope: float | None = None
    drop: float | None = None
    noise: float | None = None
    smoothed: SmoothCurve | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Points:
    """Indices into a smoothed curve: steepest <= fading <= minimum; edge None if not seen."""

    steepest: int
    fading: int
    minimum: int
    edge: int | None


def suggest(curve: LrCurve) -> LrSuggestion:
    """The learning rate that a sweep's curve supports, if it does.

    suggestion = min(r_slope, edge / 6), rounded to two digits. From the steepest point on, r_slope
    is the last rate up to which the smoothed loss keeps falling at least a quarter as steeply, per
    decade, as there; at the latest it is the minimum. Where no edge was seen, r_slope is it.

    Differences of losses and of log rates are all that is used: the answer does not change if the
    loss is shifted or scaled, if the range is longer, or if the same curve has more points.

    >>> from dltune.lr.curve import exponential_rates
    >>> rates = exponential_rates(1e-5, 1.0, 201)
    >>> losses = [2 / (1 + (rate / 1e-2) ** 2) + (rate / 0.1) ** 4 for rate in rates]
    >>> found = suggest(LrCurve(
    ...     rates=rates, losses=tuple(losses), initial_loss=2.0, end=SweepEnd.RANGE, low=1e-5,
    ...     high=1.0, steps=201, epochs=1.0, optimizer="sgd", seed=0))
    >>> found.status.value, found.suggestion, round(found.minimum, 3), round(found.edge, 3)
    ('ok', 0.012, 0.038, 0.071)
    """
    if curve.end is SweepEnd.NON_FINITE and not curve.losses:
        return _broken(curve)
    if len(curve.losses) < FEWEST_POINTS:
        return _too_short(curve)
    smoothed = smooth(curve.rates, curve.losses, blown_up=curve.end is not SweepEnd.RANGE)
    if smoothed.drop <= FALL_SIGMAS * smoothed.drop_error:
        return _no_fall(curve, smoothed)
    return _decide(curve, smoothed, _find_points(smoothed, complete=curve.end is SweepEnd.RANGE))


def _find_points(smoothed: SmoothCurve, *, complete: bool) -> _Points:
    losses, slopes = smoothed.losses, smoothed.slopes
    minimum = int(np.argmin(losses))
    before_fall = np.flatnonzero(
        losses[: minimum + 1] >= smoothed.start - ONSET_DROP * smoothed.drop
    )
    onset = int(before_fall[-1]) if len(before_fall) else 0
    steepest = onset + int(np.argmin(slopes[onset : minimum + 1]))
    fading = steepest
    while fading < minimum and slopes[fading + 1] <= SLOPE_SHARE * slopes[steepest]:
        fading += 1
    rise = max(FALL_SIGMAS * smoothed.residue, EDGE_RISE * smoothed.drop)
    edge = int(np.flatnonzero(losses <= losses[minimum] + rise)[-1])
    seen = not (complete and edge == len(losses) - 1)
    return _Points(steepest=steepest, fading=fading, minimum=minimum, edge=edge if seen else None)


def _decide(curve: LrCurve, smoothed: SmoothCurve, points: _Points) -> LrSuggestion:
    rates = curve.rates
    edge = None if points.edge is None else rates[points.edge]
    seen = LrSuggestion(
        suggestion=None,
        edge=edge,
        steepest=rates[points.steepest],
        minimum=rates[points.minimum],
        status=LrStatus.OK,
        reason="",
        slope=float(smoothed.slopes[points.steepest]),
        drop=smoothed.drop,
        noise=smoothed.noise,
        smoothed=smoothed,
    )
    by_slope = rates[points.fading]
    if edge is None and math.log10(rates[-1] / by_slope) < SIGMA_DECADES:
        return dataclasses.replace(
            seen,
            status=LrStatus.FALLING,
            reason=f"the loss still falls at the highest rate, {rates[-1]:.2g}: "
            "its minimum and the stability edge lie beyond",
            advice=f"--max-lr {curve.high * WIDER:.2g}",
        )
    by_edge = math.inf if edge is None else edge / EDGE_DIVISOR
    if min(by_slope, by_edge) < rates[0]:
        return dataclasses.replace(
            seen,
            status=LrStatus.RISING,
            reason=f"the sweep starts at {rates[0]:.2g}, "
            f"too close to the stability edge at {edge:.2g}",
            advice=f"--min-lr {curve.low / WIDER:.2g}",
        )
    return dataclasses.replace(
        seen, suggestion=two_digits(min(by_slope, by_edge)), reason=_why(by_slope, edge, rates[-1])
    )


def _why(by_slope: float, edge: float | None, highest: float) -> str:
    slope_rule = "up to it the loss falls at least a quarter as steeply as at its steepest"
    if edge is None:
        return f"{slope_rule}; there is no stability edge up to {highest:.2g}"
    if by_slope <= edge / EDGE_DIVISOR:
        return f"{slope_rule}; the stability edge is {edge / by_slope:.0f} times higher"
    return f"a sixth of the stability edge; the slope alone would allow {by_slope:.2g}"


def two_digits(rate: float) -> float:
    """The rate as it is shown and written: more digits would pretend a precision that is not there.

    >>> two_digits(0.0031622)
    0.0032
    """
    return float(f"{rate:.1e}")


def _refusal(
    status: LrStatus, reason: str, advice: str, smoothed: SmoothCurve | None
) -> LrSuggestion:
    return LrSuggestion(
        suggestion=None,
        edge=None,
        steepest=None,
        minimum=None,
        status=status,
        reason=reason,
        advice=advice,
        drop=smoothed.drop if smoothed else None,
        noise=smoothed.noise if smoothed else None,
        smoothed=smoothed,
    )


def _broken(curve: LrCurve) -> LrSuggestion:
    if curve.ended_at is None:
        reason = (
            f"{curve.ended_by} before the first update: look for NaN or infinity in the data, "
            "or in what the model does with it"
        )
        return _refusal(LrStatus.NON_FINITE, reason, "", None)
    return _too_short(curve)


def _too_short(curve: LrCurve) -> LrSuggestion:
    # The last update has a loss of its own only where that loss was finite.
    updates = len(curve.losses) + (curve.ended_at not in curve.rates)
    reason = (
        f"{curve.ended_by} after {updates} updates, at {curve.ended_at:.2g}: "
        f"{len(curve.losses)} losses are too few for a slope, {FEWEST_POINTS} are needed"
    )
    return _refusal(LrStatus.SHORT, reason, f"--min-lr {curve.low / WIDER:.2g}", None)


def _no_fall(curve: LrCurve, smoothed: SmoothCurve) -> LrSuggestion:
    blown_up = curve.end is not SweepEnd.RANGE
    if blown_up and smoothed.log_rates[-1] - smoothed.log_rates[0] < ROOM_DECADES:
        reason = f"the loss only rises from the lowest rate, {curve.low:.2g}, on"
        return _refusal(LrStatus.RISING, reason, f"--min-lr {curve.low / WIDER:.2g}", smoothed)
    until = f", until it blew up at {curve.rates[-1]:.2g}" if blown_up else ""
    if smoothed.noise <= ROUNDING * abs(smoothed.start):
        reason = f"the loss does not move from {smoothed.start:.3g}{until}"
    else:
        reason = (
            f"the loss fell by {max(smoothed.drop, 0.0):.2g}{until}; from batch to batch it varies "
            f"so much that {FALL_SIGMAS * smoothed.drop_error:.2g} could be chance"
        )
    return _refusal(LrStatus.FLAT, reason, f"--steps {2 * curve.steps}", smoothed)
