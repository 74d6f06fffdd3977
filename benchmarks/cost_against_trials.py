"""Seconds of a whole `dltune search` against its number of trials, and the share of the store.

    python benchmarks/cost_against_trials.py
    python benchmarks/cost_against_trials.py --trials 16,64 --rounds 1     # for a look

MLP 64-32-32-10, whose trials are the shortest, so that all the rest shows. Time runs from the start
of the process to its exit, the median of the rounds. A cost that grows no faster than the trials
leaves "each further trial" constant or falling. The share of the store is measured in one more
search of each size: the time inside `RunFolder.append`, which writes all files of a run folder,
over the time of the whole command without its first imports.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import io
import itertools
import json
import shlex
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tasks import TASKS
from timing import add_json_option, last_line, note, report, timed

TASK = TASKS["mlp-32"]


def arguments(folder: Path, name: str, trials: int, seed: int, more: list[str]) -> list[str]:
    """What is typed after `dltune`."""
    typed = ["search", str(TASK.write_recipe(folder)), "--strategy", "random", "--prune", "none"]
    typed += ["--trials", str(trials), "--seed", str(seed), "--json"]
    return [*typed, "--runs-dir", str(folder), "--name", name, *more]


def search_here(typed: list[str]) -> None:
    """Run the command in this process; print its seconds and those inside `RunFolder.append`."""
    from dltune.cli.main import main as dltune
    from dltune.runs.folder import RunFolder

    inside: list[float] = []
    plain = RunFolder.append

    @functools.wraps(plain)
    def append(*given: Any, **named: Any) -> Any:
        start = time.perf_counter()
        try:
            return plain(*given, **named)
        finally:
            inside.append(time.perf_counter() - start)

    RunFolder.append = append  # type: ignore[method-assign]
    start = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()) as document:
        code = dltune(typed)
    seconds = time.perf_counter() - start
    trained = json.loads(document.getvalue())["trials"]
    print(json.dumps({"code": code, "trials": trained, "seconds": seconds, "append": inside}))


def whole_seconds(folder: Path, trials: int, seed: int, more: list[str]) -> float:
    """Of one `dltune search`, from the start of its process to its exit."""
    typed = arguments(folder, f"{trials}-{seed}", trials, seed, more)
    seconds, printed, complaints = timed([sys.executable, "-m", "dltune", *typed], fine=(0, 1))
    _check(json.loads(printed or "{}"), trials, complaints)
    note(f"{trials} trials, round {seed}: {seconds:.1f} s")
    return seconds


def store_share(folder: Path, trials: int, more: list[str]) -> float:
    """Time inside the store over the time of the command."""
    typed = arguments(folder, f"{trials}-store", trials, 0, more)
    _, printed, complaints = timed([sys.executable, __file__, "--search", shlex.join(typed)])
    measured = last_line(printed)
    _check(measured, trials, complaints)
    return sum(measured["append"]) / measured["seconds"]


def _check(document: dict[str, Any], trials: int, complaints: str) -> None:
    if document.get("trials") != trials:
        sys.exit(f"{document.get('trials')} of {trials} trials were trained:\n{complaints}")


def rows_of(seconds: dict[int, list[float]], shares: dict[int, float]) -> list[dict[str, Any]]:
    """A row for every number of trials, from few to many."""
    medians = {trials: statistics.median(times) for trials, times in seconds.items()}
    further: dict[int, Any] = dict.fromkeys(medians, "")
    for fewer, trials in itertools.pairwise(medians):
        further[trials] = 1e3 * (medians[trials] - medians[fewer]) / (trials - fewer)
    return [
        {
            "trials": trials,
            "seconds": median,
            "ms a trial": 1e3 * median / trials,
            "each further trial, ms": further[trials],
            "share of the store": f"{shares[trials]:.1%}",
        }
        for trials, median in medians.items()
    ]


def main() -> None:
    """Measure every number of trials and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--trials", default="16,64,256,1024,4096", metavar="NUMBERS", help="default: %(default)s"
    )
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="default: 3")
    parser.add_argument(
        "--dltune", default="", metavar="OPTIONS", help='for dltune search: "--workers 2"'
    )
    parser.add_argument("--search", help=argparse.SUPPRESS)
    add_json_option(parser)
    options = parser.parse_args()
    if options.search:
        search_here(shlex.split(options.search))
        return
    numbers, more = sorted(map(int, options.trials.split(","))), shlex.split(options.dltune)
    seconds: dict[int, list[float]] = {trials: [] for trials in numbers}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for seed in range(options.rounds):
            for trials in numbers:
                seconds[trials].append(whole_seconds(folder, trials, seed, more))
        shares = {trials: store_share(folder, trials, more) for trials in numbers}
    report(
        f"{TASK.title}, {options.rounds} rounds; {options.dltune or 'no options'}",
        rows_of(seconds, shares),
        packages=("dltune", "torch", "optuna"),
        json_file=options.json,
        seconds=seconds,
    )


if __name__ == "__main__":
    main()
