"""Recipes for the tests of this room."""

from __future__ import annotations

import functools
from pathlib import Path

from dltune.recipe.files import parse_recipe
from dltune.recipe.recipe import Recipe
from dltune.search.study import run_study

# To measure whether stacks are faster takes longer than the few trials of a test, and may come out
# otherwise the next time.
looped_study = functools.partial(run_study, stack="off")

SMALL = """\
# wines by their measurements
[data]
source = "sklearn:wine"
[model]
hidden = [8]
[optim]
name = "adam"
lr = {log = [1e-4, 1e-1], points = 4}  # the one that matters
[train]
epochs = 2
batch_size = {choice = [32, 64]}
device = "cpu"
"""

CONDITIONAL = """\
[data]
source = "sklearn:wine"
[model]
hidden = {choice = [[8], [8, 4]]}
[[optim.choice]]
name = "momentum"
lr = {log = [1e-3, 1.0], points = 3}
momentum = {uniform = [0.5, 0.9], points = 2}
[[optim.choice]]
name = "adam"
lr = {log = [1e-4, 1e-1], points = 3}
[train]
epochs = 2
device = "cpu"
"""

DIVERGING = """\
[data]
source = "sklearn:diabetes"
[model]
hidden = [8]
[optim]
name = "sgd"
lr = {log = [1e6, 1e9]}
[train]
epochs = 2
device = "cpu"
"""


def small(*overrides: str, text: str = SMALL) -> Recipe:
    """The recipe of that text with `--set` overrides."""
    return parse_recipe(text, folder=Path(), overrides=overrides)
