"""Intervals for an error rate and for the difference of two, by the standard library alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist

# Beyond this size a split is no remedy any more; it also ends the search for one.
MOST_EXAMPLES = 10**9


def normal_quantile(confidence: float) -> float:
    """Two-sided quantile of the standard normal for a confidence in (0, 1).

    >>> round(normal_quantile(0.95), 4)
    1.96
    """
    return NormalDist().inv_cdf(0.5 + confidence / 2)


def wilson(share: float, examples: int, *, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval for a share counted on independent examples.

    share       counted / examples, in [0, 1].
    examples    at least 1.
    confidence  in (0, 1).

    centre = (p + z^2 / 2n) / (1 + z^2 / n) ;
    half width = z sqrt(p (1 - p) / n + z^2 / 4n^2) / (1 + z^2 / n)

    >>> [round(bound, 4) for bound in wilson(81 / 263, 263)]
    [0.2553, 0.3662]
    >>> [round(bound, 4) for bound in wilson(0.0, 20)]
    [0.0, 0.1611]

    Source: Wilson 1927; the example is method 3 of Newcombe 1998, "Two-sided confidence intervals
    for the single proportion", Statistics in Medicine 17, table I.
    """
    z = normal_quantile(confidence)
    shrink = 1 + z * z / examples
    centre = (share + z * z / (2 * examples)) / shrink
    spread = share * (1 - share) / examples + z * z / (4 * examples * examples)
    half_width = z * math.sqrt(spread) / shrink
    # Rounding must not push a bound past the share at 0 and 1, where both are equal.
    return min(max(0.0, centre - half_width), share), max(min(1.0, centre + half_width), share)


def newcombe(
    first: float,
    first_examples: int,
    second: float,
    second_examples: int | None,
    *,
    confidence: float = 0.95,
) -> tuple[float, float]:
    """Newcombe's interval for `first - second`, two shares counted on different examples.

    first, second    shares in [0, 1].
    second_examples  None takes the second share as exact.

    With (l, u) the Wilson intervals and d = p1 - p2:
    d - sqrt((p1 - l1)^2 + (u2 - p2)^2)  to  d + sqrt((u1 - p1)^2 + (p2 - l2)^2)

    >>> [round(bound, 4) for bound in newcombe(56 / 70, 70, 48 / 80, 80)]
    [0.0524, 0.3339]

    Source: method 10 of Newcombe 1998, "Interval estimation for the difference between independent
    proportions", Statistics in Medicine 17; the example is the first column of its table II.
    """
    low_1, high_1 = wilson(first, first_examples, confidence=confidence)
    low_2, high_2 = (second, second)
    if second_examples is not None:
        low_2, high_2 = wilson(second, second_examples, confidence=confidence)
    difference = first - second
    below = math.hypot(first - low_1, high_2 - second)
    above = math.hypot(high_1 - first, second - low_2)
    return difference - below, difference + above


def examples_needed(
    lower_bound: Callable[[int], float], *, above: float, at_least: int
) -> int | None:
    """Smallest number of examples at which a lower bound exceeds `above`.

    lower_bound  of the number of examples, not falling.
    at_least     where the search starts; at least 1.

    None if even `MOST_EXAMPLES` do not suffice.

    >>> examples_needed(lambda n: wilson(0.1, n)[0], above=0.05, at_least=1)
    73
    """
    low, high = at_least, at_least
    while lower_bound(high) <= above:
        if high >= MOST_EXAMPLES:
            return None
        low, high = high, min(2 * high, MOST_EXAMPLES)
    while low < high:
        middle = (low + high) // 2
        if lower_bound(middle) > above:
            high = middle
        else:
            low = middle + 1
    return high
