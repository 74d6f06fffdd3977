"""`checkpoints/best.pt`: the weights of the best trial, and the config that rebuilds its model."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dltune.recipe.schema import Config, flatten
from dltune.recipe.space import Space
from dltune.search.csv_files import replace_file
from dltune.training.history import TrialResult

if TYPE_CHECKING:
    import torch


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finished:
    """A trial that is over, as the study hands it to the run folder.

    result    what came of it, with its history.
    config    what was trained; None if the values do not make a valid config.
    weights   of its best epoch; empty if there is none.
    examples  number of examples in each split.
    """

    result: TrialResult
    config: Config | None
    weights: Mapping[str, torch.Tensor]
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


def write_checkpoint(path: Path, finished: Finished) -> None:
    """Write the weights of a trial with a config, replacing the file atomically."""
    import torch

    assert finished.config is not None
    content: dict[str, Any] = {
        "trial": finished.result.number,
        "epoch": finished.result.best_epoch,
        "seed": finished.result.seed,
        "config": finished.config.model_dump(mode="json", by_alias=True),
        "weights": dict(finished.weights),
    }
    buffer = io.BytesIO()
    torch.save(content, buffer)
    replace_file(path, buffer.getvalue())


def read_checkpoint(path: Path) -> Checkpoint:
    """Read what `write_checkpoint` wrote; tensors on the CPU, no code in the file is run."""
    import torch

    content = torch.load(path, map_location="cpu", weights_only=True)
    return Checkpoint(
        trial=content["trial"],
        epoch=content["epoch"],
        seed=content["seed"],
        config=Config.model_validate(content["config"]),
        weights=content["weights"],
    )
