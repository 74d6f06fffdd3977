"""What a run folder keeps of trials that are not over: where, and what of it nobody needs.

Written and read by the processes that train (`keepers.CohortKeeper`); here no torch is needed.
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from dltune.runs.checkpoint import FOLDER, RUNNING
from dltune.runs.from_json import parse_json
from dltune.training.history import EpochRecord


class Place(NamedTuple):
    """Where a training is kept: the name of a file, and its number there."""

    file: str
    number: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class KeptTraining:
    """A training between two epochs, as far as it is needed to choose one.

    config  as JSON has it.
    """

    place: Place
    epochs: int
    seed: int
    config: Mapping[str, Any]
    history: tuple[EpochRecord, ...]


def kept_trainings(run: Path) -> list[KeptTraining]:
    """All that are kept; what is damaged is left out."""
    from safetensors import SafetensorError, safe_open

    found: list[KeptTraining] = []
    for file in sorted((run / FOLDER / RUNNING).glob("*.safetensors")):
        try:
            with safe_open(file, framework="numpy") as stored:
                about = parse_json((stored.metadata() or {})["about"])
            found += [
                KeptTraining(
                    place=Place(file.name, int(one["number"])),
                    epochs=int(one["epochs"]),
                    seed=int(one["seed"]),
                    config=one["config"],
                    history=tuple(EpochRecord(**record) for record in one["history"]),
                )
                for one in about["trainings"]
            ]
        except (OSError, ValueError, KeyError, TypeError, SafetensorError):
            continue
    return found


def furthest(trainings: Collection[KeptTraining]) -> dict[int, Place]:
    """Of each trial the place that has most of its epochs."""
    best: dict[int, KeptTraining] = {}
    for one in trainings:
        known = best.get(one.place.number)
        if one.epochs and (known is None or one.epochs >= known.epochs):
            best[one.place.number] = one
    return {number: one.place for number, one in best.items()}


def keep_only(run: Path, names: Collection[str]) -> None:
    """Remove the files of trials that pause, but for these."""
    for file in (run / FOLDER / RUNNING).glob("*.safetensors"):
        if file.name not in names:
            file.unlink(missing_ok=True)


def forget_running(run: Path) -> None:
    """Remove what is kept of trials that train: they are over, or begin anew."""
    shutil.rmtree(run / FOLDER / RUNNING, ignore_errors=True)
