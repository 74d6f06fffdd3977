"""Errors in words: shares are shown as percent, differences of them as points."""

from __future__ import annotations

from collections.abc import Iterable

# A share below this needs another decimal, or it would be shown as 0 or lose half its meaning.
FINER_BELOW = (0.01, 0.001)


def decimals_for(shares: Iterable[float]) -> int:
    """Decimals of a percentage that keep the smallest share legible: 1, 2 or 3.

    >>> decimals_for([0.12, 0.2]), decimals_for([0.004, 0.2]), decimals_for([0.0, 0.0007])
    (1, 2, 3)
    """
    smallest = min((abs(share) for share in shares if share), default=1.0)
    return 1 + sum(smallest < bound for bound in FINER_BELOW)


def points(share: float, decimals: int = 1) -> str:
    """A difference of two shares, in points of a hundred.

    >>> points(0.08), points(-0.0001)
    ('8.0', '0.0')
    """
    text = f"{100 * share:.{decimals}f}"
    return text.removeprefix("-") if float(text) == 0 else text


def percent(share: float, decimals: int = 1) -> str:
    """A share as percent.

    >>> percent(0.2)
    '20.0 %'
    """
    return f"{points(share, decimals)} %"


def span(interval: tuple[float, float], decimals: int = 1) -> str:
    """An interval in points.

    >>> span((0.0555, 0.1067))
    '[5.5, 10.7]'
    """
    return f"[{points(interval[0], decimals)}, {points(interval[1], decimals)}]"


def short_percent(share: float) -> str:
    """A share as percent with as few digits as it has, the way it is typed.

    >>> short_percent(0.02), short_percent(0.0025)
    ('2%', '0.25%')
    """
    return f"{100 * share:.6g}%"


def count(number: int) -> str:
    """A number of examples.

    >>> count(10000)
    '10,000'
    """
    return f"{number:,}"
