"""`dltune train`: one config, one model, one run folder."""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from dltune.cli import options, output
from dltune.cli.keeping import claim, keep_run
from dltune.cli.status import TO_SCREEN_END, StatusLine, is_watched, obeys_escapes
from dltune.errors import FolderTakenError
from dltune.report.numbers import count_of

if TYPE_CHECKING:  # what a training needs takes seconds to import: inside, once it is wanted
    from dltune.recipe.recipe import Recipe


def train(
    recipe: options.RecipePath,
    name: options.Name = None,
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
    given = options.read_recipe(recipe, overrides, spaces, device=device, seed=seed)
    given.config()  # refuses ranges, before anything is loaded

    from dltune.cli.show import all_complete, say_diagnose, show_run
    from dltune.runs.run import load_run

    code: int | None = None
    while code is None:
        path = claim(runs_dir, name, recipe.stem, without="the run folder is numbered then")
        try:
            with StatusLine("loading data") as status, output.users_code():
                code = _train_into(path, given, note, status)
        except FolderTakenError:
            if name is not None:
                raise
            # Another training, started at the same time, was the first to take this number.
    run = load_run(path)
    show_run(run, as_json=as_json)
    if code:
        again = f"dltune train {shlex.quote(str(path / 'recipe.toml'))}"
        output.say(
            f"{run.trials[0].reason}; {path} keeps the best epoch so far",
            f"a training begins anew, from its first epoch: {again}",
        )
    say_diagnose(run)
    if code:
        return code
    return output.FINE if all_complete(run) else output.FINDINGS


def _train_into(path: Path, recipe: Recipe, note: str, status: StatusLine) -> int:
    """Train the recipe's one config into a new run folder; the exit code of what interrupts it.

    A signal ends it after the update that runs, and the best epoch so far is kept. A second one
    stops at once, like an error: no folder is left then, nor where no epoch was over.
    """
    from dltune.cli.watch import follow
    from dltune.data.device import resolve_device, to_device
    from dltune.recipe.references import check_factory
    from dltune.runs.checkpoint import pack_checkpoint
    from dltune.search.interrupts import Interruption, Interrupts, exit_code
    from dltune.training.history import Trial
    from dltune.training.loop import train_cohort
    from dltune.training.schedules import peak_notes

    config = recipe.config()
    check_factory(config, recipe.folder)
    with keep_run(path, recipe, config, command="train", note=note, trials=1) as run:
        dataset = run.dataset(config)
        notes = (*dataset.notes, *peak_notes([config], examples=len(dataset.train)))
        output.say(*notes, f"{path}: 1 trial of {count_of(config.train.epochs, 'epoch')}")
        data = to_device(dataset, resolve_device(config.train))
        trial = Trial(number=0, config=config, seed=config.train.seed)
        with Interrupts(_say_stopping) as interrupts, interrupts.allowed():
            training = train_cohort(
                [trial], data, folder=recipe.folder, interrupted=lambda: interrupts.reason
            )
            (outcome,) = follow(training, config, status)
            if interrupts.requested and outcome.record.best_epoch is None:
                raise Interruption(interrupts.requested)
        with Interrupts():  # the writing is not cut off
            record = outcome.record
            run.note_conditions(config)
            run.folder.append([record], {0: pack_checkpoint(record, config, outcome.weights)})
            run.folder.end("interrupted" if interrupts.requested else "complete")
    return exit_code(interrupts.requested) if interrupts.requested else 0


def _say_stopping() -> bool:
    """The handler of a signal calls it: not by way of a stream, which may be in use.

    What stands below the cursor goes, and comes back below what is said.
    """
    erased = TO_SCREEN_END if is_watched(sys.stderr) and obeys_escapes() else ""
    line = f"{erased}stopping after this update; Ctrl-C again stops at once and keeps nothing\n"
    with contextlib.suppress(OSError):
        os.write(2, line.encode())
    return True
