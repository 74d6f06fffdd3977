"""Errors in words: shares are shown as percent, differences as points; and shares as typed."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

from dltune.errors import UsageError

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


def parse_share(option: str, text: str) -> float:
    """A share typed as 0.12, 12% or 12 %.

    option  as it was typed, for the error.

    Raises UsageError for text that is no number; ranges are for those who know what the share is.

    >>> parse_share("--dev-error", "12 %"), parse_share("--dev-error", "0.12")
    (0.12, 0.12)
    """
    bare = text.strip().removesuffix("%").rstrip()
    is_percent = text.strip().endswith("%")
    try:
        value = float(bare)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        hint = f"Type {option} 0.12 or {option} 12%."
        if re.fullmatch(r"\d+,\d+", bare):
            dotted = bare.replace(",", ".") + "%" * is_percent
            hint = f"Decimals take a point. Did you mean {dotted}?"
        raise UsageError(f"{option} is {text!r}: a number or a percentage is needed", hint=hint)
    if is_percent and value > 100:
        hint = f"Type {option} 12%."
        if option.endswith("-error"):
            hint = f"If it is 1 - R^2, type {option} {value / 100:g} and --regression."
        raise UsageError(f"{option} is {text!r}: a share is at most 100%", hint=hint)
    return value / 100 if is_percent else value
