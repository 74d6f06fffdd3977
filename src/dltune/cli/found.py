"""What a finder has come to, from its run folder: shown again, and how to go on from it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dltune.cli import output
from dltune.cli.options import Typed
from dltune.errors import RunFolderError

if TYPE_CHECKING:
    from dltune.recipe.recipe import Recipe
    from dltune.runs.run import Run

FINDERS = ("lr-find", "batch-find")


def show_found(run: Run, *, as_json: bool) -> int:
    """Write the result of a run of a finder as it was, and name the next command.

    Returns the exit code that the finder ended with.

    Raises RunFolderError if the run has no result.
    """
    from dltune.runs.run import RESULT

    command, document = run.about.command, run.result()
    if document is None:
        raise RunFolderError(
            f"{run.path} has no result: its dltune {command} is running, or was killed",
            hint=f"Wait for it, or type it again: {run.about.sessions[-1].command_line}",
        )
    if as_json:
        output.write_json(document)
    else:
        output.write_result(run.result_text())
    try:
        return _say_next(run, document)
    except (KeyError, TypeError, AttributeError) as damage:
        raise RunFolderError(
            f"{run.path / RESULT}: damaged ({type(damage).__name__}: {damage})",
            hint=f"Type it again: {run.about.sessions[-1].command_line}",
        ) from None


def _say_next(run: Run, document: Mapping[str, Any]) -> int:
    recipe = shlex.quote(str(run.path / "recipe.toml"))
    if run.about.command == "batch-find":
        _say_next_of_batch(document, recipe, run.recipe)
        return output.FINE if batch_is_found(document) else output.FINDINGS
    comparisons = document.get("comparisons", [document])
    for one in comparisons:
        if "over" in one:
            curve = f"dltune lr-find {recipe} --set {one['over']}=VALUE"
            output.say_next(curve, "the curve of one of them")
        else:
            typed = Typed(recipe=run.path / "recipe.toml")
            _say_next_of_rate(document, typed, run.recipe)
    answers = [row for one in comparisons for row in one.get("values", [one])]
    found = all(answer["suggestion"] is not None for answer in answers)
    return output.FINE if found else output.FINDINGS


def batch_is_found(document: Mapping[str, Any]) -> bool:
    """Whether there is a batch size whose rate no sweep contradicts."""
    from dltune.lr.batch.scale import LrVerdict

    return document["verdict"] in (LrVerdict.CONFIRMED, LrVerdict.UNCHECKED)


def say_why_no_rate(document: Mapping[str, Any], typed: Typed) -> None:
    """The command that could show a rate, or else why there is none."""
    advice, of_sweeps = document["advice"], document["constant"]
    if of_sweeps is not None:  # but no training with it, or another, learned anything
        command = f"dltune train {typed.text(without=['optim.lr'])} --set optim.lr={of_sweeps:g}"
        output.say_next(command, "see where the dev loss goes")
    elif advice and not (advice == "--validate" and document["validation"] is not None):
        output.say_next(f"dltune lr-find {typed.again(advice)}", "what could show one")


def _say_next_of_rate(document: Mapping[str, Any], typed: Typed, stored: Recipe) -> None:
    if document["suggestion"] is None:
        say_why_no_rate(document, typed)
    else:
        _say_next_with({"optim.lr": document["suggestion"]}, typed.text(), stored)


def _say_next_of_batch(document: Mapping[str, Any], recipe: str, stored: Recipe) -> None:
    batch, rate = document["recommended"], document["lr"]
    if batch is None:
        output.say_next(f"dltune batch-find {recipe} --min-batch 1", "smaller batches")
    elif rate is None:
        command = f"dltune lr-find {recipe} --set train.batch_size={batch}"
        output.say_next(command, "the curve of the rates at this batch size")
    else:
        _say_next_with({"train.batch_size": batch, "optim.lr": rate}, recipe, stored)


def _say_next_with(values: Mapping[str, Any], recipe: str, stored: Recipe) -> None:
    """Train with what was found, or search the other ranges with it."""
    ranges = {one.path for one in stored.space.dimensions}
    if ranges & {"optim", "optim.name"}:  # a learning rate suits one optimizer
        values = {path: value for path, value in values.items() if path != "optim.lr"}
    edits = "".join(f" --set {path}={value}" for path, value in values.items())
    if ranges - set(values):
        output.say_next(f"dltune search {recipe}{edits} --trials 32", "search the ranges with it")
    else:
        output.say_next(f"dltune train {recipe}{edits}", "train with it")
