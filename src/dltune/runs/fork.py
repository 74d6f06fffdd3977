"""A new training that goes on from where another one was, with other settings."""

from __future__ import annotations

import dataclasses
import shlex
from pathlib import Path
from typing import Literal

from dltune.errors import RunFolderError, UsageError
from dltune.recipe.schema import Config, flatten
from dltune.runs.checkpoint import FOLDER, read_checkpoint
from dltune.runs.keepers import BEST, LAST
from dltune.runs.run import load_run
from dltune.runs.training_state import read_states
from dltune.training.history import Trial
from dltune.training.state import TrainingState

From = Literal["best", "last"]

# What weights, or errors that are to be compared, would be of something else with. The share of
# dropout is no part of a model's weights.
KEPT = ("data.", "model.")
FREE = ("model.dropout",)


def fork(run: Path, config: Config, *, start: From) -> tuple[TrainingState, list[str]]:
    """The training of `config` from where a run's stood, and lines about what is kept of it.

    run    the run folder of a training, or of a search, whose best trial is meant.
    start  "best" epoch or "last" one.

    Weights, history and random streams are kept; the optimizer's state where `optim.name` is the
    same; the schedule is that of `config`, at the epochs done.

    Raises RunFolderError if the run has not kept it, UsageError if it cannot be gone on with under
    `config`: another model, other data, no epochs left.
    """
    before = _state_of(run, start)
    _check(run, before, config)
    notes = [f"going on from epoch {before.epochs} of {run}, its {start} one"]
    optimizer = before.optimizer
    if before.trial.config.optim.name != config.optim.name:
        optimizer = {}
        notes.append(
            f"{config.optim.name} begins without what {before.trial.config.optim.name} has gathered"
        )
    elif not optimizer and not before.streams:
        notes.append(f"{run} has kept weights alone: {config.optim.name} begins anew")
    state = dataclasses.replace(
        before,
        trial=Trial(number=0, config=config, seed=config.train.seed),
        optimizer=optimizer,
        history=tuple(dataclasses.replace(one, trial=0) for one in before.history),
    )
    return state, notes


def _state_of(run: Path, start: From) -> TrainingState:
    file = run / FOLDER / (BEST if start == "best" else LAST)
    stored = load_run(run)
    if file.exists():
        (state,) = read_states(file).values()
        # File names in the run's own recipe hold from its folder.
        trial = dataclasses.replace(state.trial, config=stored.recipe.config())
        return dataclasses.replace(state, trial=trial)
    if start == "last":
        raise RunFolderError(
            f"{run}: has not kept its last epoch, only the weights of the best one",
            hint="Type --from best.",
        )
    kept = read_checkpoint(run)
    history = stored.trial(kept.trial).history[: kept.epoch]
    return TrainingState(
        trial=Trial(number=kept.trial, config=kept.config, seed=kept.seed),
        epochs=len(history),
        weights=kept.weights,
        best=kept.weights,
        history=history,
    )


def _check(run: Path, before: TrainingState, config: Config) -> None:
    old, new = flatten(before.trial.config), flatten(config)
    changed = [
        name
        for name in dict.fromkeys([*old, *new])
        if name.startswith(KEPT) and not name.startswith(FREE) and old.get(name) != new.get(name)
    ]
    if changed:
        name = changed[0]
        raise UsageError(
            f"--fork {run}: {name} was {old.get(name)!r} there and is {new.get(name)!r}: its "
            "weights and errors belong to the model and the data that it had",
            hint=f"Leave {name} as it was, or train anew, without --fork.",
        )
    if before.epochs >= config.train.epochs:
        raise UsageError(
            f"--fork {run}: {before.epochs} epochs are done, and train.epochs = "
            f"{config.train.epochs} leaves none",
            hint=f"Try dltune train --fork {shlex.quote(str(run))} "
            f"--set train.epochs={before.epochs + config.train.epochs}.",
        )
