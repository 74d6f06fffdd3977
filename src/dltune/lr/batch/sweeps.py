"""Learning-rate sweeps at two batch sizes, to check a scaled rate by."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from dltune.errors import SweepError
from dltune.lr.batch.scale import LrCheck, ScaledLr, SweptBatch, check_scaled
from dltune.lr.find import find_lr
from dltune.recipe.schema import Config


def check_by_sweeps(
    config: Config,
    scaled: ScaledLr,
    *,
    before: int | None,
    after: int,
    folder: Path,
    watch: Callable[[int], None] | None = None,
) -> LrCheck:
    """Sweep the learning rate at both batch sizes, and judge the scaled rate by what comes of it.

    config   every value fixed; its batch size and learning rate play no part.
    scaled   the rate to check.
    before   the recipe's batch size; None if it does not fit, and cannot be swept.
    after    the new one; if they are equal, one sweep serves for both.
    folder   what relative paths in the config start from.
    watch    called with the batch size that is swept next.

    A sweep that runs out of memory supports no rate; its status says so.

    Raises DataError, ModelError and TrainingError as `find_lr` does.
    """
    swept: dict[int, SweptBatch] = {}
    for batch in dict.fromkeys((before, after)):
        if batch is None:
            continue
        if watch is not None:
            watch(batch)
        swept[batch] = _swept(config, batch, folder=folder)
    known = None if before is None else swept[before]
    return check_scaled(scaled, before=known, after=swept[after])


def _swept(config: Config, batch: int, *, folder: Path) -> SweptBatch:
    train = config.train.model_copy(update={"batch_size": batch})
    try:
        result = find_lr(config.model_copy(update={"train": train}), folder=folder)
    except SweepError as error:
        return SweptBatch(batch=batch, suggestion=None, edge=None, status=error.found)
    found = result.suggestion
    return SweptBatch(
        batch=batch, suggestion=result.rate, edge=found.edge, status=str(found.status)
    )
