"""Numbers as people read them: short, of even width, and never wrong by rounding to nothing."""

from __future__ import annotations

import math
import re
from typing import Any

MINUTE, HOUR = 60.0, 3600.0
EXACT_CHARACTERS = 6  # as wide as a rounded one: 3.1e-3


def show_error(error: float | None) -> str:
    """An error or a loss with four decimals, enough to tell apart trials on 10,000 dev examples.

    >>> show_error(0.01389), show_error(None), show_error(float("nan")), show_error(123456.0)
    ('0.0139', '-', 'nan', '1.2e5')
    """
    if error is None:
        return "-"
    if not math.isfinite(error) or abs(error) >= 1000:
        return show_value(error)
    return f"{error:.4f}"


def show_value(value: Any) -> str:
    """A hyperparameter in short form: a float exactly if that is short, else with two digits.

    >>> show_value(0.00314159), show_value(1e-5), show_value(0.125), show_value(0.37263)
    ('3.1e-3', '1e-5', '0.125', '0.37')
    >>> show_value([128, 128]), show_value("relu"), show_value(True), show_value(None)
    ('128,128', 'relu', 'true', 'none')
    """
    if isinstance(value, bool):
        return str(value).lower()
    if value is None:
        return "none"
    if isinstance(value, list | tuple):
        return ",".join(map(show_value, value)) or "none"
    return _show_float(value) if isinstance(value, float) else str(value)


def _show_float(value: float) -> str:
    exact = repr(value)
    if not math.isfinite(value) or len(exact) <= EXACT_CHARACTERS:
        return re.sub(r"e([+-])0*", lambda found: "e-" if found[1] == "-" else "e", exact)
    if 0.01 <= abs(value) < 1000:
        return f"{value:.2g}" if abs(value) < 10 else f"{value:.0f}"
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa.removesuffix('.0')}e{int(exponent)}"


def show_seconds(seconds: float) -> str:
    """A duration in the unit that suits it.

    >>> show_seconds(0.42), show_seconds(75.0), show_seconds(7384.0)
    ('0.4 s', '1 min 15 s', '2 h 3 min')
    """
    if seconds < MINUTE:
        return f"{seconds:.1f} s"
    if seconds < HOUR:
        return f"{int(seconds // MINUTE)} min {int(seconds % MINUTE)} s"
    return f"{int(seconds // HOUR)} h {int(seconds % HOUR // MINUTE)} min"


def count_of(count: int, noun: str) -> str:
    """A count with its noun in the singular or plural.

    >>> count_of(1, "trial"), count_of(3, "trial")
    ('1 trial', '3 trials')
    """
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def show_bytes(count: int) -> str:
    """Bytes with three digits, in powers of ten as disks and --memory have them.

    >>> show_bytes(420), show_bytes(445_000), show_bytes(1_282_212), show_bytes(12 * 10**9)
    ('420 B', '445 kB', '1.28 MB', '12 GB')
    """
    power = 0 if count < 1000 else min(4, int(math.log10(float(f"{count:.3g}"))) // 3)
    return f"{float(f'{count / 1000**power:.3g}'):g} {('B', 'kB', 'MB', 'GB', 'TB')[power]}"


def show_milliseconds(microseconds: float) -> str:
    """Milliseconds with three digits, whole from 100 on.

    >>> show_milliseconds(655.4), show_milliseconds(1630.0), show_milliseconds(2_715_000.0)
    ('0.655', '1.63', '2,715')
    """
    milliseconds = microseconds / 1000
    return f"{milliseconds:,.0f}" if milliseconds >= 100 else f"{milliseconds:#.3g}"
