"""`dltune train`: one config, one model, one run folder."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Literal

import typer

from dltune.cli import options, output
from dltune.cli.keeping import claim, resume_command
from dltune.cli.status import StatusLine
from dltune.cli.training import new_training, resume_training
from dltune.errors import FolderTakenError, UsageError


def train(
    recipe: Annotated[
        Path | None,
        typer.Argument(metavar="RECIPE", show_default=False, help="The recipe, a TOML file."),
    ] = None,
    name: options.Name = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a training that was interrupted.")
    ] = False,
    accept_changes: options.AcceptChanges = False,
    fork: Annotated[
        Path | None,
        typer.Option(
            "--fork",
            metavar="RUN",
            show_default=False,
            help="Go on from where this run was, in a new one, with what --set changes.",
        ),
    ] = None,
    start: Annotated[
        Literal["best", "last"],
        typer.Option("--from", help="With --fork: from the best epoch or the last one."),
    ] = "best",
    note: options.Note = "",
    runs_dir: options.RunsDir = Path("runs"),
    overrides: options.Set = None,
    spaces: options.SpaceEdit = None,
    seed: options.Seed = None,
    device: options.Device = None,
    as_json: options.Json = False,
) -> int:
    """Train one config, without any range in it, and keep its weights.

    Example: dltune train runs/digits-mlp-1/best.toml --set train.epochs=50
    """
    edits = [*(overrides or []), *(spaces or [])]
    edits += [] if seed is None else ["seed"]
    edits += [] if device is None else ["device"]
    _check_options(recipe, name, resume=resume, accepts=accept_changes, fork=fork, edited=edits)
    if resume:
        path = _run_to_resume(name, runs_dir)
        with StatusLine("loading data") as status, output.users_code():
            code = resume_training(path, note, status, accept=accept_changes)
        return _end(path, code, as_json=as_json)
    place, forked = recipe, None
    if fork is not None:
        forked, place = _fork_recipe(fork, runs_dir)
    assert place is not None  # `_check_options` has refused
    given = options.read_recipe(place, overrides, spaces, device=device, seed=seed)
    given.config()  # refuses ranges, before anything is loaded
    stem = place.stem if forked is None else f"{forked.name}-fork"
    ended: int | None = None
    while ended is None:
        path = claim(runs_dir, name, stem, without="the run folder is numbered then")
        try:
            with StatusLine("loading data") as status, output.users_code():
                ended = new_training(path, given, note, status, forked=forked, start=start)
        except FolderTakenError:
            if name is not None:
                raise
            # Another training, started at the same time, was the first to take this number.
    return _end(path, ended, as_json=as_json)


def _check_options(
    recipe: Path | None,
    name: str | None,
    *,
    resume: bool,
    accepts: bool,
    fork: Path | None,
    edited: list[str],
) -> None:
    """Raise UsageError for options that do not go together."""
    if accepts and not resume:
        raise UsageError(
            "--accept-changes is for a training that goes on, and this one is new",
            hint="Leave it out, or type --resume too.",
        )
    if resume and (recipe is not None or fork is not None or edited):
        other = "--fork" if fork is not None else "a recipe" if recipe is not None else "an edit"
        raise UsageError(
            f"--resume goes on with what its run folder says, and {other} is given beside it",
            hint=f"Leave it out: dltune train --resume --name {shlex.quote(name or 'NAME')}; with "
            "other settings: dltune train --fork RUN --set KEY=VALUE.",
        )
    if fork is not None and recipe is not None:
        raise UsageError(
            "--fork takes the recipe of its run, and another one is given beside it",
            hint=f"Say what is to change: dltune train --fork {shlex.quote(str(fork))} "
            "--set train.epochs=60.",
        )
    if recipe is None and fork is None and not resume:
        raise UsageError(
            "dltune train needs a recipe",
            hint="Type dltune train RECIPE, or --resume --name NAME to go on with a training.",
        )


def _run_to_resume(name: str | None, runs_dir: Path) -> Path:
    from dltune.runs.run import find_run

    if name is None:
        raise UsageError(
            "--resume needs the name of the training",
            hint=f"Type dltune train --resume --name NAME; NAME is a folder in {runs_dir}.",
        )
    return find_run(name, runs_dir=runs_dir)


def _fork_recipe(run: Path, runs_dir: Path) -> tuple[Path, Path]:
    """The folder of the run, and the recipe of what is gone on from."""
    from dltune.runs.run import BEST_RECIPE, RECIPE, find_run

    path = find_run(run, runs_dir=runs_dir)
    best = path / BEST_RECIPE
    return path, best if best.exists() else path / RECIPE


def _end(path: Path, code: int, *, as_json: bool) -> int:
    """Show what a training came to, and name the next command; the exit code."""
    from dltune.cli.show import all_complete, say_diagnose, show_run
    from dltune.runs.run import load_run

    run = load_run(path)
    show_run(run, as_json=as_json)
    if code:
        said = f"{run.trials[0].reason}; {path} keeps the best epoch so far"
        output.say(said, f"go on with: {resume_command(path)}")
    say_diagnose(run)
    if code:
        return code
    return output.FINE if all_complete(run) else output.FINDINGS
