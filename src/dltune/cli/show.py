"""Showing a run: tables or JSON to stdout, advice to stderr. Shared by search, train and report."""

from __future__ import annotations

import re
import shlex
import sys

from dltune.cli import output
from dltune.diagnosis.curve import read_run
from dltune.errors import RecipeError
from dltune.recipe.comparable import clashes
from dltune.recipe.ranges import Choice
from dltune.recipe.space import Dimension, Space
from dltune.report.bounds import find_bound_hits, render_bound_hits
from dltune.report.curves import draw_curves, render_readings
from dltune.report.document import study_document
from dltune.report.pruned import render_pruned
from dltune.report.tables import render_best, render_failures, render_winner
from dltune.report.terminal import wants_color, width_of
from dltune.runs.run import Run
from dltune.training.history import TrialState

LABEL = re.compile(r"\[[^\]]*\]")  # of an option, in the name of what exists under it


def show_run(run: Run, *, as_json: bool, curves: bool = False) -> None:
    """Write what a run came to: one JSON object, or the tables; then advice on its ranges.

    curves  whether those of a run of train are drawn.
    """
    if run.accepted:
        output.say(f"went on with changes: {'; '.join(run.accepted)}")
    if as_json:
        output.write_json(study_document(run))
    else:
        output.write_result("\n\n".join(filter(None, tables(run, curves=curves))))
    try:
        # Only a run of an older dltune has such ranges.
        output.say(*(f"the ranking means little: {one.found}" for one in clashes(run.recipe)))
        best, metric = run.best, run.about.metric
        hits = [] if best is None else find_bound_hits(run.recipe, best.values, metric=metric)
    except RecipeError as mistake:
        output.say(f"without advice on the ranges: {mistake.found}")
    else:
        output.say(*filter(None, [render_bound_hits(hits)]))


def tables(run: Run, *, curves: bool = False) -> list[str]:
    """The best trials, the winner, and what went wrong; empty texts among them.

    curves  whether those of a run of train are drawn, too.
    """
    best, width = run.best, width_of(sys.stdout)
    metric = run.about.metric
    parts, space = [""], _space_of(run)
    if len(space):
        color = wants_color(sys.stdout)
        parts = [render_best(run.trials, space, metric=metric, width=width, color=color)]
    if curves and run.about.command == "train":
        parts += [draw_curves(trial.history, width=width) for trial in run.trials]
    count = len(run.trials)
    winner = (
        render_winner(best, trials=count, metric=metric, width=width)
        if best
        else "no trial is complete"
    )
    pruned = render_pruned(run.trials, width=width)
    parts += filter(None, [winner, pruned, render_failures(run.trials, width=width)])
    readings = render_readings(read_run(run), width=width)
    return [*parts[:-1], "\n".join(filter(None, [parts[-1], readings]))]


def _space_of(run: Run) -> Space:
    """The recipe's; where that cannot be read, the names of the values that its trials have."""
    try:
        return run.recipe.space
    except RecipeError:
        names = dict.fromkeys(name for trial in run.trials for name in trial.values)
        return Space(
            tuple(
                Dimension(name=name, path=LABEL.sub("", name), range=Choice(("unknown",)))
                for name in names
            )
        )


def all_complete(run: Run) -> bool:
    """Whether no trial has failed or diverged: what decides between the exit codes 0 and 1."""
    fine = {TrialState.COMPLETE, TrialState.PRUNED}
    return all(trial.state in fine for trial in run.trials)


def say_diagnose(run: Run) -> None:
    """Name the command that says what to change, or, without a complete trial, what to try."""
    folder = shlex.quote(str(run.path))
    if run.best is not None:
        output.say_next(f"dltune diagnose {folder}", "bias or variance, and what to change")
    elif run.trials and all(trial.state is TrialState.FAILED for trial in run.trials):
        command = f"dltune diagnose {folder} --trial {run.trials[0].number}"
        output.say_next(command, "what became of it")
    elif any(trial.state is TrialState.DIVERGED for trial in run.trials):
        command = f"dltune lr-find {shlex.quote(str(run.path / 'recipe.toml'))}"
        output.say_next(command, "learning rates that do not diverge")
    elif run.is_complete and run.trials:
        lost = next((one for one in run.trials if one.state is TrialState.FAILED), run.trials[0])
        output.say_next(f"dltune diagnose {folder} --trial {lost.number}", "what became of it")
    else:
        say_go_on(run)


def say_go_on(run: Run) -> None:
    """Name the command that goes on with a run that has not come to its end."""
    if run.about.command == "search":
        where = f"--name {shlex.quote(run.name)} --runs-dir {shlex.quote(str(run.path.parent))}"
        output.say_next(f"dltune search --resume {where}", "go on with it, unless it is running")
    elif run.about.sessions:
        output.say_next(run.about.sessions[-1].command_line, "again, unless it is running")
