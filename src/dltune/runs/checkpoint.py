"""`checkpoints/best.pt`: the weights of the best trial, and the config that rebuilds its model."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dltune.recipe.schema import Config, flatten
from dltune.recipe.space import Space
from dltune.training.history import TrialResult

if TYPE_CHECKING:
    import torch


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finished:
    """A trial that is over, as the study hands it to the run folder.

    result      what came of it, with its history.
    config      what was trained; None if the values do not make a valid config.
    checkpoint  its weights as `checkpoint_bytes` packs them; None if it is not the best so far.
    examples    number of examples in each split.
    """

    result: TrialResult
    config: Config | None
    checkpoint: bytes | None
    examples: Mapping[str, int | None]

    def flat_config(self, space: Space) -> dict[str, Any]:
        """Every hyperparameter by dotted path; without a config those that were searched."""
        if self.config is not None:
            return flatten(self.config)
        values = self.result.values
        return {one.path: values[one.name] for one in space.dimensions if one.name in values}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """Weights with their config.

    trial    number of the trial.
    epoch    the epoch that the weights are of.
    """

    trial: int
    epoch: int | None
    seed: int
    config: Config
    weights: Mapping[str, torch.Tensor]


def checkpoint_bytes(
    result: TrialResult, config: Config, weights: Mapping[str, torch.Tensor]
) -> bytes:
    """What `checkpoints/best.pt` holds of a trial.

    Made where torch is, which may be a worker; whoever writes the file needs the bytes only.
    """
    import torch

    content: dict[str, Any] = {
        "trial": result.number,
        "epoch": result.best_epoch,
        "seed": result.seed,
        "config": config.model_dump(mode="json", by_alias=True),
        "weights": dict(weights),
    }
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a file of `checkpoint_bytes`; tensors on the CPU, no code in the file is run."""
    import torch

    content = torch.load(path, map_location="cpu", weights_only=True)
    return Checkpoint(
        trial=content["trial"],
        epoch=content["epoch"],
        seed=content["seed"],
        config=Config.model_validate(content["config"]),
        weights=content["weights"],
    )
