"""From the curves of several seeds to one learning rate, its band, and the range to search."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from dltune.lr.blow_up import MAD_TO_SIGMA
from dltune.lr.curve import LrCurve
from dltune.lr.read import LrStatus, Reading, read
from dltune.lr.smooth import SmoothCurve, combine

# Stands in every JSON document and moves whenever the same curves would give other numbers.
ALGORITHM = "2"

# The constants of the rule, chosen on the tuning half of benchmarks/lr_find (what others do stands
# in docs/how-lr-find-works.md): how far below the middle of minimum and edge a training that lasts
# longer than the sweep does best. Optimizers that divide a gradient by its size take steps of the
# learning rate's size however small the gradient is, and so need more distance at the end of a
# training.
DIVISOR_PLAIN, DIVISOR_SCALED = 3.0, 4.0
PLAIN = ("sgd", "momentum", "nesterov", "adagrad")
# A model without a noise of its own falls over many decades, and its edge tells little of where to
# train: no further above the steepest point than this.
STEEPEST_FACTOR = 100.0

# A schedule that decays spends most of its steps below its peak: the same 25 trainings of the
# tuning half, under cosine with warmup and under one-cycle, did best 1.6 times higher (median).
PEAK_FACTOR = 1.6

# Half widths of the band, as factors: on the tuning half nearly nine in ten of the grids' best
# rates lie inside. It reaches further up, since what comes next to an edge is not always worse.
BAND_BELOW, BAND_ABOVE = 5.0, 10.0
# Where else to look when the other hyperparameters change as well: a decade to each side, but not
# beyond the edge.
SEARCH_FACTOR = 10.0

# Seeds whose own answers have a larger standard deviation than this answer differently.
SEEDS_APART_DECADES = 0.7
# So do the ways to read one curve, if one allows a thousand times what the other does.
METHODS_APART = 1e3


@dataclasses.dataclass(frozen=True, kw_only=True)
class SeedRates:
    """What one seed's curve says by itself; None where that curve alone does not show it."""

    seed: int
    suggestion: float | None
    edge: float | None
    steepest: float | None
    minimum: float | None


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class LrSuggestion:
    """What the curves say together; rates are learning rates, None where they do not show them.

    suggestion    for a constant learning rate; two significant digits. None unless status is ok.
    peak          for the highest rate of a schedule that decays (cosine, one-cycle, ...).
    band          lowest and highest rate that do as well as the suggestion within noise.
    search_range  lowest and highest rate to search, with other hyperparameters free.
    edge, steepest, minimum, slope  of the mean curve: see `Reading`.
    seeds         what each seed's curve says by itself.
    spread        standard deviation of the seeds' own suggestions, in decades, from the median of
                  their absolute deviations: one odd seed does not count; None for fewer than two.
    status        see `LrStatus`.
    reason        one sentence: what decided, or what is missing.
    advice        options of `dltune lr-find` to try instead; empty if the status is ok.
    mean          the mean curve.
    smoothed      the same, smoothed; None if there were too few points.
    """

    suggestion: float | None
    peak: float | None
    band: tuple[float, float] | None
    search_range: tuple[float, float] | None
    edge: float | None
    steepest: float | None
    minimum: float | None
    slope: float | None
    seeds: tuple[SeedRates, ...]
    spread: float | None
    status: LrStatus
    reason: str
    advice: str
    mean: LrCurve
    smoothed: SmoothCurve | None

    @property
    def drop(self) -> float | None:
        """Of the smoothed mean from the start to its minimum, in loss units."""
        return self.smoothed.drop if self.smoothed else None

    @property
    def noise(self) -> float | None:
        """Standard deviation of the mean loss from batch to batch, in loss units."""
        return self.smoothed.noise if self.smoothed else None


def suggest(curves: Sequence[LrCurve]) -> LrSuggestion:
    """The learning rate that the curves of several seeds support, if they do.

    curves  one a seed, at least one, over the same rates and for one optimizer.

    The curves are averaged (`combine`) and the mean is read (`read`). Then

    suggestion = min(sqrt(minimum edge) / a, 100 steepest), rounded to two digits

    with a = 3 for optimizers that step along the gradient and a = 4 for those that divide by its
    size; where no edge was seen, the minimum stands in for it. The peak is 1.6 times that.

    >>> from dltune.lr.curve import SweepEnd, exponential_rates
    >>> rates = exponential_rates(1e-5, 1.0, 201)
    >>> losses = [2 / (1 + (rate / 1e-2) ** 2) + (rate / 0.1) ** 4 for rate in rates]
    >>> found = suggest([LrCurve(
    ...     rates=rates, losses=tuple(losses), initial_loss=2.0, end=SweepEnd.RANGE, low=1e-5,
    ...     high=1.0, steps=201, epochs=1.0, optimizer="sgd", seed=0)])
    >>> found.status.value, found.suggestion, round(found.edge, 3)
    ('ok', 0.014, 0.056)
    """
    mean = combine(curves)
    reading = read(mean)
    seeds = tuple(_of_seed(curve) for curve in curves)
    own = np.array([math.log10(seed.suggestion) for seed in seeds if seed.suggestion])
    spread = float(MAD_TO_SIGMA * np.median(np.abs(own - np.median(own)))) if len(own) > 1 else None
    reading, rate, reason = _decide(reading, mean, spread)
    return LrSuggestion(
        suggestion=None if rate is None else two_digits(rate),
        peak=None if rate is None else two_digits(rate * PEAK_FACTOR),
        band=None if rate is None else band_around(rate),
        search_range=None if rate is None else search_range(rate, reading.edge),
        edge=reading.edge,
        steepest=reading.steepest,
        minimum=reading.minimum,
        slope=reading.slope,
        seeds=seeds,
        spread=spread,
        status=reading.status,
        reason=reason,
        advice=reading.advice,
        mean=mean,
        smoothed=reading.smoothed,
    )


def rates_by_method(reading: Reading, optimizer: str) -> dict[str, float]:
    """What the points of a curve that shows them each allow, by name."""
    assert reading.minimum is not None
    assert reading.steepest is not None
    edge = reading.minimum if reading.edge is None else reading.edge
    divisor = DIVISOR_PLAIN if optimizer in PLAIN else DIVISOR_SCALED
    return {
        "middle": math.sqrt(reading.minimum * edge) / divisor,
        "steepest": reading.steepest * STEEPEST_FACTOR,
    }


def _decide(
    reading: Reading, mean: LrCurve, spread: float | None
) -> tuple[Reading, float | None, str]:
    """The reading, with another status where its parts contradict each other; the rate; why."""
    if reading.status is not LrStatus.OK:
        return reading, None, reading.reason
    by = rates_by_method(reading, mean.optimizer)
    method, rate = min(by.items(), key=lambda one: one[1])
    if spread is not None and spread > SEEDS_APART_DECADES:
        return _apart(
            reading,
            f"the seeds disagree: their own suggestions have a standard deviation of {spread:.1f} "
            "decades",
            f"--steps {2 * mean.steps} --seeds 10",
        )
    if by["middle"] > METHODS_APART * rate:
        ways = " and ".join(f"{two_digits(value):g}" for value in sorted(by.values()))
        reason = f"the ways to read the curve lie far apart: {ways} (steepest point; edge)"
        return _apart(reading, reason, "--validate")
    return reading, rate, _why(method, rate, reading, mean)


def _apart(reading: Reading, reason: str, advice: str) -> tuple[Reading, None, str]:
    return dataclasses.replace(reading, status=LrStatus.APART, advice=advice), None, reason


def _why(method: str, rate: float, reading: Reading, mean: LrCurve) -> str:
    edge = (
        f"there is no stability edge up to {mean.rates[-1]:.2g}"
        if reading.edge is None
        else f"the stability edge is {reading.edge / rate:.2g} times higher"
    )
    if method == "steepest":
        return f"{STEEPEST_FACTOR:g} times the rate where the loss falls fastest; {edge}"
    divisor = DIVISOR_PLAIN if mean.optimizer in PLAIN else DIVISOR_SCALED
    middle = "the minimum" if reading.edge is None else "the middle of minimum and edge"
    return f"{divisor:g} times below {middle}, where longer trainings do best; {edge}"


def band_around(rate: float) -> tuple[float, float]:
    """The rates as good as this one, as far as sweeps can tell.

    >>> band_around(0.01)
    (0.002, 0.1)
    """
    return two_digits(rate / BAND_BELOW), two_digits(rate * BAND_ABOVE)


def search_range(rate: float, edge: float | None) -> tuple[float, float]:
    """Where to search around a rate, with other hyperparameters free; not beyond the edge.

    >>> search_range(0.01, 0.5)
    (0.001, 0.1)
    """
    most = math.inf if edge is None else edge
    low, high = rate / SEARCH_FACTOR, max(rate, min(rate * SEARCH_FACTOR, most))
    return two_digits(low), two_digits(high)


def _of_seed(curve: LrCurve) -> SeedRates:
    reading = read(curve)
    rate = None
    if reading.status is LrStatus.OK:
        rate = two_digits(min(rates_by_method(reading, curve.optimizer).values()))
    return SeedRates(
        seed=curve.seed,
        suggestion=rate,
        edge=reading.edge,
        steepest=reading.steepest,
        minimum=reading.minimum,
    )


def two_digits(rate: float) -> float:
    """The rate as it is shown and written: more digits would pretend a precision that is not there.

    >>> two_digits(0.0031622)
    0.0032
    """
    return float(f"{rate:.1e}")
