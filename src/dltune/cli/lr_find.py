"""`dltune lr-find`: sweep the learning rate, and suggest one where the curves support it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dltune.cli import options, output
from dltune.cli.finder import check_writable, middle_note, stage_bar
from dltune.cli.found import say_why_no_rate
from dltune.cli.keeping import result_keeper
from dltune.errors import UsageError, closest

if TYPE_CHECKING:  # what a sweep needs takes seconds to import: inside, once it is wanted
    from dltune.cli.keeping import ResultKeeper
    from dltune.lr.find import LrFind
    from dltune.recipe.recipe import Recipe
    from dltune.recipe.schema import Config

PATH = "optim.lr"
CSV, PNG = "lr_find.csv", "lr_find.png"
# `dltune.lr.extend.DEFAULT_RANGES` in words; a test compares them.
FIRST = "2e-5; 5e-5 for sgd, momentum, nesterov, adagrad; 0.01 for adadelta; lower where needed"
LAST = "10; 100 for sgd, momentum, nesterov, adagrad; 1e4 for adadelta; higher where needed"
APPLIED = ["lr", "range"]
# What options are where they are not typed; a test compares them with the command's own defaults.
UNTYPED = {
    "min_lr": None,
    "max_lr": None,
    "steps": None,
    "seeds": 5,
    "budget": 3.0,
    "validate": None,
}


def lr_find(
    recipe: options.RecipePath,
    validate: Annotated[
        bool | None,
        typer.Option(
            "--validate/--no-validate",
            show_default="where it takes seconds",
            help="Train candidates around the suggestion, with the recipe's schedule.",
        ),
    ] = None,
    over: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=A,B,...",
            show_default=False,
            help="Compare values of another key, as in --over optim.weight_decay=0,1e-4,1e-2.",
        ),
    ] = None,
    apply: Annotated[
        str | None,
        typer.Option(
            metavar="lr|range",
            show_default=False,
            help="Write into the recipe, as optim.lr: the suggestion, or the range to search.",
        ),
    ] = None,
    seeds: Annotated[
        int, typer.Option(metavar="N", min=1, help="Sweeps, each with weights of its own.")
    ] = 5,
    min_lr: Annotated[
        float | None,
        typer.Option(metavar="RATE", show_default=FIRST, help="First rate."),
    ] = None,
    max_lr: Annotated[
        float | None,
        typer.Option(metavar="RATE", show_default=LAST, help="Last rate."),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            show_default="50 a decade; 25 for a larger model or a cnn, 16 for your own",
            help="Rates to try, one optimizer update each.",
        ),
    ] = None,
    budget: Annotated[
        float,
        typer.Option(
            metavar="TRAININGS",
            min=0.0,
            help="What the validation may cost, in trainings of the recipe.",
        ),
    ] = 3.0,
    csv: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            show_default="lr_find.csv; with --name in the run folder",
            help="Where to write the curves.",
        ),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(metavar="FILE.png", show_default="none", help="Draw the curves to a PNG."),
    ] = None,
    name: options.ResultName = None,
    runs_dir: options.RunsDir = Path("runs"),
    note: options.Note = "",
    overrides: options.Set = None,
    spaces: options.SpaceEdit = None,
    seed: options.Seed = None,
    device: options.Device = None,
    as_json: options.Json = False,
) -> int:
    """Find a learning rate by short trainings at rising rates; exit code 1 if they show none.

    Example: dltune lr-find recipes/digits-mlp.toml --plot lr_find.png
    """
    given = options.read_recipe(recipe, overrides, spaces, device=device, seed=seed)
    _check_files(csv, plot, is_named=name is not None)
    if apply is not None:
        _check_applicable(given, apply, over)
    keep = result_keeper(name, runs_dir, given, command="lr-find", note=note)
    plan = {"low": min_lr, "high": max_lr, "steps": steps, "seeds": seeds, "budget": budget}
    sweeps = {"min_lr": min_lr, "max_lr": max_lr, "steps": steps, "seeds": seeds, "budget": budget}
    typed = options.Typed(
        recipe=recipe,
        overrides=overrides or (),
        spaces=spaces or (),
        device=device,
        seed=seed,
        more=options.typed_options(sweeps | {"validate": validate}, UNTYPED),
    )
    if over:
        from dltune.cli.lr_over import show_overlays

        edits = options.edits_of(overrides, device=device, seed=seed)
        return show_overlays(
            typed,
            over,
            edits=edits,
            spaces=spaces or [],
            plan=plan | {"validate": bool(validate)},
            keep=keep,
            csv=csv,
            plot=plot,
            as_json=as_json,
        )
    from dltune.lr.find import middle_config
    from dltune.report.lr_find import lr_find_document, render_lr_find

    config, chosen = middle_config(given)
    output.say(*middle_note(chosen))
    with keep(config) as keeper:
        result = _find(given, config, plan | {"validate": validate}, keeper)
        files = _write_files(result, keeper, csv=csv, plot=plot, title=recipe.stem)
        applied = _apply(recipe, result, apply) if apply and result.rate else None
        document = lr_find_document(result) | {"ranges_at_middle": chosen}
        document |= files | {"applied": applied}
        keeper.keep(config, document, render_lr_find(result))
    _show(result, document, as_json=as_json)
    _say_after(typed, given, result, document)
    return output.FINE if result.rate is not None else output.FINDINGS


def _find(given: Recipe, config: Config, plan: dict[str, Any], keeper: ResultKeeper) -> LrFind:
    from dltune.lr.find import find_lr

    with stage_bar() as watch, output.users_code():
        return find_lr(
            config,
            folder=given.folder,
            **plan,
            own=own_rate(given),
            loaded=keeper.load(config),
            say=output.say,
            watch=watch,
        )


def _write_files(
    result: LrFind, keeper: ResultKeeper, *, csv: Path | None, plot: Path | None, title: str
) -> dict[str, str | None]:
    """Write the curves, and draw them; where they are, for the document."""
    from dltune.report.lr_find import describe_end, sweeps_of, write_csv
    from dltune.report.lr_plot import write_png

    output.say(*result.notes, describe_end(result.curves))
    tables = keeper.places(csv, CSV)
    for path in tables:
        write_csv(path, result.curves, result.suggestion)
    if plot is not None:
        optimizer = result.suggestion.mean.optimizer
        for path in keeper.places(plot, PNG):
            write_png(path, sweeps_of(result), title=f"{title}: {optimizer}")
    output.say(f"wrote {tables[0]}" + (f" and {plot}" if plot is not None else ""))
    return {"csv": str(tables[0]), "plot": None if plot is None else str(plot)}


def _check_files(csv: Path | None, plot: Path | None, *, is_named: bool) -> None:
    """Before the sweep, not after it."""
    if plot is not None and plot.suffix.lower() != ".png":
        raise UsageError(
            f"--plot {plot}: the plot is a PNG, so its name must end in .png",
            hint=f"Try --plot {plot.with_suffix('.png')}.",
        )
    if csv is not None or not is_named:
        check_writable("--csv", csv or Path(CSV), example=CSV)
    if plot is not None:
        check_writable("--plot", plot, example=PNG)


def _check_applicable(recipe: Recipe, what: str, over: list[str] | None) -> None:
    """A suggestion holds for one optimizer: it cannot be written where there are several."""
    if over:
        raise UsageError(
            "--apply with --over: a comparison has an answer for each value",
            hint="Leave one of them out.",
        )
    if what not in APPLIED:
        near = closest(what, APPLIED)
        raise UsageError(
            f"--apply {what}: must be lr or range",
            hint=f"Did you mean --apply {near}?" if near else "Try --apply lr.",
        )
    for dimension in recipe.space.dimensions:
        if dimension.path in ("optim", "optim.name"):
            raise UsageError(
                f"--apply: {dimension.path} is a choice, but a learning rate suits one optimizer",
                hint="Leave --apply out, or put one optimizer into the recipe.",
            )


def own_rate(recipe: Recipe) -> float | None:
    """The recipe's own learning rate, which a validation tries too; None if it names none."""
    optim = recipe.table.get("optim")
    rate = optim.get("lr") if isinstance(optim, dict) else None
    return float(rate) if isinstance(rate, int | float) and not isinstance(rate, bool) else None


def _apply(recipe: Path, result: LrFind, what: str) -> dict[str, Any]:
    """Write the answer; what was there before, and what is there now."""
    from dltune.recipe.files import apply_edits, load_recipe
    from dltune.recipe.ranges import START, Log

    before = load_recipe(recipe).table.get("optim", {}).get("lr")
    after: Any = result.rate
    if what == "range" and result.search_range is not None:
        found = Log(*result.search_range)
        # A start of before stays, unless the sweep leaves it out.
        start = before.get(START) if isinstance(before, dict) else None
        after = Log(found.low, found.high, start=start if found.contains(start) else None).toml()
    apply_edits(recipe, {PATH: after})
    return {"path": str(recipe), "before": before, "after": after}


def _show(result: LrFind, document: dict[str, Any], *, as_json: bool) -> None:
    from dltune.report.lr_find import render_lr_find
    from dltune.report.terminal import width_of

    if as_json:
        output.write_json(document)
    else:
        output.write_result(render_lr_find(result, width=width_of(sys.stdout)))


def _say_after(
    typed: options.Typed, recipe: Recipe, result: LrFind, document: dict[str, Any]
) -> None:
    """What became of the suggestion, and the next command."""
    from dltune.lr.validation.plan import cost_in_words
    from dltune.recipe.toml import shown

    rate, path = result.rate, typed.recipe
    applied: dict[str, Any] | None = document["applied"]
    if rate is None:
        say_why_no_rate(document, typed)
        return
    for dimension in recipe.space.dimensions:
        if dimension.path == PATH and not dimension.range.contains(rate):
            allowed = shown(dimension.range.toml())
            output.say(
                f"the suggestion lies outside the recipe's range {dimension.name} = {allowed}"
            )
    if applied is None:
        if result.validation is None and result.plan is not None:
            cost = cost_in_words(result.plan)
            output.say(f"not checked by training: --validate does so, in the time of {cost}")
        command = f"dltune lr-find {typed.again('--apply lr')}"
        output.say_next(command, "write it into the recipe")
        return
    before = "unset" if applied["before"] is None else shown(applied["before"])
    output.say(f"{path}: optim.lr {before} → {shown(applied['after'])}")
    others = [one for one in recipe.space.dimensions if one.path != PATH]
    if isinstance(applied["after"], dict) or others:
        edited = typed.text(without=[PATH], seed=False)
        output.say_next(f"dltune search {edited} --trials 32", "search the ranges")
    else:
        output.say_next(f"dltune train {typed.text(without=[PATH])}", "train with it")
