"""`find_lr`: from a config to a learning rate, data and sweep included."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from dltune.data.device import resolve_device, to_device
from dltune.data.load import load_data
from dltune.lr.curve import LrCurve
from dltune.lr.suggest import LrSuggestion, suggest
from dltune.lr.sweep import sweep, untouched_random_states
from dltune.recipe.recipe import Recipe
from dltune.recipe.schema import Config

# Twenty-five steps a decade: fewer leave too few points for the smoother, more cost time and let
# the model learn so much at low rates that little is left to see at high ones.
DEFAULT_STEPS = 200

# Eight decades, so that the flat part, the fall and the blow-up all fit wherever they lie.
# Optimizers that divide by the size of the gradient move each weight by about the learning rate:
# above 10 none trains. For the others what counts is learning rate times curvature; linear models
# on standardised data turn unstable as high as 50 (measured), so their range lies a decade higher.
# Adadelta's steps have a scale of their own, on which torch's default is 1.
_SCALED_RANGE = (1e-7, 1e1)
_PLAIN_RANGE = (1e-6, 1e2)
DEFAULT_RANGES: Mapping[str, tuple[float, float]] = {
    "sgd": _PLAIN_RANGE,
    "momentum": _PLAIN_RANGE,
    "nesterov": _PLAIN_RANGE,
    "adagrad": _PLAIN_RANGE,
    "rmsprop": _SCALED_RANGE,
    "adadelta": (1e-4, 1e4),
    "adam": _SCALED_RANGE,
    "adamax": _SCALED_RANGE,
    "nadam": _SCALED_RANGE,
    "adamw": _SCALED_RANGE,
}

MIDDLE = 0.5  # of every range, in the unit interval


@dataclasses.dataclass(frozen=True, kw_only=True)
class LrFind:
    """What `find_lr` measured and made of it.

    curve       the sweep.
    suggestion  what it supports.
    notes       what was inferred about the data, as sentences.
    seed        the config's `train.seed`, from which the sweep's own seed derives.
    """

    curve: LrCurve
    suggestion: LrSuggestion
    notes: tuple[str, ...]
    seed: int


def find_lr(
    config: Config,
    *,
    folder: Path,
    low: float | None = None,
    high: float | None = None,
    steps: int = DEFAULT_STEPS,
    watch: Callable[[int], None] | None = None,
) -> LrFind:
    """Sweep the learning rate of a config on a fresh model, and suggest one.

    config     every value fixed; its `optim.lr` and [schedule] play no part. The model starts with
               the weights, and sees the batches, of `dltune train` with the same `train.seed`.
    folder     what relative paths in it start from.
    low, high  the range; where not given, that of the optimizer in `DEFAULT_RANGES`.
    steps      optimizer updates, at least 20.
    watch      called with the number of updates made so far.

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
    >>> found.suggestion.status.value, 1e-3 < found.suggestion.suggestion < 0.5
    ('ok', True)
    """
    default_low, default_high = DEFAULT_RANGES[config.optim.name]
    with untouched_random_states():
        dataset = load_data(config.data, folder=folder)
        data = to_device(dataset, resolve_device(config.train.device))
        curve = sweep(
            config,
            seed=config.train.seed,
            data=data,
            folder=folder,
            low=default_low if low is None else low,
            high=default_high if high is None else high,
            steps=steps,
            watch=watch,
        )
    return LrFind(
        curve=curve, suggestion=suggest(curve), notes=dataset.notes, seed=config.train.seed
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
