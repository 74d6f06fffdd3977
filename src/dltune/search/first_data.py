"""The data that a study begins with: those of a config of its space, told before any training."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from dltune.data.dataset import Dataset
from dltune.errors import DltuneError, RecipeError
from dltune.recipe.recipe import Recipe
from dltune.recipe.schema import Config
from dltune.recipe.validation import probes
from dltune.search.strategies.random import proposal_generator

# Draws to begin with: the first of them is trial 0 of a random search, with whose data a study
# begins if they can be loaded.
DRAWS = 20


def some_configs(recipe: Recipe, seed: int) -> Iterator[Config]:
    """Configs of the space: draws of a study's seed, then every bound and every option once.

    What all configs have in common can be read from the first one.
    """
    for number in range(DRAWS):
        unit = proposal_generator(seed, number).random(len(recipe.space))
        try:
            yield recipe.config(recipe.space.from_unit(unit.tolist()))
        except RecipeError:  # values that do not go together: a trial that fails
            continue
    for values in probes(recipe.space):
        yield recipe.config(values)


def first_data(
    recipe: Recipe, seed: int, load: Callable[[Config], Dataset]
) -> tuple[Config, Dataset | None]:
    """The first config whose data can be loaded, and they; else the first config, and None.

    Where the recipe's ranges decide which data are loaded, those of some trials may be no data at
    all, or not enough: such a trial fails when it comes to it.

    load  gives the data set of a config.

    Raises DataError, as `load` does, if all configs have the same data.
    """
    tried: dict[str, DltuneError] = {}
    first = None
    for config in some_configs(recipe, seed):
        first = first or config
        section = config.data.model_dump_json()
        if section in tried:
            continue
        try:
            return config, load(config)
        except DltuneError as error:
            tried[section] = error
    assert first is not None  # the probes are valid, or the recipe would not be
    if len(tried) == 1:
        raise next(iter(tried.values()))
    return first, None
