"""When a loss counts as blown up: differences only, in units of the batches' own noise.

A ratio of losses ("four times the best") means nothing for a loss that may be negative or close to
zero, and a comparison with NaN is never true. So finiteness is asked first, by the sweep, and
everything here compares differences of losses: adding a constant to the loss, or scaling it,
changes no decision.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

# The first losses stand for the fresh model; a median of five withstands two odd batches.
START_LOSSES = 5
# 1 / 0.6745: turns a median absolute deviation into a normal distribution's standard deviation.
MAD_TO_SIGMA = 1.4826
# Three losses in a row, all six standard deviations above the start, are no accident of batches,
# even where the noise is badly estimated from few losses.
NOISE_UNITS = 6.0
SUSTAINED_LOSSES = 3
# Without batch noise (full batch) any rise would be infinitely many units. Half of what the loss
# had fallen is a rise that is visible in a plot.
SHARE_OF_DROP = 0.5
# From fewer losses the noise may look like nothing by chance, and then any batch like a blow-up.
FEWEST_LOSSES = 20
# Float32 losses are rounded to about 1e-7 of their size, and so is a loss that does not change.
ROUNDING = 1e-6


def start_level(losses: Sequence[float]) -> float:
    """Loss of the fresh model: the median of the first five losses.

    >>> start_level([2.3, 2.4, 9.0, 2.2, 2.3, 0.1])
    2.3
    """
    return float(np.median(losses[:START_LOSSES]))


def batch_noise(losses: Sequence[float]) -> float:
    """Standard deviation of a loss from batch to batch, with the curve's own course taken out.

    losses  at least three for anything but 0.

    sigma = 1.4826 median |l_{i-1} - 2 l_i + l_{i+1}| / sqrt(6), since the second difference of
    independent losses has six times their variance, and that of a straight line is 0. The median
    keeps a blow-up at the end from being taken for noise.

    >>> batch_noise([3.0, 2.0, 1.0, 0.0])
    0.0

    Source: Gasser, Sroka & Jennen-Steinmetz 1986 (variance from differences); here with the median.
    """
    if len(losses) < 3:
        return 0.0
    with np.errstate(over="ignore", invalid="ignore"):
        jumps = np.abs(np.diff(np.asarray(losses, dtype=float), n=2))
    return float(MAD_TO_SIGMA * np.median(jumps) / np.sqrt(6.0))


def blow_up_level(losses: Sequence[float]) -> float:
    """The loss above which a curve has blown up: well above where it started.

    losses  finite, at least one, from the start of the sweep on.

    start + max(6 sigma, (start - lowest) / 2), and never less than float32's rounding above it.

    >>> blow_up_level([1.0] * 10 + [0.8, 0.6])
    1.2
    """
    start = start_level(losses)
    margin = max(
        NOISE_UNITS * batch_noise(losses),
        SHARE_OF_DROP * (start - min(losses)),
        ROUNDING * abs(start),
    )
    return start + margin


def has_blown_up(losses: Sequence[float]) -> bool:
    """Whether the last three losses are all above the level that those before them set.

    losses  finite, from the start of the sweep on; fewer than 23 are never a blow-up.

    >>> falling = [1.0] * 20 + [0.8, 0.6]
    >>> has_blown_up([*falling, 5.0, 7.0]), has_blown_up([*falling, 5.0, 7.0, 9.0])
    (False, True)
    """
    before, last = losses[:-SUSTAINED_LOSSES], losses[-SUSTAINED_LOSSES:]
    return len(before) >= FEWEST_LOSSES and min(last) > blow_up_level(before)


class BlowUp:
    """`has_blown_up` for losses that come one by one.

    It asks for the noise, which takes a look at all losses, only when the last three stand above
    the start: hardly ever before the end.

    >>> blow_up = BlowUp()
    >>> [blow_up.sees(loss) for loss in [1.0] * 20 + [0.8, 0.6, 5.0, 7.0, 9.0]][-2:]
    [False, True]
    """

    def __init__(self) -> None:
        self._losses: list[float] = []
        self._start = 0.0

    def sees(self, loss: float) -> bool:
        """Take in one finite loss; whether it completes a blow-up."""
        self._losses.append(loss)
        if len(self._losses) <= START_LOSSES:
            self._start = start_level(self._losses)
        return min(self._losses[-SUSTAINED_LOSSES:]) > self._start and has_blown_up(self._losses)
