"""What must hold before a study begins, seen on configs of its space: data, factories, models.

What a range decides is a matter of its trials, and some of them may fail. What all configs get
wrong is a mistake of the user's, told before anything is trained or written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from dltune.data.dataset import Dataset
from dltune.errors import DataError, DltuneError, RecipeError
from dltune.recipe.recipe import Recipe
from dltune.recipe.references import check_factory
from dltune.recipe.schema import Config, FactoryConfig, ModelConfig
from dltune.recipe.validation import probes
from dltune.search.executors.protocol import Executor
from dltune.search.strategies.random import proposal_generator
from dltune.training.history import Trial
from dltune.training.seeds import trial_seed

# Draws to begin with: the first of them is trial 0 of a random search, with whose data a study
# begins if they can be loaded.
DRAWS = 20

# What of a config decides whether it can be trained at all, as far as that shows at once.
DECISIVE: Any = {
    "data": True,
    "model": True,
    "train": {"batch_size", "device", "precision"},
    "regularize": {"label_smoothing"},
    "objective": {"loss"},
}


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


def check_factories(
    recipe: Recipe, seed: int, *, as_typed: Callable[[Config], Config], folder: Path
) -> None:
    """Raise RecipeError if no config has a factory that can be found and imported.

    as_typed  gives a config with its factory as it is looked up from `folder`.
    """
    tried: dict[str, RecipeError] = {}
    for config in map(as_typed, some_configs(recipe, seed)):
        if not isinstance(config.model, FactoryConfig):
            return
        if config.model.factory in tried:
            continue
        try:
            return check_factory(config, folder)
        except RecipeError as error:
            tried[config.model.factory] = error
    raise next(iter(tried.values()))


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
    for config in some_configs(recipe, seed):
        section = config.data.model_dump_json()
        if section in tried:
            continue
        try:
            return config, load(config)
        except DltuneError as error:
            tried[section] = error
    if len(tried) == 1:
        raise next(iter(tried.values()))
    return next(some_configs(recipe, seed)), None


def check_trainable(
    recipe: Recipe,
    seed: int,
    executor: Executor,
    *,
    load: Callable[[Config], Dataset],
    model_of: Callable[[Config], ModelConfig],
    folder: Path,
) -> None:
    """Raise what is wrong with every config that is tried, as far as it shows before training.

    load      gives the data set of a config.
    model_of  its [model], with a factory as it is looked up from `folder`.
    """
    sections: dict[str, dict[str, Config]] = {}
    for config in some_configs(recipe, seed):
        if _is_surely_fine(config):
            return
        alike = sections.setdefault(config.data.model_dump_json(), {})
        alike.setdefault(config.model_dump_json(include=DECISIVE), config)
    mistakes = []
    for configs in sections.values():
        first, *_ = configs.values()
        try:
            load(first)
        except DltuneError:  # the trials that have these data will tell
            continue
        trials = [
            Trial(
                number=number,
                config=config.model_copy(update={"model": model_of(config)}),
                seed=trial_seed(seed, number),
            )
            for number, config in enumerate(configs.values())
        ]
        mistake = executor.check(trials, folder=folder)
        if mistake is None:
            return
        if not isinstance(mistake, DataError) or len(sections) == 1:
            mistakes.append(mistake)
    if mistakes:
        raise mistakes[0]


def _is_surely_fine(config: Config) -> bool:
    """Whether nothing is asked for that the task, the machine or the user's code may refuse.

    A check would take a worker half a second, an eighth of a search over small models.
    """
    return (
        not isinstance(config.model, FactoryConfig)
        and config.train.device in ("auto", "cpu")
        # "auto" may be a device without such numbers.
        and (config.train.device == "cpu" or config.train.precision != "float64")
        and config.objective.loss is None
        and not config.regularize.label_smoothing
    )
