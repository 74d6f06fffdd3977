"""A sweep that finds its own range and its own speed."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping

from dltune.lr.curve import LrCurve, exponential_rates
from dltune.lr.read import WIDER, LrStatus, Reading, read
from dltune.lr.smooth import combine

# Where a sweep begins and ends before it has seen anything. Optimizers that divide by the size of
# the gradient move each weight by about the learning rate: above 10 none trains. For the others
# what counts is learning rate times curvature; linear models on standardised data turn unstable as
# high as 50 (measured), so their range lies a decade higher. Adadelta's steps have a scale of their
# own, on which torch's default is 1. The high end costs nothing, since a sweep ends where it blows
# up; every decade at the low end costs updates that change nothing, so it is extended when needed.
_SCALED_RANGE = (2e-5, 1e1)
_PLAIN_RANGE = (5e-5, 1e2)
DEFAULT_RANGES: Mapping[str, tuple[float, float]] = {
    "sgd": _PLAIN_RANGE,
    "momentum": _PLAIN_RANGE,
    "nesterov": _PLAIN_RANGE,
    "adagrad": _PLAIN_RANGE,
    "rmsprop": _SCALED_RANGE,
    "adadelta": (1e-2, 1e4),
    "adam": _SCALED_RANGE,
    "adamax": _SCALED_RANGE,
    "nadam": _SCALED_RANGE,
    "adamw": _SCALED_RANGE,
}

# A sweep is widened at most so often: by then it spans twelve decades.
EXTENSIONS = 3
# A model that must first find its way out of a plateau learns next to nothing while a sweep rushes
# by. Where the loss came down by less than this share of what a constant prediction costs, it is
# swept again, so many times slower.
LITTLE_LEARNED = 0.1
SLOWER = 4

Sweep = Callable[[float, float, int], list[LrCurve]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class SweepRange:
    """What a sweep starts with.

    low, high   first and last rate.
    steps       updates from one to the other.
    fixed_low, fixed_high, fixed_steps  what the user has chosen, which is not changed.
    """

    low: float
    high: float
    steps: int
    fixed_low: bool = False
    fixed_high: bool = False
    fixed_steps: bool = False

    @classmethod
    def of(
        cls,
        optimizer: str,
        *,
        per_decade: int,
        low: float | None = None,
        high: float | None = None,
        steps: int | None = None,
    ) -> SweepRange:
        """What was chosen, and the usual for the rest.

        optimizer   name in the recipe.
        per_decade  updates a factor of ten of the rate, where `steps` is not chosen.

        >>> SweepRange.of("sgd", per_decade=10, low=1e-3, high=1.0).steps
        31
        """
        default_low, default_high = DEFAULT_RANGES[optimizer]
        first = default_low if low is None else low
        last = default_high if high is None else high
        if steps is None:
            # An impossible range is refused by name below; it has no number of steps.
            ratio = last / first if 0 < first < last < math.inf else 1.0
            count = max(round(per_decade * math.log10(ratio)) + 1, 20)
        else:
            count = steps
        exponential_rates(first, last, count)
        return cls(
            low=first,
            high=last,
            steps=count,
            fixed_low=low is not None,
            fixed_high=high is not None,
            fixed_steps=steps is not None,
        )


def sweep_where_needed(sweep: Sweep, start: SweepRange) -> tuple[list[LrCurve], list[str]]:
    """Sweep; wider where an end was too near, slower where nothing was learned.

    sweep  called with low, high and steps; gives a curve for each seed.
    start  what to begin with.

    Returns the last sweep's curves, and what was changed, as sentences.

    Raises SweepError for an impossible range, and what `sweep` raises.
    """
    now, notes, slowed = start, [], start.fixed_steps
    curves = sweep(now.low, now.high, now.steps)
    for _ in range(EXTENSIONS):
        mean = combine(curves)
        reading = read(mean)
        wider = _wider(now, reading)
        if wider is not None:
            note = f"{reading.reason}: swept again from {wider.low:.2g} to {wider.high:.2g}"
            now = wider
        elif not slowed and learned_little(mean, reading):
            slowed = True
            now = dataclasses.replace(now, steps=SLOWER * now.steps)
            note = f"the model hardly learned anything: swept again, {SLOWER} times slower"
        else:
            break
        notes.append(note)
        curves = sweep(now.low, now.high, now.steps)
    return curves, notes


def _wider(now: SweepRange, reading: Reading) -> SweepRange | None:
    """The range to try instead, with as many steps a decade; None if this one will do."""
    low, high = now.low, now.high
    if reading.status in (LrStatus.RISING, LrStatus.SHORT) and not now.fixed_low:
        low = low / WIDER
    elif reading.status is LrStatus.FALLING and not now.fixed_high:
        high = high * WIDER
    else:
        return None
    decades = math.log10(high / low) / math.log10(now.high / now.low)
    steps = now.steps if now.fixed_steps else round((now.steps - 1) * decades) + 1
    return dataclasses.replace(now, low=low, high=high, steps=steps)


def learned_little(mean: LrCurve, reading: Reading) -> bool:
    """Whether the loss came little below that of a prediction that does not look at the inputs.

    mean  the mean curve; where it has no baseline, only a curve without a fall counts.
    """
    if reading.status is LrStatus.FLAT:
        return True
    if reading.status is not LrStatus.OK or reading.smoothed is None or mean.baseline is None:
        return False
    lowest = float(reading.smoothed.losses.min())
    return mean.baseline > 0 and lowest > (1.0 - LITTLE_LEARNED) * mean.baseline
