"""Which settings may differ between trials that are ranked by one metric: the one list of them.

A search compares trials by `dev_error` or `dev_loss`. What changes the examples that it is measured
on, or what a number of it means, makes a ranking of things that have nothing to do with each other:
the best is then the trial with the easiest examples, or the smallest unit.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from dltune.errors import RecipeError, UsageError
from dltune.recipe.files import parse_recipe
from dltune.recipe.overrides import parse_word
from dltune.recipe.recipe import Recipe
from dltune.recipe.schema import Config, flatten
from dltune.recipe.space import Dimension
from dltune.recipe.toml import toml_value
from dltune.recipe.tree import shared_keys
from dltune.recipe.validation import probes

METRIC = "objective.metric"
ERROR_METRIC = "dev_error"  # has one scale for every loss and every unit of the target


@dataclass(frozen=True, kw_only=True)
class Bearing:
    """What a setting has to do with the comparison of trials.

    varies   "free": trials may differ in it; "by-error": only if they are ranked by the error;
             "never"; "by-study": the study sets it itself, whatever the recipe says.
    because  for "free", why it does no harm; else what is wrong, after "objective.metric is a
             range: ".
    matters  what of it matters in a config; None for its value.
    """

    varies: Literal["free", "by-error", "never", "by-study"]
    because: str
    matters: Callable[[Config], Any] | None = None


def _free(because: str) -> Bearing:
    return Bearing(varies="free", because=because)


def _never(because: str, matters: Callable[[Config], Any] | None = None) -> Bearing:
    return Bearing(varies="never", because=because, matters=matters)


def _by_error(because: str, matters: Callable[[Config], Any] | None = None) -> Bearing:
    return Bearing(varies="by-error", because=because, matters=matters)


OTHER_EXAMPLES = "trials measured on different examples cannot be compared"
OTHER_TARGETS = "trials that predict different things cannot be compared"
OTHER_UNITS = "dev losses in different units cannot be compared"

# A section stands for those of its keys that have no line of their own.
BEARINGS: Mapping[str, Bearing] = {
    "data.source": _never(OTHER_EXAMPLES),
    "data.target": _never(OTHER_TARGETS),
    "data.task": _never(OTHER_TARGETS),
    "data.normalize": _free("it scales the features, and neither examples nor targets change"),
    "data.normalize_target": _by_error(OTHER_UNITS),  # 1 - R^2 has no unit
    "data.split.dev": _never(OTHER_EXAMPLES),
    "data.split.test": _never(OTHER_EXAMPLES),  # cut first: what is left for dev depends on it
    # Cut last: dev stays what it is. But the scaling of the target is fitted to what train keeps.
    "data.split.train-dev": _by_error(OTHER_UNITS),
    "data.split.stratify": _never(OTHER_EXAMPLES),
    "data.seed": _never(OTHER_EXAMPLES),
    # Numbers read as categories: of a feature they are other inputs, of the target another task.
    "data.categorical": _never(
        OTHER_TARGETS, lambda config: config.data.target in config.data.categorical
    ),
    "data.drop": _free("it leaves out columns, and no example"),
    "model": _free("whatever the model, its outputs are measured alike"),
    "optim": _free("a step is made otherwise, and measured alike"),
    "schedule": _free("it is part of the step"),
    "regularize": _free("penalties and label smoothing are left out of what is measured"),
    "train": _free("it says how a model is trained, not how it is measured"),
    "train.seed": Bearing(
        varies="by-study",
        because="a search gives each trial a seed of its own, made of --seed and its number",
    ),
    METRIC: _never("trials measured by different metrics cannot be compared"),
    "objective.loss": _by_error(OTHER_UNITS),
    "objective.huber_delta": _by_error(
        OTHER_UNITS,
        lambda config: config.objective.loss == "huber" and config.objective.huber_delta,
    ),
    "replay": _free("it changes what a training goes on with, and not how it is measured"),
    "objective.target_error": _free("the diagnosis reads it; nothing is trained or ranked by it"),
}


def bearing_of(path: str) -> Bearing:
    """The bearing of a setting by its dotted path; list items have that of their list.

    Raises KeyError for a setting of a section that is not decided on.

    >>> bearing_of("model.hidden.0").varies, bearing_of("data.seed").varies
    ('free', 'never')
    """
    path = _as_in_schema(path)
    while path and path not in BEARINGS:
        path, _, _ = path.rpartition(".")
    return BEARINGS[path]


def may_vary(path: str, metric: str) -> bool:
    """Whether trials that are ranked by this metric may differ in a setting, and do differ.

    >>> may_vary("objective.huber_delta", "dev_loss"), may_vary("train.seed", "dev_error")
    (False, False)
    """
    varies = bearing_of(path).varies
    return varies == "free" or (varies == "by-error" and metric == ERROR_METRIC)


@dataclass(frozen=True, kw_only=True)
class Clash:
    """A setting, by its dotted path, in which the trials of a recipe differ and must not.

    found  what was found, and why it cannot be.
    """

    key: str
    found: str


def check_comparable(recipe: Recipe) -> None:
    """Raise UsageError with a line for every setting in which trials must not differ.

    recipe  as it was typed: the way out is to be typed for it.
    """
    found = clashes(recipe)
    if not found:
        return
    edits = ways_out(recipe)
    hint = f"with {' '.join(edits)}" if edits else "in the recipe"
    hint = f"fix {'it' if len(found) == 1 else 'them'} {hint}."
    if all(bearing_of(one.key).varies == "by-error" for one in found):
        hint = f"rank by the error with --set {METRIC}={ERROR_METRIC}, or {hint}"
    raise UsageError("\n".join(one.found for one in found), hint=hint[0].upper() + hint[1:])


def clashes(recipe: Recipe) -> list[Clash]:
    """Every setting in which trials differ though they can then not be compared.

    >>> text = 'data.source = "a.csv"\\ndata.seed = {int = [3, 9]}'
    >>> (clash,) = clashes(parse_recipe(text, folder="."))
    >>> print(clash.found)
    data.seed is a range: trials measured on different examples cannot be compared
    """
    probed = _probed(recipe)
    metrics = probed.values(METRIC)
    # Where the metric itself differs, the way out makes it the error.
    metric = metrics[0] if len(metrics) == 1 else ERROR_METRIC
    keys = [key for key in probed.keys if not may_vary(key, metric) and probed.differ(key)]
    return [Clash(key=key, found=f"{key} {_how(recipe, key)}") for key in keys]


def _how(recipe: Recipe, key: str) -> str:
    above = _deciding(recipe, key)
    exact = any(_as_in_schema(one.path) == key for one in above)
    what = "is a range" if exact else f"differs between the options of {above[0].name}"
    return f"{what}: {bearing_of(key).because}"


def ways_out(recipe: Recipe) -> list[str]:
    """What to type, in this order, so that trials can be compared; [] where nothing short does it.

    >>> text = 'data.source = "a.csv"\\ndata.seed = {int = [3, 9]}'
    >>> ways_out(parse_recipe(text, folder="."))
    ['--set data.seed=3']
    """
    edits: list[str] = []
    while found := clashes(recipe):
        key = found[0].key
        for name, value in _changes(recipe, key):
            edited = _edited(recipe, f"{name}={toml_value(value)}")
            if edited is not None and key not in [one.key for one in clashes(edited)]:
                break
        else:
            return []
        recipe = edited
        edits.append(f"--set {shlex.quote(f'{name}={_word(value)}')}")
    return edits


def _changes(recipe: Recipe, key: str) -> Iterator[tuple[str, Any]]:
    """Values for settings or sections that may end a clash, the shortest first."""
    above = _deciding(recipe, key)
    name = next((one.path for one in above if _as_in_schema(one.path) == key), key)
    for value in [ERROR_METRIC] if key == METRIC else _probed(recipe).values(key):
        if value is not None:
            yield name, value
    # Where two options become one by it, which no choice takes, the first one stays.
    for one in above:
        if one.parent is None:
            yield one.path, _first_option(recipe, one)


def _deciding(recipe: Recipe, key: str) -> list[Dimension]:
    """The ranges that are a setting's own, one of its items', or choose a table that has it."""
    return [
        one
        for one in recipe.space.dimensions
        if f"{key}.".startswith(f"{_as_in_schema(one.path)}.")
        or _as_in_schema(one.path).startswith(f"{key}.")
    ]


def _as_in_schema(path: str) -> str:
    return path.replace("train_dev", "train-dev")  # both spellings are read


def _first_option(recipe: Recipe, dimension: Dimension) -> Any:
    """The first option of a choice as it stands in the recipe, ranges in it included."""
    table: Any = recipe.table
    for part in dimension.path.split("."):
        table = table.get(part) if isinstance(table, dict) else None
    if not isinstance(table, dict) or "choice" not in table:
        return None
    option = table["choice"][0]
    return shared_keys(table) | option if isinstance(option, dict) else option


def _edited(recipe: Recipe, override: str) -> Recipe | None:
    """The recipe with an override; None if it is then not valid."""
    try:
        return parse_recipe(recipe.text, folder=recipe.folder, overrides=[override])
    except RecipeError:
        return None


def _word(value: Any) -> str:
    """A value as `--set` takes it: a text without quotes, unless it would be read otherwise."""
    return value if isinstance(value, str) and parse_word(value) == value else toml_value(value)


@dataclass(frozen=True)
class _Probed:
    """Configs of a recipe in which every bound and every option occurs, and what is in them."""

    configs: Sequence[Config]
    settings: Sequence[Mapping[str, Any]]

    @property
    def keys(self) -> list[str]:
        """Every setting that one of them has."""
        return list(dict.fromkeys(key for one in self.settings for key in one))

    def values(self, key: str) -> list[Any]:
        """What they have in a setting, each value once; None where one has no such setting."""
        values: list[Any] = []
        for one in self.settings:
            if one.get(key) not in values:
                values.append(one.get(key))
        return values

    def differ(self, key: str) -> bool:
        """Whether they differ in what matters of a setting."""
        if (matters := bearing_of(key).matters) is not None:
            return len({matters(config) for config in self.configs}) > 1
        return len(self.values(key)) > 1


def _probed(recipe: Recipe) -> _Probed:
    configs = [recipe.config(values) for values in probes(recipe.space)]
    return _Probed(configs, [flatten(config) for config in configs])
