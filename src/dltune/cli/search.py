"""`dltune search`: many configs of one recipe, the best of them kept."""

from __future__ import annotations

import shlex
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dltune.cli import options, output
from dltune.errors import FolderTakenError, UsageError

if TYPE_CHECKING:  # what a search needs takes seconds to import: inside, once it is wanted
    from dltune.recipe.recipe import Recipe
    from dltune.search.events import StudyEnd
    from dltune.search.executors.build import WorkersOption


def _strategy_names(incomplete: str) -> list[str]:
    from dltune.search.strategies.registry import STRATEGIES

    return [name for name in STRATEGIES if name.startswith(incomplete)]


def _pruner_names(incomplete: str) -> list[str]:
    from dltune.search.pruning.registry import NAMES

    return [name for name in NAMES if name.startswith(incomplete)]


def _evolution_option(text: str, default: str, kind: str) -> object:
    # The default stands in the text: it must not reach another strategy, which would refuse it.
    text = f"Evolution: {text}  [default: {default}]"
    return typer.Option(metavar=kind, show_default=False, help=text)


def search(
    recipe: Annotated[
        Path | None,
        typer.Argument(metavar="RECIPE", show_default=False, help="A recipe with ranges in it."),
    ] = None,
    strategy: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            show_default=False,
            autocompletion=_strategy_names,
            help="How configs are chosen: evolution, grid, pbt or random.  [default: random]",
        ),
    ] = None,
    trials: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            show_default=False,
            help="How many trials in all.  [default: every point of a grid]",
        ),
    ] = None,
    name: options.Name = None,
    runs_dir: options.RunsDir = Path("runs"),
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the study --name; no RECIPE is needed.")
    ] = False,
    accept_changes: options.AcceptChanges = False,
    note: options.Note = "",
    seed: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=0,
            show_default=False,
            help="Of the study: same seed, same trials.  [default: 0]",
        ),
    ] = None,
    population: Annotated[
        int | None, _evolution_option("trials in a generation.", "16", "N")
    ] = None,
    parents: Annotated[
        int | None, _evolution_option("how many of the best breed.", "4", "N")
    ] = None,
    mutation: Annotated[
        float | None, _evolution_option("probability a value mutates.", "1 / ranges", "P")
    ] = None,
    step: Annotated[
        float | None, _evolution_option("size of a mutation, in ranges.", "0.1", "SHARE")
    ] = None,
    prior: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            show_default=False,
            help="Random: share of trials drawn around the starts of ranges.  [default: none]",
        ),
    ] = None,
    interval: Annotated[
        int | None,
        typer.Option(
            metavar="EPOCHS",
            show_default=False,
            help="Pbt: between two turns.  [default: a tenth of train.epochs]",
        ),
    ] = None,
    replaced: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            show_default=False,
            help="Pbt: of the population, at each turn.  [default: 0.2]",
        ),
    ] = None,
    prune: Annotated[
        str | None,
        typer.Option(
            metavar="RULE",
            show_default=False,
            autocompletion=_pruner_names,
            help="Which trials end early: none, halving, hyperband, median or bad-start.  "
            "[default: halving from 100 trials on]",
        ),
    ] = None,
    reduction: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            show_default=False,
            help="Halving, hyperband: one in N goes on at each look.  [default: 3]",
        ),
    ] = None,
    first_rung: Annotated[
        int | None,
        typer.Option(
            metavar="EPOCHS",
            show_default=False,
            help="Before the first look.  [default: a share of train.epochs]",
        ),
    ] = None,
    audit_pruning: Annotated[
        int,
        typer.Option(
            metavar="N",
            show_default=False,
            help="Train N pruned trials to their ends: would one have won?  [default: 0]",
        ),
    ] = 0,
    overrides: options.Set = None,
    spaces: options.SpaceEdit = None,
    device: options.Device = None,
    workers: options.Workers = "auto",
    stack: options.Stack = "auto",
    trial_timeout: options.TrialTimeout = None,
    verbose: options.Verbose = False,
    as_json: options.Json = False,
) -> int:
    """Train many configs of a recipe and keep the best.

    Example: dltune search recipes/digits-mlp.toml --strategy random --trials 64
    """
    asked: dict[str, Any] = {
        "strategy": strategy,
        "trials": trials,
        "seed": seed,
        "options": {
            "population": population,
            "parents": parents,
            "mutation": mutation,
            "step": step,
            "interval": interval,
            "replaced": replaced,
            "prior": prior,
        },
        "prune": prune,
        "prune_options": {"reduction": reduction, "first_rung": first_rung},
        "audit": audit_pruning,
        "resume": resume,
        "accept_changes": accept_changes,
        "note": note,
        "workers": options.word_or_count("--workers", workers, words=["auto"], of="processes"),
        "stack": options.word_or_count("--stack", stack, words=["auto", "off"], of="trials"),
        "trial_timeout": trial_timeout,
    }
    _start_workers(asked["workers"], trials, trial_timeout)
    given = _read(recipe, name=name, resume=resume, edits=(overrides, spaces), device=device)
    path = _run_path(given, recipe, name=name, runs_dir=runs_dir, resume=resume)
    end: StudyEnd | None = None
    while end is None:
        try:
            end = _search(given, path, asked, verbose=verbose)
        except FolderTakenError:
            if name is not None:
                raise
            # Another search, started at the same time, was the first to take this number.
            path = _run_path(given, recipe, name=None, runs_dir=runs_dir, resume=False)
    return _show(end, runs_dir, as_json=as_json)


def _start_workers(workers: WorkersOption, trials: int | None, trial_timeout: float | None) -> None:
    """Let the processes that will train load torch, while this one reads the recipe and data."""
    from dltune.search.executors.build import start_early

    start_early(workers, trials=trials, trial_timeout=trial_timeout)


def _search(
    given: Recipe | None, path: Path, asked: Mapping[str, Any], *, verbose: bool
) -> StudyEnd:
    from dltune.cli.progress import SearchProgress

    starts = "loading torch" if asked["workers"] == 1 else "starting workers"
    with SearchProgress(path, starts=starts, verbose=verbose) as progress, output.users_code():
        from dltune.search.study import run_study  # it takes a second, which the line covers

        return run_study(given, path=path, on_event=progress, **asked)


def _show(end: StudyEnd, runs_dir: Path, *, as_json: bool) -> int:
    """Show what a search came to, and name the next command; the exit code."""
    from dltune.cli.show import all_complete, say_diagnose, show_run
    from dltune.runs.run import load_run
    from dltune.search.events import Ending
    from dltune.search.interrupts import exit_code

    run = load_run(end.path, histories="best")
    show_run(run, as_json=as_json)
    if end.ending is Ending.INTERRUPTED:
        _say_resume(end, cut=len(run.trials) - len(run.done), runs_dir=runs_dir)
        return exit_code(end.signal or signal.SIGINT)
    if end.reason:
        output.say(f"the search ended: {end.reason}")
        if end.ending is Ending.STOPPED:
            output.say_next(_resume_command(end, runs_dir), "once it is mended")
    elif end.trained == 0:
        output.say(
            f"{end.path} had all its {end.total} trials already; a larger --trials adds some"
        )
    say_diagnose(run)
    return output.FINE if all_complete(run) else output.FINDINGS


def _read(
    recipe: Path | None,
    *,
    name: str | None,
    resume: bool,
    edits: tuple[list[str] | None, list[str] | None],
    device: str | None,
) -> Recipe | None:
    """The recipe as edited; None where a resumed study brings its own."""
    if recipe is not None:
        return options.read_recipe(recipe, *edits, device=device)
    if not resume:
        raise UsageError(
            "dltune search needs a recipe",
            hint="Type dltune search RECIPE --trials 32, or --resume --name NAME to go on.",
        )
    if any(edits) or device is not None:
        raise UsageError(
            "--set, --space and --device change a recipe, and a resumed study has its own",
            hint=f"Leave them out: dltune search --resume --name {shlex.quote(name or 'NAME')}",
        )
    return None


def _run_path(
    given: Recipe | None, recipe: Path | None, *, name: str | None, runs_dir: Path, resume: bool
) -> Path:
    from dltune.runs.new_run import new_run_path
    from dltune.runs.run import find_run

    if not resume:
        assert recipe is not None  # `_read` has refused
        return new_run_path(runs_dir, name=name, stem=recipe.stem)
    if name is None:
        raise UsageError(
            "--resume needs the name of the study",
            hint=f"Type dltune search --resume --name NAME; NAME is a folder in {runs_dir}.",
        )
    return find_run(name, runs_dir=runs_dir)


def _say_resume(end: StudyEnd, *, cut: int, runs_dir: Path) -> None:
    kept = f"interrupted: {len(end.trials)} of {end.total} trials are done and kept"
    kept += f", {cut} as far as they had come" if cut else ""
    output.say(f"{kept}; go on with: {_resume_command(end, runs_dir)}")


def _resume_command(end: StudyEnd, runs_dir: Path) -> str:
    where = "" if runs_dir == Path("runs") else f" --runs-dir {shlex.quote(str(runs_dir))}"
    audit = f" --audit-pruning {end.audit}" if end.audit else ""
    return f"dltune search --resume --name {shlex.quote(end.path.name)}{where}{audit}"
