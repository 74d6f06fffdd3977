"""How much memory there is, told before it runs out."""

from __future__ import annotations

from dltune.data.machine import free_memory
from dltune.errors import DataError

FLOAT32_BYTES = 4


def fits_one_hot(rows: int, columns: int) -> bool:
    """Whether there is memory for so many columns of 0 and 1."""
    return rows * columns * FLOAT32_BYTES <= free_memory()


def refuse_too_large(bytes_needed: int, what: str, *, hint: str) -> None:
    """Raise DataError where something would take more memory than there is."""
    left = free_memory()
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
