"""The two streams: results go to stdout, progress and advice to stderr.

Only this module and the status line write to a stream, so that `dltune ... | head`, `> file` and
`2>/dev/null` each do what a reader of the manual expects.
"""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
import re
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import typer

from dltune.cli.status import columns_of, drop_streams, terminal_may_be_gone
from dltune.errors import UsageError

FINE = 0
FINDINGS = 1  # finished, but some trials failed, or a diagnosis has findings
USER_MISTAKE = 2
INTERRUPTED = 130  # 128 + SIGINT, what a shell reports for Ctrl-C; 143 SIGTERM, 129 SIGHUP
PIPE_CLOSED = 141  # 128 + SIGPIPE, what a shell reports for `yes | head`

TYPED = re.compile(r"\bdltune |^(  --|Try |Type )")  # a line that holds what one is to type


def prepare_streams() -> None:
    """Make both streams fit to be written to.

    A terminal without Unicode shows "?" for a sparkline instead of stopping the command. A stream
    that was closed before the start (`>&-`) is None in Python: what goes to it is dropped.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


@contextlib.contextmanager
def users_code() -> Iterator[None]:
    """Around what may run the user's Python files: their prints are no result, nor is their exit.

    What they print goes to stderr, so that --json stays one JSON object.

    Raises UsageError if they call `sys.exit`.
    """
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    except SystemExit as end:
        from dltune.recipe.users_code import let_signals_through

        let_signals_through(end)
        raise UsageError(
            f"a Python file of the recipe ended the program: sys.exit({end.code!r})",
            hint="Take the exit out of it, or raise an exception instead.",
        ) from None


def write_result(text: str) -> None:
    """Write text and a newline to stdout; leave quietly if the reader has gone (`| head`).

    Escapes for the terminal are shown, except colours on a terminal.
    """
    from dltune.report.escapes import escaped_lines

    _write_result(escaped_lines(text, colors=sys.stdout.isatty()))


def _write_result(text: str) -> None:
    try:
        with terminal_may_be_gone():
            sys.stdout.write(text + "\n")
            sys.stdout.flush()
    except BrokenPipeError:
        drop_streams()
        raise typer.Exit(PIPE_CLOSED) from None


def write_json(document: Mapping[str, Any]) -> None:
    """Write one JSON object to stdout, indented by two; all of it is there in any encoding."""
    from dltune.report.escapes import escaped_json

    encoding = (sys.stdout.encoding or "utf-8").lower().replace("_", "-")
    is_unicode = encoding.startswith("utf")
    text = json.dumps(to_json(document), indent=2, allow_nan=False, ensure_ascii=not is_unicode)
    _write_result(escaped_json(text))


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
    """Write lines of progress or advice to stderr; on a terminal, prose fits its columns.

    Escapes for the terminal are shown.
    """
    from dltune.report.escapes import escaped_lines

    columns = columns_of(sys.stderr) if sys.stderr.isatty() else None
    with terminal_may_be_gone():
        for line in escaped_lines("\n".join(lines)).split("\n") if lines else []:
            sys.stderr.write("\n".join(fitted(line, columns)) + "\n")
        sys.stderr.flush()


def fitted(line: str, columns: int | None) -> list[str]:
    """A line in as many as it takes; what can be copied and typed stays in one.

    columns  of the terminal; None for as many as the line has.

    >>> fitted("wine: 178 examples; train 106, dev 36, test 36", 28)
    ['wine: 178 examples; train', '  106, dev 36, test 36']
    >>> fitted("next: dltune diagnose runs/wine-1  (bias or variance)", 28)
    ['next: dltune diagnose runs/wine-1  (bias or variance)']
    """
    if columns is None or len(line) <= columns or TYPED.search(line):
        return [line]
    return textwrap.wrap(
        line, columns, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )


def say_next(command: str, purpose: str) -> None:
    """Name the next useful command, as the last line on stderr.

    command  as it can be typed, e.g. "dltune report runs/digits".
    purpose  what it is good for, without a full stop.
    """
    say(f"next: {command}  ({purpose})")
