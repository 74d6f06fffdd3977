"""`dltune train`: one config, one model, one run folder."""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, cast

from dltune.cli import options, output
from dltune.cli.keeping import claim, keep_run
from dltune.cli.status import StatusLine, columns_of
from dltune.errors import FolderTakenError
from dltune.report.numbers import count_of, show_error, show_value

if TYPE_CHECKING:  # what a training needs takes seconds to import: inside, once it is wanted
    from dltune.recipe.recipe import Recipe
    from dltune.training.engine import Stop
    from dltune.training.history import EpochRecord
    from dltune.training.loop import CohortEpoch, TrialOutcome

PLAIN_LINES = 10  # of a whole training, where nobody watches


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
    run = load_run(path, histories="best")
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
            (outcome,) = _follow(training, config.train.epochs, status)
            if interrupts.requested and outcome.record.best_epoch is None:
                raise Interruption(interrupts.requested)
        with Interrupts():  # the writing is not cut off
            record = outcome.record
            run.note_conditions(config)
            run.folder.append([record], {0: pack_checkpoint(record, config, outcome.weights)})
            run.folder.end("interrupted" if interrupts.requested else "complete")
    return exit_code(interrupts.requested) if interrupts.requested else 0


def _say_stopping() -> bool:
    """The handler of a signal calls it: not by way of a stream, which may be in use."""
    with contextlib.suppress(OSError):
        os.write(2, b"stopping after this update; Ctrl-C again stops at once and keeps nothing\n")
    return True


def _follow(
    training: Generator[CohortEpoch, Mapping[int, Stop] | None, list[TrialOutcome]],
    epochs: int,
    status: StatusLine,
) -> list[TrialOutcome]:
    """Say every epoch, where nobody watches one in ten."""
    every = 1 if sys.stderr.isatty() else max(1, epochs // PLAIN_LINES)
    status.stage(f"epoch 1 of {epochs}")
    while True:
        try:
            records = next(training).records
        except StopIteration as end:
            return cast("list[TrialOutcome]", end.value)
        for record in records:
            if record.epoch % every == 0 or record.epoch == epochs:
                columns = columns_of(sys.stderr) if status.is_drawn else None
                output.say(epoch_line(record, epochs, columns=columns))
            status.stage(f"epoch {min(record.epoch + 1, epochs)} of {epochs}")


def epoch_line(record: EpochRecord, epochs: int, *, columns: int | None = None) -> str:
    """One epoch, in words that fit the columns of a terminal; None for as many as it takes.

    >>> from dltune.training.history import EpochRecord
    >>> print(epoch_line(EpochRecord(
    ...     trial=0, epoch=3, lr=1e-3, train_loss=0.1, train_error=0.02, dev_loss=0.21,
    ...     dev_error=0.05, grad_norm=1.0, update_ratio=1e-3, dead_units=0.0, seconds=0.1), 20))
    epoch  3/20  lr 0.001  train loss 0.1000 error 0.0200  dev loss 0.2100 error 0.0500
    """
    place = f"{record.epoch:{len(str(epochs))}d}/{epochs}"
    losses = [show_error(loss) for loss in (record.train_loss, record.dev_loss)]
    errors = [show_error(error) for error in (record.train_error, record.dev_error)]
    train, dev = (f"loss {loss} error {error}" for loss, error in zip(losses, errors, strict=True))
    forms = [
        f"epoch {place}  lr {show_value(record.lr)}  train {train}  dev {dev}",
        f"epoch {place}  train {train}  dev {dev}",
        f"epoch {place}  error: train {errors[0]}  dev {errors[1]}",
        f"{place}  error {errors[0]}, dev {errors[1]}",
    ]
    return next((one for one in forms if columns is None or len(one) <= columns), forms[-1])
