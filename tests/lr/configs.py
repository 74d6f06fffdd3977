"""Configs and trials for the tests of sweeps."""

from __future__ import annotations

from typing import Any

from dltune.recipe.schema import Config
from dltune.training.history import Trial


def make_config(**sections: dict[str, Any]) -> Config:
    """The defaults of a recipe, and these sections."""
    return Config.model_validate({"data": {"source": "sklearn:wine"}, **sections})


def make_trials(*configs: Config, seed: int = 50) -> list[Trial]:
    """A trial a config, each with a seed of its own."""
    return [
        Trial(number=number, config=config, seed=seed + number)
        for number, config in enumerate(configs)
    ]
