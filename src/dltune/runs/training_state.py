"""The file form of trainings between two epochs: one safetensors file, which no reader must trust.

Tensors stand under "trial/part/name"; what is no tensor is JSON in the file's header. So a file is
there as a whole or not at all.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from dltune.errors import RunFolderError
from dltune.recipe.schema import Config
from dltune.runs.about import FORMAT
from dltune.runs.checkpoint import parts_of
from dltune.training.history import EpochRecord, Trial
from dltune.training.state import TrainingState


def pack_states(states: Iterable[TrainingState]) -> bytes:
    """Trainings as the content of a file; their numbers must differ.

    What a user's module adds to its state and is no tensor is kept if JSON gives it back; else its
    name stands under `not_stored`, and `read_states` refuses the file.
    """
    states = list(states)
    parts = parts_of(itertools.chain.from_iterable(map(_named, states)))
    trainings = [
        {
            "number": state.trial.number,
            "seed": state.trial.seed,
            "values": dict(state.trial.values),
            "config": state.trial.config.model_dump(mode="json", by_alias=True),
            "epochs": state.epochs,
            "history": [dataclasses.asdict(record) for record in state.history],
        }
        for state in states
    ]
    about = {
        "trainings": trainings,
        "tied": parts.tied,
        "extra": parts.extra,
        "not_stored": parts.not_stored,
    }
    return save(parts.tensors, metadata={"format": str(FORMAT), "about": json.dumps(about)})


def read_states(file: Path, *, trials: Collection[int] | None = None) -> dict[int, TrainingState]:
    """The trainings in a file, by number; no code in it is run.

    trials  only these; None for all.

    Raises RunFolderError if it is damaged, or lacks a part of a model.
    """
    try:
        with safe_open(file, framework="pt") as stored:
            about = json.loads((stored.metadata() or {})["about"])
            mine = None if trials is None else set(map(str, trials))

            def is_wanted(name: str) -> bool:
                return mine is None or name.partition("/")[0] in mine

            tied = {name: same for name, same in about["tied"].items() if is_wanted(name)}
            sources = set(tied.values())
            values = {
                name: stored.get_tensor(name)
                for name in stored.keys()  # noqa: SIM118
                if is_wanted(name) or name in sources
            }
        if about["not_stored"]:
            raise ValueError(f"{', '.join(about['not_stored'])} could not be stored")
        values |= {name: values[same] for name, same in tied.items()} | about["extra"]
        of_trial: dict[str, dict[str, Any]] = {}
        for place, value in values.items():
            number, name = place.split("/", 1)
            of_trial.setdefault(number, {})[name] = value
        states = [
            _state(one, of_trial.get(str(one["number"]), {}))
            for one in about["trainings"]
            if trials is None or one["number"] in trials
        ]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError) as problem:
        raise RunFolderError(
            f"{file}: damaged ({problem})", hint="Remove it: the training then begins anew."
        ) from None
    return {state.trial.number: state for state in states}


def _named(state: TrainingState) -> Iterable[tuple[str, Any]]:
    """Every value of a training with its name in the file."""
    parts: dict[str, Mapping[str, Any] | None] = {
        "weights": state.weights,
        "best": state.best,
        "streams": state.streams,
        **{f"optimizer/{slot}": values for slot, values in state.optimizer.items()},
    }
    for part, values in parts.items():
        for name, value in (values or {}).items():
            yield f"{state.trial.number}/{part}/{name}", value


def _state(about: Mapping[str, Any], values: Mapping[str, Any]) -> TrainingState:
    """One training.

    values  by their names in the file, without its number.
    """
    parts: dict[str, dict[str, Any]] = {}
    optimizer: dict[str, dict[str, torch.Tensor]] = {}
    for place, value in values.items():
        part, name = place.split("/", 1)
        if part == "optimizer":
            slot, name = name.split("/", 1)
            optimizer.setdefault(slot, {})[name] = value
        else:
            parts.setdefault(part, {})[name] = value
    return TrainingState(
        trial=Trial(
            number=about["number"],
            seed=about["seed"],
            values=about["values"],
            config=Config.model_validate(about["config"]),
        ),
        epochs=about["epochs"],
        weights=parts.get("weights"),
        optimizer=optimizer,
        streams=parts.get("streams", {}),
        best=parts.get("best"),
        history=tuple(EpochRecord(**record) for record in about["history"]),
    )
