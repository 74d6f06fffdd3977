"""The rate that a user takes who does not look for one."""

from __future__ import annotations

from dltune.recipe.schema import Config

# Adam's and AdamW's are torch's defaults, RMSprop's and momentum's Keras's (torch has 0.01 and
# 0.001), and 0.1 is what tutorials give plain descent.
DEFAULTS = {"sgd": 0.1, "momentum": 0.01, "rmsprop": 1e-3, "adam": 1e-3, "adamw": 1e-3}


def fixed_default(config: Config) -> float:
    """The usual rate of the recipe's optimizer."""
    return DEFAULTS[config.optim.name]
