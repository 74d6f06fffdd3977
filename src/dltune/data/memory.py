"""How much memory there is, told before it runs out."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from dltune.errors import DataError

FLOAT32_BYTES = 4

MEMINFO = Path("/proc/meminfo")
STATM = Path("/proc/self/statm")


def available_bytes() -> int:
    """Main memory that this process could still take, roughly.

    What Linux calls available, elsewhere half of the machine's; less where `ulimit -v` allows less.

    >>> available_bytes() > 0
    True
    """
    left = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    if MEMINFO.exists():
        lines = dict(line.split(":", 1) for line in MEMINFO.read_text().splitlines())
        left = int(lines["MemAvailable"].split()[0]) * 1024 if "MemAvailable" in lines else left
    if sys.platform == "linux":
        import resource

        limit, _ = resource.getrlimit(resource.RLIMIT_AS)
        if limit != resource.RLIM_INFINITY:
            taken = int(STATM.read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
            left = min(left, max(0, limit - taken))
    return left


def fits_one_hot(rows: int, columns: int) -> bool:
    """Whether there is memory for so many columns of 0 and 1."""
    return rows * columns * FLOAT32_BYTES <= available_bytes()


def refuse_too_large(bytes_needed: int, what: str, *, hint: str) -> None:
    """Raise DataError where something would take more memory than there is."""
    left = available_bytes()
    if bytes_needed > left:
        raise DataError(
            f"{what} would take {in_words(bytes_needed)} of memory, and {in_words(left)} are left",
            hint=hint,
        )


def in_words(size: float) -> str:
    """A number of bytes for a message.

    >>> in_words(1_440_000_000_000), in_words(512)
    ('1.4 TB', '512 bytes')
    """
    for unit, name in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB")):
        if size >= unit:
            return f"{size / unit:.1f} {name}"
    return f"{size:,.0f} bytes"
