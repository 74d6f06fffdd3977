"""Showing a run: tables or JSON to stdout, advice to stderr. Shared by search, train and report."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from dltune.cli import output
from dltune.report.bounds import find_bound_hits, render_bound_hits
from dltune.report.document import study_document
from dltune.report.tables import render_best, render_failures, render_winner
from dltune.report.terminal import wants_color, width_of
from dltune.runs.run import Run
from dltune.training.history import TrialState


def find_folder(run: Path, runs_dir: Path) -> Path:
    """The run folder with this path, or else with this name in `runs_dir`.

    Raises RunFolderError, naming the run spelled most alike, if there is none.
    """
    from dltune.diagnosis.readers.run_folder import find_run

    for folder in (run, runs_dir / run):
        if folder.is_dir():
            return folder
    return find_run(str(run), runs_dir=runs_dir)


def show_run(run: Run, *, as_json: bool) -> None:
    """Write what a run came to: one JSON object, or the tables; then advice on its ranges."""
    if as_json:
        output.write_json(
            study_document(
                run.path,
                run.trials,
                strategy=run.meta.strategy,
                seed=run.meta.seed,
                metric=run.meta.metric,
            )
        )
    else:
        output.write_result("\n\n".join(filter(None, tables(run))))
    if run.best is not None:
        hits = find_bound_hits(run.recipe, run.best.values)
        output.say(*filter(None, [render_bound_hits(hits)]))


def tables(run: Run) -> list[str]:
    """The best trials, the winner, and what went wrong; empty texts among them."""
    best, width = run.best, width_of(sys.stdout)
    metric = run.meta.metric
    parts = [""]
    if len(run.recipe.space):
        color = wants_color(sys.stdout)
        parts = [
            render_best(run.results, run.recipe.space, metric=metric, width=width, color=color)
        ]
    count = len(run.trials)
    winner = render_winner(best, trials=count, metric=metric) if best else "no trial is complete"
    parts.append(winner)
    parts.append(render_failures(run.results, width=width))
    return parts


def all_complete(run: Run) -> bool:
    """Whether no trial has failed or diverged: what decides between the exit codes 0 and 1."""
    fine = {TrialState.COMPLETE, TrialState.PRUNED}
    return all(result.state in fine for result in run.results)


def say_diagnose(run: Run) -> None:
    """Name the command that says what to change, or, without a complete trial, what to try."""
    folder = shlex.quote(str(run.path))
    if run.best is not None:
        output.say_next(f"dltune diagnose {folder}", "bias or variance, and what to change")
    elif run.results and all(result.state is TrialState.FAILED for result in run.results):
        command = f"dltune diagnose {folder} --trial {run.results[0].number}"
        output.say_next(command, "what became of it")
    else:
        command = f"dltune lr-find {shlex.quote(str(run.path / 'recipe.toml'))}"
        output.say_next(command, "learning rates that do not diverge")
