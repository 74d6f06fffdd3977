"""`dltune lr-find`: sweep the learning rate, and suggest one where the curve supports it."""

from __future__ import annotations

import contextlib
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dltune.cli import options, output
from dltune.errors import UsageError

if TYPE_CHECKING:  # what a sweep needs takes seconds to import: inside, once it is wanted
    from dltune.lr.find import LrFind
    from dltune.recipe.recipe import Recipe

PATH = "optim.lr"
# `dltune.lr.find.DEFAULT_RANGES` in words; a test compares them.
FIRST = "1e-7; 1e-6 for sgd, momentum, nesterov, adagrad; 1e-4 for adadelta"
LAST = "10; 100 for sgd, momentum, nesterov, adagrad; 1e4 for adadelta"


def lr_find(
    recipe: options.RecipePath,
    min_lr: Annotated[
        float | None,
        typer.Option(metavar="RATE", show_default=FIRST, help="First rate."),
    ] = None,
    max_lr: Annotated[
        float | None,
        typer.Option(metavar="RATE", show_default=LAST, help="Last rate."),
    ] = None,
    steps: Annotated[
        int, typer.Option(metavar="N", help="Rates to try, one optimizer update each.")
    ] = 200,
    csv: Annotated[Path, typer.Option(metavar="FILE", help="Where to write the curve.")] = Path(
        "lr_find.csv"
    ),
    plot: Annotated[
        Path | None,
        typer.Option(metavar="FILE.png", show_default="none", help="Draw the curve to a PNG."),
    ] = None,
    apply: Annotated[
        bool, typer.Option("--apply", help="Write the suggestion into the recipe as optim.lr.")
    ] = False,
    overrides: options.Set = None,
    spaces: options.SpaceEdit = None,
    seed: options.Seed = None,
    device: options.Device = None,
    as_json: options.Json = False,
) -> int:
    """Find a learning rate with one short training at rising rates; exit code 1 if it shows none.

    Example: dltune lr-find recipes/digits-mlp.toml --plot lr_find.png
    """
    given = options.read_recipe(recipe, overrides, spaces, device=device, seed=seed)
    _check_files(csv, plot)
    if apply:
        _check_applicable(given)

    from dltune.lr.find import find_lr, middle_config
    from dltune.report.lr_find import describe_end, write_csv, write_png

    config, chosen = middle_config(given)
    _say_middle(chosen)
    with output.users_code(), _progress(steps) as watch:
        result = find_lr(
            config, folder=given.folder, low=min_lr, high=max_lr, steps=steps, watch=watch
        )
    curve, found = result.curve, result.suggestion
    output.say(*result.notes, describe_end(curve))
    write_csv(csv, curve, found)
    if plot is not None:
        write_png(plot, curve, found, title=f"{recipe.stem}: {curve.optimizer}")
    output.say(f"wrote {csv}" + (f" and {plot}" if plot is not None else ""))
    applied = _apply(recipe, found.suggestion) if apply and found.suggestion else None
    _show(result, chosen=chosen, csv=csv, plot=plot, applied=applied, as_json=as_json)
    _say_after(recipe, given, result, applied=applied)
    return output.FINE if found.suggestion is not None else output.FINDINGS


def _check_files(csv: Path, plot: Path | None) -> None:
    """Before the sweep, not after it."""
    if plot is not None and plot.suffix.lower() != ".png":
        raise UsageError(
            f"--plot {plot}: the plot is a PNG, so its name must end in .png",
            hint=f"Try --plot {plot.with_suffix('.png')}.",
        )
    wanted = (("--csv", csv, "lr_find.csv"), ("--plot", plot, "lr_find.png"))
    for option, path, name in wanted:
        if path is None:
            continue
        if path.is_dir():
            raise UsageError(
                f"{option} {path} is a folder: a file is needed",
                hint=f"Try {option} {path / name}.",
            )
        if not path.parent.is_dir():
            raise UsageError(
                f"{option} {path}: there is no folder {path.parent}",
                hint=f"Create it with mkdir -p {shlex.quote(str(path.parent))}.",
            )


def _check_applicable(recipe: Recipe) -> None:
    """A suggestion holds for one optimizer: it cannot be written where there are several."""
    for dimension in recipe.space.dimensions:
        if dimension.path in ("optim", "optim.name"):
            raise UsageError(
                f"--apply: {dimension.path} is a choice, but a learning rate suits one optimizer",
                hint="Leave --apply out, or put one optimizer into the recipe.",
            )


def _say_middle(chosen: dict[str, Any]) -> None:
    from dltune.recipe.toml_value import shown
    from dltune.report.numbers import show_value

    if not chosen:
        return
    values = ", ".join(
        f"{name} {shown(value) if isinstance(value, dict) else show_value(value)}"
        for name, value in chosen.items()
    )
    output.say(f"ranges stand at their middle: {values} (--set fixes another value)")


@contextlib.contextmanager
def _progress(steps: int) -> Iterator[Callable[[int], None] | None]:
    """A bar where somebody watches; it leaves nothing behind."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("sweep", total=steps)
        yield lambda updates: bar.update(task, completed=updates)


def _apply(recipe: Path, suggestion: float) -> dict[str, Any]:
    """Write the suggestion; what was there before, and what is there now."""
    from dltune.recipe.files import apply_edits, load_recipe

    before = load_recipe(recipe).table.get("optim", {}).get("lr")
    apply_edits(recipe, {PATH: suggestion})
    return {"path": str(recipe), "before": before, "after": suggestion}


def _show(
    result: LrFind,
    *,
    chosen: dict[str, Any],
    csv: Path,
    plot: Path | None,
    applied: dict[str, Any] | None,
    as_json: bool,
) -> None:
    from dltune.report.lr_find import lr_find_document, render_lr_find
    from dltune.report.terminal import width_of

    curve, found = result.curve, result.suggestion
    if not as_json:
        output.write_result(render_lr_find(curve, found, width=width_of(sys.stdout)))
        return
    document = lr_find_document(curve, found) | {
        "seed": result.seed,
        "ranges_at_middle": chosen,
        "csv": str(csv),
        "plot": None if plot is None else str(plot),
        "applied": applied,
    }
    output.write_json(document)


def _say_after(
    path: Path, recipe: Recipe, result: LrFind, *, applied: dict[str, Any] | None
) -> None:
    """What became of the suggestion, and the next command."""
    from dltune.recipe.toml_value import shown

    found, quoted = result.suggestion, shlex.quote(str(path))
    if found.suggestion is None:
        if found.advice:
            output.say_next(f"dltune lr-find {quoted} {found.advice}", "another range or length")
        return
    for dimension in recipe.space.dimensions:
        if dimension.path == PATH and not dimension.range.contains(found.suggestion):
            allowed = shown(dimension.range.toml())
            output.say(
                f"the suggestion lies outside the recipe's range {dimension.name} = {allowed}"
            )
    if applied is None:
        output.say_next(f"dltune lr-find {quoted} --apply", "write it into the recipe")
        return
    before = "unset" if applied["before"] is None else shown(applied["before"])
    output.say(f"{path}: optim.lr {before} → {shown(applied['after'])}")
    others = [one for one in recipe.space.dimensions if one.path != PATH]
    if others:
        command = f"dltune search {quoted} --trials 32"
        output.say_next(command, "search the other ranges with it")
    else:
        output.say_next(f"dltune train {quoted}", "train with it")
