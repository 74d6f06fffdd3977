"""Configs for tests, from sections given as dictionaries."""

from __future__ import annotations

from typing import Any

from dltune.recipe.schema import Config


def make_config(source: str = "sklearn:wine", **sections: dict[str, Any]) -> Config:
    """A config with the defaults of the recipe and these sections."""
    return Config.model_validate({"data": {"source": source}, **sections})
