"""Taking the batches' noise out of a curve: the mean over seeds, and a centred smoother.

The smoother gives the loss against the logarithm of the rate, and its slope. The usual running mean
looks back only: over a rate that rises it reports the loss of rates that were one to two decades
lower, and by how much depends on the range and the number of steps. A centred window has no such
lag, and its width here is in decades, so that a curve measured in more steps, or over a longer
range, gives the same answer.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter1d

from dltune.lr.blow_up import ROUNDING, START_LOSSES, batch_noise, start_level
from dltune.lr.curve import LrCurve, SweepEnd

Array = npt.NDArray[np.float64]

# Narrow beside the fall of a loss curve, which takes a decade or two; at 25 steps a decade wide
# enough to leave a quarter of the batches' noise.
SIGMA_DECADES = 0.2
# A kernel narrower than this is no smoother: with few steps a decade it widens.
SMALLEST_SIGMA_POINTS = 1.0
# Over its first decade a sweep that starts low enough changes nothing: all of it says where the
# loss starts. A median's standard deviation is sqrt(pi / 2) times that of a mean.
START_DECADES = 1.0
SPREAD_OF_MEDIAN = math.sqrt(math.pi / 2)
OTHER_START_SIGMAS = 4.0  # by which the first losses must differ from it to be believed instead
# Cut off at the start itself, noise alone would look like a fall of 0.4 standard deviations; cut
# off here, of less than a thousandth of one.
CAP_SIGMAS = 3.0
REACH = 4.0  # sigmas of kernel on each side; what lies beyond weighs less than 1e-4


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class SmoothCurve:
    """A curve after smoothing; arrays of one entry a rate.

    log_rates  log10 of the rates.
    losses     smoothed, in the loss's units; cut off a little above the start.
    slopes     change of the smoothed loss per decade of the rate; nats per decade for a
               cross-entropy.
    start      loss of the fresh model.
    noise      standard deviation of a single loss from batch to batch.
    residue    standard deviation that is left of it in `losses`, away from the ends.
    drop       how far the smoothed loss comes below the start, at most.
    drop_error standard deviation of the drop from noise alone, and at least float32's rounding.
    """

    log_rates: Array
    losses: Array
    slopes: Array
    start: float
    noise: float
    residue: float
    drop: float
    drop_error: float


def smooth(rates: Sequence[float], losses: Sequence[float], *, blown_up: bool) -> SmoothCurve:
    """Convolve with a Gaussian of 0.2 decades, and with its derivative for the slope.

    rates     evenly spaced in the logarithm, at least two, as `exponential_rates` gives them.
    losses    as many, finite.
    blown_up  whether the curve ends because the loss blew up or was not finite.

    Losses are cut off three standard deviations of noise above the start, since nothing higher is
    of use, and a loss of 10^6 would otherwise reach back and bend the curve long before anything
    happened.

    >>> rates = 10.0 ** np.linspace(-4, 0, 101)
    >>> curve = smooth(rates, -0.5 * np.log10(rates), blown_up=False)
    >>> float(curve.losses[25].round(3)), float(curve.slopes[25].round(3))
    (1.5, -0.5)
    """
    log_rates = np.log10(np.asarray(rates, dtype=float))
    spacing = float(log_rates[-1] - log_rates[0]) / (len(log_rates) - 1)
    sigma = max(SIGMA_DECADES / spacing, SMALLEST_SIGMA_POINTS)
    noise = batch_noise(losses)
    start, start_error = _start(losses, noise, points=round(START_DECADES / spacing))
    reach = math.ceil(REACH * sigma)
    cap = start + CAP_SIGMAS * noise
    padded = _pad(np.minimum(losses, cap), reach, below=start, beyond=cap if blown_up else None)
    inside = slice(reach, reach + len(log_rates))
    smoothed = gaussian_filter1d(padded, sigma, truncate=REACH)[inside]
    # The sum of the squares of a Gaussian kernel is 1 / (2 sqrt(pi) sigma).
    residue = noise / math.sqrt(2.0 * math.sqrt(math.pi) * sigma)
    return SmoothCurve(
        log_rates=log_rates,
        losses=smoothed,
        slopes=gaussian_filter1d(padded, sigma, order=1, truncate=REACH)[inside] / spacing,
        start=start,
        noise=noise,
        residue=residue,
        drop=start - float(smoothed.min()),
        drop_error=max(math.hypot(residue, start_error), ROUNDING * abs(start)),
    )


def _start(losses: Sequence[float], noise: float, *, points: int) -> tuple[float, float]:
    """The loss of the fresh model, and the standard deviation of that estimate.

    A sweep that starts too high falls or rises already in its first decade. The first five losses
    then tell more, and count as soon as they differ by four standard deviations.
    """
    several, few = (max(points, START_LOSSES), START_LOSSES)
    errors = [SPREAD_OF_MEDIAN * noise / math.sqrt(count) for count in (several, few)]
    long, short = float(np.median(losses[:several])), start_level(losses)
    if abs(short - long) > OTHER_START_SIGMAS * errors[1]:
        return short, errors[1]
    return long, errors[0]


def _pad(losses: Array, reach: int, *, below: float, beyond: float | None) -> Array:
    """Continue a curve on both sides, without repeating the noise of its ends.

    Below the range lower rates change less: the loss stays at the start. Beyond a blow-up it stays
    up; beyond the range's own end it goes on along the line through the last points.
    """
    padded = np.pad(losses, (reach, 0), constant_values=below)
    if beyond is not None:
        return np.pad(padded, (0, reach), constant_values=beyond)
    last = losses[-reach:]
    slope, level = np.polyfit(np.arange(len(last)), last, deg=1)
    return np.concatenate([padded, level + slope * np.arange(len(last), len(last) + reach)])


def combine(curves: Sequence[LrCurve]) -> LrCurve:
    """The mean of the seeds' losses at every rate.

    curves  one a seed, at least one, over the same rates; they may end early.

    The noise of one batch is that of one seed: it goes down with the root of their number, and with
    it what a fall must be to be seen. A seed's losses are cut off three standard deviations of its
    noise above its start, and where it has ended it stays there, so that one seed that blew up
    counts as one seed, however high its last loss. A curve without losses (the fresh model was
    broken already) counts only where all are without.

    >>> shared = dict(initial_loss=2.0, low=0.1, high=0.4, steps=3, epochs=1.0, optimizer="sgd")
    >>> a = LrCurve(rates=(0.1, 0.2, 0.4), losses=(2.0, 1.0, 0.0), end=SweepEnd.RANGE, seed=0,
    ...             **shared)
    >>> b = LrCurve(rates=(0.1, 0.2), losses=(2.0, 1.5), end=SweepEnd.DIVERGED, seed=1, **shared)
    >>> combine([a, b]).losses, str(combine([a, b]).end)
    ((1.375, 1.25, 0.875), 'diverged')
    """
    with_losses = [curve for curve in curves if curve.losses]
    if not with_losses:
        return curves[0]
    longest = max(with_losses, key=lambda curve: len(curve.losses))
    points = len(longest.losses)
    rows = np.empty((len(with_losses), points))
    for row, curve in zip(rows, with_losses, strict=True):
        cap = start_level(curve.losses) + CAP_SIGMAS * batch_noise(curve.losses)
        row[: len(curve.losses)] = np.minimum(curve.losses, cap)
        row[len(curve.losses) :] = cap
    ended = [curve for curve in with_losses if curve.end is not SweepEnd.RANGE]
    if 2 * len(ended) < len(with_losses):  # most seeds got through: no edge was seen
        ended = []
    return dataclasses.replace(
        longest,
        losses=tuple(rows.mean(axis=0).tolist()),
        initial_loss=float(np.mean([curve.initial_loss for curve in with_losses])),
        end=ended[-1].end if ended else SweepEnd.RANGE,
        ended_by=ended[-1].ended_by if ended else "",
        epochs=sum(curve.epochs for curve in curves),
    )
