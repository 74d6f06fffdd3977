"""`dltune runs`: what is in a folder of runs, and two of them side by side."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dltune.cli import options, output
from dltune.errors import UsageError

if TYPE_CHECKING:
    from dltune.runs.comparison import Comparison


def runs(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="RUN",
            show_default=False,
            help="Two to compare, by name or folder; none: the list.",
        ),
    ] = None,
    runs_dir: options.RunsDir = Path("runs"),
    as_json: options.Json = False,
) -> int:
    """List the runs of a folder, the newest first, or compare two of them.

    Example: dltune runs
    """
    where = "" if runs_dir == Path("runs") else f" --runs-dir {shlex.quote(str(runs_dir))}"
    match names or []:
        case []:
            _list(runs_dir, as_json=as_json)
        case [first, second]:
            _compare(first, second, runs_dir, as_json=as_json)
        case [one]:
            raise UsageError(
                f"dltune runs compares two runs, and {one} is one",
                hint=f"Name a second one, or see the run: dltune report {shlex.quote(one)}{where}",
            )
        case [*more]:
            raise UsageError(
                f"dltune runs compares two runs, not {len(more)}: {', '.join(more)}",
                hint=f"Name two: dltune runs A B{where}",
            )
    return output.FINE


def _list(runs_dir: Path, *, as_json: bool) -> None:
    import datetime
    import sys

    from dltune.report.runs import render_runs, runs_document
    from dltune.report.terminal import wants_color, width_of
    from dltune.runs.overview import DAMAGED, overviews

    if runs_dir.exists() and not runs_dir.is_dir():
        raise UsageError(
            f"--runs-dir {runs_dir} is a file: a folder of run folders is needed",
            hint=f"Try --runs-dir {shlex.quote(str(runs_dir.parent))}.",
        )
    now = datetime.datetime.now().astimezone()
    found = overviews(runs_dir, now=now)
    if as_json:
        output.write_json(runs_document(runs_dir, found))
    elif found:
        width, color = width_of(sys.stdout), wants_color(sys.stdout)
        output.write_result(render_runs(found, now=now, width=width, color=color))
    else:
        is_there = runs_dir.is_dir()
        output.write_result(
            f"no runs in {runs_dir}" if is_there else f"no runs: there is no folder {runs_dir}"
        )
    sound = [one.path for one in found if one.state != DAMAGED]
    if sound:
        output.say_next(f"dltune report {shlex.quote(str(sound[0]))}", "the newest in detail")
    else:
        output.say_next("dltune search RECIPE --trials 32", "a first run; RECIPE is a TOML file")


def _compare(first: str, second: str, runs_dir: Path, *, as_json: bool) -> None:
    import datetime
    import sys

    from dltune.report.comparison import comparison_document, render_comparison
    from dltune.report.terminal import width_of
    from dltune.runs.comparison import compare
    from dltune.runs.lock import is_being_written
    from dltune.runs.overview import overview
    from dltune.runs.run import find_run, load_run

    now = datetime.datetime.now().astimezone()
    paths = [find_run(name, runs_dir=runs_dir) for name in (first, second)]
    is_running = [is_being_written(path) for path in paths]  # before it is read: it may end
    loaded = [load_run(path, histories="none") for path in paths]
    one, other = (
        overview(run, is_running=writing, now=now)
        for run, writing in zip(loaded, is_running, strict=True)
    )
    comparison = compare(*loaded)
    if as_json:
        output.write_json(comparison_document(comparison, (one, other)))
    else:
        text = render_comparison(comparison, (one, other), width=width_of(sys.stdout))
        output.write_result(text)
    _say_next(comparison)


def _say_next(comparison: Comparison) -> None:
    """Name the command that looks closer at the better run; at the first where nothing tells."""
    is_second = comparison.dev_error is not None and comparison.dev_error < 0
    run = comparison.second if is_second else comparison.first
    folder = shlex.quote(str(run.path))
    if run.best is None:
        output.say_next(f"dltune report {folder}", "what it came to")
    else:
        output.say_next(f"dltune diagnose {folder}", "bias or variance, and what to change")
