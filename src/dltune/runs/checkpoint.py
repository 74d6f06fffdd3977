"""The weights of the best trial, in two files that no reader has to trust.

`checkpoints/best.safetensors` holds tensors and nothing else; `checkpoints/best.json` says whose
they are, what config rebuilds the model, and which names share one tensor: safetensors keeps none
twice.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dltune.errors import RunFolderError
from dltune.recipe.schema import Config
from dltune.recipe.whole_file import replace_file
from dltune.runs.about import FORMAT
from dltune.runs.from_json import parse_json
from dltune.training.history import TrialRecord

if TYPE_CHECKING:
    import torch

FOLDER, BEST = "checkpoints", "best"
RUNNING = "running"  # a folder below, of what a search trains: `keepers.CohortKeeper`
ENDINGS = (".safetensors", ".json")  # in the order in which they are put in place
AGAIN = "Train it again: dltune train {folder}/best.toml."


@dataclasses.dataclass(frozen=True, kw_only=True)
class PackedCheckpoint:
    """The contents of the two files; made where torch is, written where it need not be."""

    tensors: bytes
    about: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """Weights with their config.

    trial    number of the trial.
    epoch    the epoch that the weights are of.
    weights  a state dict; names that shared a tensor in the model share one here.
    """

    trial: int
    epoch: int | None
    seed: int
    config: Config
    weights: Mapping[str, Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Parts:
    """Values by name, by how a file without pickle can hold them.

    tensors     each once.
    tied        names of tensors that stand under another name, and that name.
    extra       what is no tensor, and JSON gives back.
    not_stored  names of all else.
    """

    tensors: dict[str, torch.Tensor] = dataclasses.field(default_factory=dict)
    tied: dict[str, str] = dataclasses.field(default_factory=dict)
    extra: dict[str, Any] = dataclasses.field(default_factory=dict)
    not_stored: list[str] = dataclasses.field(default_factory=list)


def parts_of(values: Iterable[tuple[str, Any]]) -> Parts:
    """Sort values, such as those of a state dict, into the parts of a file."""
    import torch

    parts, names = Parts(), dict[int, str]()
    for name, value in values:
        if not torch.is_tensor(value):
            if _is_plain(value):
                parts.extra[name] = value
            else:
                parts.not_stored.append(name)
        elif id(value) in names:
            parts.tied[name] = names[id(value)]
        elif value.layout is torch.strided and _has_type(value.dtype):
            names[id(value)] = name
            parts.tensors[name] = value.contiguous()
        else:
            parts.not_stored.append(name)
    return parts


@functools.cache
def _has_type(dtype: torch.dtype) -> bool:
    """Whether safetensors can hold numbers of this type: it has none for complex128, for one."""
    import torch
    from safetensors.torch import save

    try:
        save({"": torch.empty(0, dtype=dtype)})
    except (KeyError, ValueError, RuntimeError):
        return False
    return True


def pack_checkpoint(
    trial: TrialRecord, config: Config, weights: Mapping[str, Any]
) -> PackedCheckpoint:
    """The two files of a trial.

    weights  a state dict; what a user's module adds to it and is no tensor goes into the JSON file
             if it can be said there, else its name stands under `not_stored`.
    """
    from safetensors.torch import save

    parts = parts_of(weights.items())
    about = {
        "format": FORMAT,
        "trial": trial.number,
        "epoch": trial.best_epoch,
        "seed": trial.seed,
        "config": config.model_dump(mode="json", by_alias=True),
        "tied": parts.tied,
        "extra": parts.extra,
        "not_stored": parts.not_stored,
    }
    return PackedCheckpoint(
        tensors=save(parts.tensors, metadata=_whose(about)),
        about=json.dumps(about, indent=2) + "\n",
    )


def read_checkpoint(run: Path) -> Checkpoint:
    """The best weights of a run folder; tensors on the CPU, no code in the files is run.

    Raises RunFolderError if there are none, they are damaged, or could not be stored in full.
    """
    from safetensors import SafetensorError, safe_open

    tensors_file, about_file = (run / FOLDER / f"{BEST}{ending}" for ending in ENDINGS)
    again = AGAIN.format(folder=run)
    for file in (tensors_file, about_file):
        if not file.is_file():
            raise RunFolderError(f"{file}: not found, so {run} keeps no weights", hint=again)
    try:
        about = parse_json(about_file.read_bytes())
        with safe_open(tensors_file, framework="pt") as stored:
            whose = stored.metadata()
            weights = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
        weights |= {name: weights[same] for name, same in about["tied"].items()}
        config = Config.model_validate(about["config"])
        mixed, lacking = whose != _whose(about), [str(name) for name in about["not_stored"]]
        stored_as = {"trial": about["trial"], "epoch": about["epoch"], "seed": about["seed"]}
        weights |= about["extra"]
    except (ValueError, KeyError, TypeError, AttributeError, SafetensorError) as problem:
        raise RunFolderError(f"{about_file}: damaged ({problem})", hint=again) from None
    if mixed:  # a kill came between the two; opening the folder for a resume puts it right
        raise RunFolderError(
            f"{tensors_file} and {about_file.name} are of two trials",
            hint=f"This puts them right: dltune search --resume --name {shlex.quote(run.name)}",
        )
    if lacking:
        raise RunFolderError(
            f"{about_file}: {', '.join(lacking)} of the model could not be stored",
            hint="Let get_extra_state return numbers, texts, lists or dicts of such.",
        )
    return Checkpoint(**stored_as, config=config, weights=weights)


def _whose(about: Mapping[str, Any]) -> dict[str, str]:
    """What ties the two files together; safetensors takes texts only."""
    return {name: str(about[name]) for name in ("format", "trial", "epoch", "seed")}


def _is_plain(value: Any) -> bool:
    """Whether JSON gives the same value back."""
    try:
        return bool(json.loads(json.dumps(value, allow_nan=False)) == value)
    except (TypeError, ValueError):
        return False


class BestWeights:
    """The writing side: weights wait under their trial's number until the journal has the trial.

    run  the run folder.
    """

    def __init__(self, run: Path) -> None:
        self._folder = run / FOLDER

    def write(self, trial: int, packed: PackedCheckpoint) -> None:
        """Put the weights of a trial beside the best ones, the JSON file last."""
        tensors_file, about_file = (self._path(f"trial-{trial}", ending) for ending in ENDINGS)
        replace_file(tensors_file, packed.tensors)
        replace_file(about_file, packed.about)

    def choose(self, trial: int | None, *, keep: int | None = None, is_new: bool) -> None:
        """Leave only the weights of the best trial, under the name of the best, and of one more.

        trial   number of the best; None if there is none.
        keep    of the best that is done, whose weights stay under its number where another leads:
                one that was interrupted, and may come to nothing when it is trained again.
        is_new  whether what stands there is of another trial; it goes if there is nothing newer.
        """
        waiting = [self._path(f"trial-{trial}", ending) for ending in ENDINGS]
        best = [self._path(BEST, ending) for ending in ENDINGS]
        if keep is not None and keep != trial and self._stands_for() == keep:
            for source, ending in zip(best, ENDINGS, strict=True):
                os.replace(source, self._path(f"trial-{keep}", ending))
        if trial is not None and waiting[-1].exists():
            for source, target in zip(waiting, best, strict=True):
                if source.exists():  # else a kill came between the two
                    os.replace(source, target)
        elif is_new:
            for file in best:
                file.unlink(missing_ok=True)
        for other in self._folder.glob("trial-*"):
            if keep == trial or other.stem != f"trial-{keep}":
                other.unlink()

    def _stands_for(self) -> int | None:
        """The number of the trial whose weights have the name of the best; None for none."""
        try:
            about = json.loads(self._path(BEST, ENDINGS[-1]).read_text(encoding="utf-8"))
            return int(about["trial"])
        except (OSError, ValueError, KeyError, TypeError):  # none, or damaged
            return None

    def _path(self, stem: str, ending: str) -> Path:
        return self._folder / f"{stem}{ending}"
