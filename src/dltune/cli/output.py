"""The two streams: results go to stdout, progress and advice to stderr.

Only this module and the progress bar write to a stream, so that `dltune ... | head`, `> file` and
`2>/dev/null` each do what a reader of the manual expects.
"""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import typer

FINE = 0
FINDINGS = 1  # finished, but some trials failed, or a diagnosis has findings
USER_MISTAKE = 2
INTERRUPTED = 130  # 128 + SIGINT, what a shell reports for Ctrl-C
PIPE_CLOSED = 141  # 128 + SIGPIPE, what a shell reports for `yes | head`


def write_result(text: str) -> None:
    """Write text and a newline to stdout; leave quietly if the reader has gone (`| head`)."""
    try:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        # The interpreter flushes stdout once more when it ends, and would complain then.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(PIPE_CLOSED) from None


def write_json(document: Mapping[str, Any]) -> None:
    """Write one JSON object to stdout, indented by two."""
    write_result(json.dumps(to_json(document), indent=2, allow_nan=False, ensure_ascii=False))


def to_json(value: Any) -> Any:
    """The value with what JSON cannot say made sayable: a non-finite number becomes null.

    JSON has no word for NaN; Python's own `NaN` is refused by other readers (RFC 8259, section 6).

    >>> to_json({"dev_loss": float("nan"), "hidden": (64, 64)})
    {'dev_loss': None, 'hidden': [64, 64]}
    """
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [to_json(item) for item in value]
    return value


def say(*lines: str) -> None:
    """Write lines of progress or advice to stderr."""
    for line in lines:
        sys.stderr.write(line + "\n")
    sys.stderr.flush()


def say_next(command: str, purpose: str) -> None:
    """Name the next useful command, as the last line on stderr.

    command  as it can be typed, e.g. "dltune report runs/digits".
    purpose  what it is good for, without a full stop.
    """
    say(f"next: {command}  ({purpose})")
