"""Shares as people type them."""

from __future__ import annotations

import math
import re

from dltune.errors import UsageError


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
