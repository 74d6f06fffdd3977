"""The file form of trainings between two epochs: one safetensors file, which no reader must trust.

Tensors stand under "trial/part/name"; what is no tensor is JSON in the file's header. So a file is
there as a whole or not at all. Trainings of one kind have a row each in the tensors of the first of
them: a tensor costs the same time whatever its size, and small models have dozens.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
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
    kinds: dict[Any, list[TrainingState]] = {}
    for state in states:
        kinds.setdefault(_kind(state), []).append(state)
    parts = parts_of(itertools.chain.from_iterable(map(_rows, kinds.values())))
    place = {id(one): (kind[0], row) for kind in kinds.values() for row, one in enumerate(kind)}
    trainings = []
    for state in states:
        first, row = place[id(state)]
        trainings.append(
            {
                "number": state.trial.number,
                "seed": state.trial.seed,
                "values": dict(state.trial.values),
                "config": state.trial.config.model_dump(mode="json", by_alias=True),
                "epochs": state.epochs,
                "history": [dataclasses.asdict(record) for record in state.history],
                "rows_of": first.trial.number,
                "row": row if len(kinds[_kind(first)]) > 1 else None,
            }
        )
    about = {
        "trainings": trainings,
        "tied": parts.tied,
        "extra": parts.extra,
        "not_stored": parts.not_stored,
    }
    return save(parts.tensors, metadata={"format": str(FORMAT), "about": json.dumps(about)})


def _kind(state: TrainingState) -> Any:
    """Equal for trainings whose tensors have the same names, shapes, types and ties."""
    first: dict[int, int] = {}
    kind: list[Any] = []
    for place, (name, value) in enumerate(_named(state)):
        if not torch.is_tensor(value):
            return state.trial.number
        tie = first.setdefault(id(value), place)
        kind.append((name, value.dtype, value.layout, tuple(value.shape), tie))
    return tuple(kind) or state.trial.number


def _rows(states: Sequence[TrainingState]) -> Iterable[tuple[str, Any]]:
    """Every value of trainings of one kind with its name in the file."""
    prefix = states[0].trial.number
    if len(states) == 1:
        for name, value in _named(states[0]):
            yield f"{prefix}/{name}", value
        return
    stacks: dict[int, torch.Tensor] = {}  # by what is tied to each other in the first of them
    for same in zip(*map(_named, states), strict=True):
        name, value = same[0]
        if id(value) not in stacks:
            stacks[id(value)] = torch.stack([one for _, one in same])
        yield f"{prefix}/{name}", stacks[id(value)]


def read_states(file: Path, *, trials: Collection[int] | None = None) -> dict[int, TrainingState]:
    """The trainings in a file, by number; no code in it is run.

    trials  only these; None for all.

    Raises RunFolderError if it is damaged, or lacks a part of a model.
    """
    try:
        with safe_open(file, framework="pt") as stored:
            about = json.loads((stored.metadata() or {})["about"])
            wanted = [
                one for one in about["trainings"] if trials is None or one["number"] in trials
            ]
            prefixes = {str(_kind_of(one)) for one in wanted}
            tied = {name: same for name, same in about["tied"].items() if _prefix(name) in prefixes}
            needed = prefixes | set(map(_prefix, tied.values()))
            values = {
                name: stored.get_tensor(name)
                for name in stored.keys()  # noqa: SIM118
                if _prefix(name) in needed
            }
        if about["not_stored"]:
            raise ValueError(f"{', '.join(about['not_stored'])} could not be stored")
        values |= {name: values[same] for name, same in tied.items()} | about["extra"]
        of_kind: dict[str, dict[str, Any]] = {}
        for place, value in values.items():
            number, name = place.split("/", 1)
            of_kind.setdefault(number, {})[name] = value
        states = [_state(one, _row(of_kind, _kind_of(one), one.get("row"))) for one in wanted]
    except (
        OSError,
        LookupError,
        ValueError,
        TypeError,
        AttributeError,
        SafetensorError,
    ) as problem:
        raise RunFolderError(
            f"{file}: damaged ({problem})", hint="Remove it: the training then begins anew."
        ) from None
    return {state.trial.number: state for state in states}


def _kind_of(training: Mapping[str, Any]) -> int:
    """The number under which its tensors stand; in older files its own."""
    return int(training.get("rows_of", training["number"]))


def _prefix(name: str) -> str:
    return name.partition("/")[0]


def _row(of_kind: Mapping[str, Mapping[str, Any]], kind: int, row: int | None) -> dict[str, Any]:
    """The values of one training; what was tied still is."""
    values = of_kind.get(str(kind), {})
    if row is None:
        return dict(values)
    own = {id(value): value[row].clone() for value in values.values()}
    return {name: own[id(value)] for name, value in values.items()}


def _named(state: TrainingState) -> Iterable[tuple[str, Any]]:
    """Every value of a training by part and name."""
    parts: dict[str, Mapping[str, Any] | None] = {
        "weights": state.weights,
        "best": state.best,
        "streams": state.streams,
        **{f"optimizer/{slot}": values for slot, values in state.optimizer.items()},
    }
    for part, values in parts.items():
        for name, value in (values or {}).items():
            yield f"{part}/{name}", value


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
