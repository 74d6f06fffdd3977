"""`dltune batch-find`: the largest batch that fits, the one to take, and its learning rate."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dltune.cli import options, output
from dltune.cli.finder import check_writable, middle_note
from dltune.cli.found import batch_is_found
from dltune.cli.keeping import result_keeper
from dltune.cli.status import StatusLine
from dltune.errors import UsageError, closest

if TYPE_CHECKING:  # what a measurement needs takes seconds to import: inside, once it is wanted
    from dltune.lr.batch.scale import LrCheck, Rule, ScaledLr
    from dltune.lr.batch.sizes import BatchSizes
    from dltune.recipe.recipe import Recipe
    from dltune.recipe.schema import Config

BATCH, RATE = "train.batch_size", "optim.lr"
CSV = "batch_find.csv"
RULES = ("auto", "linear", "sqrt")
GIGABYTE = 10**9
# To write one value where the recipe has several would throw away what was meant.
FIXED_FOR_APPLY = (BATCH, RATE, "optim", "optim.name", "train")
NOTHING_WRITTEN = "nothing was written: there is no batch size with a rate that a sweep supports"


def batch_find(
    recipe: options.RecipePath,
    min_batch: Annotated[
        int, typer.Option(metavar="N", min=1, help="Batch to begin with; it doubles from there.")
    ] = 8,
    max_batch: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, show_default="the train split", help="Largest batch to try."
        ),
    ] = None,
    memory: Annotated[
        float | None,
        typer.Option(
            metavar="GB",
            show_default="a quarter of what is free; on a GPU all",
            help="What an update may take, in 10^9 bytes.",
        ),
    ] = None,
    lr: Annotated[
        float | None,
        typer.Option(
            metavar="RATE", show_default="optim.lr", help="Rate that suits the recipe's batch size."
        ),
    ] = None,
    scale: Annotated[
        str,
        typer.Option(
            metavar="auto|linear|sqrt",
            help="How the rate grows with the batch: auto is linear for sgd, momentum and "
            "nesterov, else the square root.",
        ),
    ] = "auto",
    sweep: Annotated[
        bool, typer.Option("--sweep/--no-sweep", help="Check the scaled rate by sweeps.")
    ] = True,
    csv: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            show_default="batch_find.csv; with --name in the run folder",
            help="Where to write the table.",
        ),
    ] = None,
    apply: Annotated[
        bool, typer.Option("--apply", help="Write batch size and rate into the recipe.")
    ] = False,
    name: options.ResultName = None,
    runs_dir: options.RunsDir = Path("runs"),
    note: options.Note = "",
    overrides: options.Set = None,
    spaces: options.SpaceEdit = None,
    seed: options.Seed = None,
    device: options.Device = None,
    as_json: options.Json = False,
) -> int:
    """Find the batch size from which on training gets no faster, and a learning rate for it.

    Example: dltune batch-find recipes/digits-mlp.toml
    """
    _check_options(memory, lr, scale)
    if csv is not None or name is None:
        check_writable("--csv", csv or Path(CSV), example=CSV)
    given = options.read_recipe(recipe, overrides, spaces, device=device, seed=seed)
    if apply:
        _check_applicable(given)
    keep = result_keeper(name, runs_dir, given, command="batch-find", note=note)

    from dltune.lr.batch.find import find_batch_size
    from dltune.report.batch_find import batch_find_document, render_batch_find
    from dltune.report.terminal import width_of

    config, chosen = _middle(given, lr)
    with keep(config) as keeper:
        with StatusLine("loading data") as status, output.users_code():
            sizes = find_batch_size(
                config,
                folder=given.folder,
                smallest=min_batch,
                largest=max_batch,
                memory_bytes=None if memory is None else round(memory * GIGABYTE),
                loaded=keeper.load(config),
                watch=lambda batch: status.stage(f"batch {batch}"),
            )
        table = _write_table(sizes, keeper.places(csv, CSV))
        scaled, check = _rate(config, sizes, scale, sweep=sweep, folder=given.folder)
        applied = _apply(recipe, sizes, check) if apply else None
        if apply and applied is None:
            output.say(NOTHING_WRITTEN)
        document = batch_find_document(sizes, scaled, check) | {"seed": config.train.seed}
        document |= {"ranges_at_middle": chosen, "csv": str(table), "applied": applied}
        keeper.keep(config, document, render_batch_find(sizes, scaled, check))
    if as_json:
        output.write_json(document)
    else:
        output.write_result(render_batch_find(sizes, scaled, check, width=width_of(sys.stdout)))
    typed = options.Typed(
        recipe=recipe,
        overrides=overrides or (),
        spaces=spaces or (),
        device=device,
        seed=seed,
        more=options.typed_options({"memory": memory}, {"memory": None}),
    )
    _say_after(typed, given, sizes, min_batch, applied=applied)
    return output.FINE if batch_is_found(document) else output.FINDINGS


def _write_table(sizes: BatchSizes, places: list[Path]) -> Path:
    """Write the table of the sizes; gives the place that is said, of several the first."""
    from dltune.report.batch_find import write_csv

    output.say(*sizes.notes)
    for path in places:
        write_csv(path, sizes.rows)
    output.say(f"wrote {places[0]}")
    return places[0]


def _check_options(memory: float | None, lr: float | None, scale: str) -> None:
    """Before anything is loaded."""
    if memory is not None and not 0 < memory < float("inf"):
        raise UsageError(
            f"--memory {memory:g}: must be a number of gigabytes above 0", hint="Try --memory 4."
        )
    if lr is not None and not 0 < lr < float("inf"):
        raise UsageError(f"--lr {lr:g}: must be a rate above 0", hint="Try --lr 1e-3.")
    if scale not in RULES:
        near = closest(scale, RULES)
        raise UsageError(
            f"--scale {scale}: must be {', '.join(RULES[:-1])} or {RULES[-1]}",
            hint=f"Did you mean --scale {near}?" if near else "Try --scale auto.",
        )


def _check_applicable(recipe: Recipe) -> None:
    """One batch size and one rate can only be written where the recipe has one of each."""
    for dimension in recipe.space.dimensions:
        if dimension.path in FIXED_FOR_APPLY:
            kind = "choice" if dimension.path not in (BATCH, RATE) else "range"
            raise UsageError(
                f"--apply: {dimension.path} is a {kind}, but one batch size and one learning rate "
                "are to be written",
                hint=f"Leave --apply out, or fix it in the recipe, as --set {dimension.path}=VALUE "
                "does for one command.",
            )


def _middle(recipe: Recipe, lr: float | None) -> tuple[Config, dict[str, Any]]:
    """The config to measure, with `--lr`, and the values that ranges were given, which are said."""
    from dltune.lr.find import middle_config

    config, chosen = middle_config(recipe)
    dimensions = recipe.space.dimensions
    if lr is not None:
        optim = config.optim.model_copy(update={"lr": lr})
        config = config.model_copy(update={"optim": optim})
    elif any(one.path == RATE and recipe.space.is_active(one, chosen) for one in dimensions):
        chosen = chosen | {RATE: config.optim.lr}
    output.say(*middle_note(chosen))
    return config, chosen


def _rate(
    config: Config, sizes: BatchSizes, scale: str, *, sweep: bool, folder: Path
) -> tuple[ScaledLr | None, LrCheck | None]:
    """The rate of the recommended batch, and what sweeps say to it; None without a batch."""
    from dltune.lr.batch.scale import rule_for, scale_lr, unchecked

    recommended = sizes.recommended
    if recommended is None:
        return None, None
    rule: Rule = "linear" if scale == "linear" else "sqrt"
    scaled = scale_lr(
        config.optim.lr,
        before=sizes.own_examples,
        after=recommended.examples,
        rule=rule_for(config.optim.name) if scale == "auto" else rule,
    )
    if not sweep:
        return scaled, unchecked(scaled)

    from dltune.lr.batch.sweeps import check_by_sweeps

    with StatusLine("learning-rate sweeps") as status, output.users_code():
        check = check_by_sweeps(
            config,
            scaled,
            before=None if sizes.own_is_too_large else sizes.own,
            after=recommended.batch,
            folder=folder,
            watch=lambda batch: status.stage(f"learning-rate sweep at batch {batch}"),
        )
    return scaled, check


def _apply(recipe: Path, sizes: BatchSizes, check: LrCheck | None) -> dict[str, Any] | None:
    """Write batch size and rate; what was there before, and what is there now."""
    from dltune.recipe.files import apply_edits, load_recipe

    if sizes.recommended is None or check is None or check.rate is None:
        return None
    table = load_recipe(recipe).table
    before = {
        BATCH: table.get("train", {}).get("batch_size"),
        RATE: table.get("optim", {}).get("lr"),
    }
    after = {BATCH: sizes.recommended.batch, RATE: check.rate}
    apply_edits(recipe, after)
    return {"path": str(recipe), "before": before, "after": after}


def _say_after(
    typed: options.Typed,
    recipe: Recipe,
    sizes: BatchSizes,
    min_batch: int,
    *,
    applied: dict[str, Any] | None,
) -> None:
    """What can be done about memory, what was written, and the next command."""
    from dltune.recipe.toml import shown
    from dltune.report.batch_find import describe_accumulation

    path = typed.recipe
    if sizes.recommended is None:
        if min_batch > 1:
            smaller = typed.again(f"--min-batch 1 --max-batch {min_batch}")
            output.say_next(f"dltune batch-find {smaller}", "smaller batches")
        else:
            half = "--min-batch 1 --set train.precision=bfloat16"
            command = f"dltune batch-find {typed.again(half, without=['train.precision'])}"
            output.say_next(command, "values of half the size")
        return
    output.say(*describe_accumulation(sizes))
    if applied is None:
        edited = typed.text(without=[BATCH])
        command = f"dltune lr-find {edited} --set {BATCH}={sizes.recommended.batch}"
        output.say_next(command, "the curve of the rates at this batch size")
        return
    changes = ", ".join(
        f"{name} {'unset' if applied['before'][name] is None else shown(applied['before'][name])} "
        f"→ {shown(value)}"
        for name, value in applied["after"].items()
    )
    output.say(f"{path}: {changes}")
    if recipe.space.dimensions:
        edited = typed.text(without=[BATCH, RATE], seed=False)
        output.say_next(f"dltune search {edited} --trials 32", "search the ranges with them")
    else:
        output.say_next(f"dltune train {typed.text(without=[BATCH, RATE])}", "train with them")
