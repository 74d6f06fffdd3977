"""`find_lr`: from a config to a learning rate, data, sweeps and validation included."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dltune.data.dataset import Dataset
from dltune.data.device import DeviceData, resolve_device, to_device
from dltune.data.load import load_data
from dltune.lr.curve import LrCurve
from dltune.lr.extend import SweepRange
from dltune.lr.finder import DEFAULT_SEEDS, STEPS_PER_DECADE, Finder
from dltune.lr.suggest import LrSuggestion, band_around, search_range, suggest
from dltune.lr.sweep import Watch, untouched_random_states
from dltune.lr.validation.plan import DEFAULT_BUDGET, ValidationPlan, describe_plan
from dltune.lr.validation.validate import Validation
from dltune.recipe.recipe import Recipe
from dltune.recipe.schema import Config
from dltune.training.schedules import peak_notes

# A model that was trained before is spoilt long before its loss blows up: candidates are tried
# from this far below the edge, and further down as long as the lowest of them is best.
BELOW_THE_EDGE = 30.0

MIDDLE = 0.5  # of every range, in the unit interval


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Loaded:
    """A config's data on its device, and what was inferred about them, as sentences."""

    data: DeviceData
    notes: tuple[str, ...]


def load(config: Config, *, folder: Path) -> Loaded:
    """The data of a config, on the device of its trainings."""
    return on_device(load_data(config.data, folder=folder), config)


def on_device(dataset: Dataset, config: Config) -> Loaded:
    """A config's data set, on the device of its trainings."""
    return Loaded(data=to_device(dataset, resolve_device(config.train)), notes=tuple(dataset.notes))


@dataclasses.dataclass(frozen=True, kw_only=True)
class LrFind:
    """What `find_lr` measured and made of it.

    curves      one a seed.
    suggestion  what they support.
    plan        the validation that was run, or could be; None where there is nothing to validate.
    validation  what it showed; None if there was none.
    notes       what was inferred about the data, and how the sweep was changed, as sentences.
    seed        the config's `train.seed`, from which the others derive.
    updates     optimizer updates of all sweeps, counted once for each seed.
    decays      whether the config's schedule goes below its peak.
    epochs      of the config.
    """

    curves: tuple[LrCurve, ...]
    suggestion: LrSuggestion
    plan: ValidationPlan | None
    validation: Validation | None
    notes: tuple[str, ...]
    seed: int
    updates: int
    decays: bool
    epochs: int

    @property
    def rate(self) -> float | None:
        """The answer for the config as it is: validated, or else for its kind of schedule."""
        if self.validation is not None:
            return self.validation.choice.rate
        return self.suggestion.peak if self.decays else self.suggestion.suggestion

    @property
    def band(self) -> tuple[float, float] | None:
        """Lowest and highest rate that do as well as the answer, within noise."""
        if self.validation is not None:
            return self.validation.choice.band
        return None if self.rate is None else band_around(self.rate)

    @property
    def search_range(self) -> tuple[float, float] | None:
        """The rates to search with other values free: around the answer, below the edge."""
        return None if self.rate is None else search_range(self.rate, self.suggestion.edge)


def find_lr(
    config: Config,
    *,
    folder: Path,
    low: float | None = None,
    high: float | None = None,
    steps: int | None = None,
    seeds: int = DEFAULT_SEEDS,
    validate: bool | None = False,
    own: float | None = None,
    budget: float = DEFAULT_BUDGET,
    loaded: Loaded | None = None,
    say: Callable[[str], None] | None = None,
    watch: Watch | None = None,
) -> LrFind:
    """Sweep the learning rate of a config on fresh models, and suggest one.

    config     every value fixed; its `optim.lr` plays no part. The first seed starts with the
               weights, and sees the batches, of `dltune train` with the same `train.seed`.
    folder     what relative paths in it start from.
    low, high  the range; where not given, that of the optimizer, extended as far as it must be.
    steps      optimizer updates over the range, at least 20; by default 16 to 50 a decade.
    seeds      sweeps, each with weights and an order of the data of its own; at least 1.
    validate   whether candidates are trained under the config's schedule; None does where it takes
               some seconds only.
    own        a rate that the validation tries as well.
    budget     of the validation, in trainings of the config.
    loaded     the config's data, where they are there already.
    say        called with what is about to be done, where it costs.
    watch      called with what is being done, how far it is, and how far it goes.

    Changes nothing: the random states of Python, NumPy and torch are afterwards as before.

    Raises SweepError for an impossible range or if memory runs out; DataError, ModelError and
    TrainingError as a training does.

    >>> from dltune.recipe.files import parse_recipe
    >>> text = '''
    ... data.source = "sklearn:iris"
    ... model.hidden = [16]
    ... train.device = "cpu"
    ... '''
    >>> found = find_lr(parse_recipe(text, folder=".").config(), folder=Path("."))
    >>> found.suggestion.status.value, 1e-3 < found.rate < 0.5
    ('ok', True)
    """
    plan_sweep = functools.partial(
        SweepRange.of, config.optim.name, low=low, high=high, steps=steps
    )
    plan_sweep(per_decade=STEPS_PER_DECADE)  # refuses an impossible range before data are loaded
    with untouched_random_states():
        there = loaded or load(config, folder=folder)
        finder = Finder(config, there.data, folder, watch)
        start = plan_sweep(per_decade=finder.steps_per_decade())
        curves, changes = finder.sweep(start, seeds)
        found = suggest(curves)
        plan = finder.plan(budget)
        validation = None
        decays = config.schedule.name != "constant"
        center = (found.peak if decays else found.suggestion) or _below_the_edge(found)
        if center is not None and (finder.is_cheap(plan) if validate is None else validate):
            if say is not None:
                say(describe_plan(plan, config.train.epochs))
            validation = finder.validate(center, own, plan, edge=found.edge)
    return LrFind(
        curves=tuple(curves),
        suggestion=found,
        plan=plan,
        validation=validation,
        notes=(*there.notes, *peak_notes([config], examples=len(there.data.train)), *changes),
        seed=config.train.seed,
        updates=finder.updates,
        decays=decays,
        epochs=config.train.epochs,
    )


def middle_config(recipe: Recipe) -> tuple[Config, dict[str, Any]]:
    """The config in the middle of every range, and the values that were so chosen, by name.

    The learning rate is not among them, since a sweep replaces it.

    >>> from dltune.recipe.files import parse_recipe
    >>> text = '''
    ... data.source = "sklearn:iris"
    ... optim.lr = { log = [1e-4, 1e-2] }
    ... model.dropout = { uniform = [0.0, 0.5] }
    ... '''
    >>> config, chosen = middle_config(parse_recipe(text, folder="."))
    >>> config.model.dropout, chosen
    (0.25, {'model.dropout': 0.25})
    """
    space = recipe.space
    values = space.from_unit([MIDDLE] * len(space))
    chosen = {name: v for name, v in values.items() if space.by_name[name].path != "optim.lr"}
    return recipe.config(values if values else None), chosen


def _below_the_edge(found: LrSuggestion) -> float | None:
    """Where to look for a rate although the curve shows none; None if it does not show an edge."""
    return None if found.edge is None else found.edge / BELOW_THE_EDGE
