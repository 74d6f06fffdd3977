"""Whole processes by the clock, the machine they ran on, and tables of what came out."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

# Of other programs: later the benchmark's own is in it.
LOAD_BEFORE = os.getloadavg()[0]


def timed(command: Sequence[str], *, fine: Iterable[int] = (0,)) -> tuple[float, str, str]:
    """Run a whole process: wall seconds from its start to its exit, its stdout and its stderr.

    fine  exit codes that are no failure. After any other the benchmark ends with what was printed.
    """
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - start
    if done.returncode not in fine:
        sys.exit(f"{' '.join(command)}\nended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return seconds, done.stdout, done.stderr


def last_line(output: str) -> Any:
    """The JSON document in the last line; libraries may have printed before it."""
    return json.loads(output.splitlines()[-1])


def machine() -> str:
    """The processor, how many cores, their load in the minute before, and the system."""
    return (
        f"{_processor()}, {os.cpu_count()} cores (load {LOAD_BEFORE:.1f} before), "
        f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def versions(*packages: str) -> str:
    """Of those that are installed."""
    return ", ".join(f"{name} {version(name)}" for name in packages if find_spec(name))


def markdown_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows with the same keys, which are the headings; floats with four significant digits."""
    headings = list(rows[0])
    lines = [headings, ["---"] * len(headings)]
    lines += [[_cell(row[heading]) for heading in headings] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: Any) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def add_json_option(parser: argparse.ArgumentParser) -> None:
    """`--json FILE`, common to all benchmarks."""
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what was measured there")


def report(
    title: str,
    rows: Sequence[Mapping[str, Any]],
    *,
    packages: Sequence[str],
    json_file: Path | None,
    **more: Any,
) -> None:
    """Print the table under the machine and the versions; the same and `more` as JSON."""
    about = {"title": title, "machine": machine(), "versions": versions(*packages)}
    print("\n".join(about.values()), "", markdown_table(rows), sep="\n")
    if json_file is not None:
        document = {**about, "rows": list(rows), **more}
        json_file.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def note(text: str) -> None:
    """One line of progress, beside the results."""
    print(text, file=sys.stderr, flush=True)
