"""`[replay]`: settings that change once given epochs are over.

It is what population-based training writes into `best.toml`, so that the same training can be made
again; a person may write it, too. Only numbers may change that a training reads anew at each epoch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ValidationError, ValidationInfo

from dltune.errors import closest
from dltune.recipe.section import Section, refusal

SECTION = "replay"
SECTIONS = ("optim", "regularize")
DROPOUT = "model.dropout"
# Which of the numbers in them a training does not read anew at each epoch.
FIXED = ("regularize.early_stop", "optim.initial_accumulator_value")

Points = list[tuple[int, float]]
"""Of one key: epochs that are over, and the value from then on."""


def as_points(value: Any) -> Any:
    """A table of lists as TOML has it, with its pairs as pairs."""
    if not isinstance(value, dict):
        return value
    pair = 2
    return {
        key: [tuple(one) if isinstance(one, list) and len(one) == pair else one for one in points]
        if isinstance(points, list)
        else points
        for key, points in value.items()
    }


def may_change(sections: Mapping[str, BaseModel]) -> list[str]:
    """The keys that may change in a config with these sections.

    >>> from dltune.recipe.schema import Config
    >>> config = Config(data={"source": "a.csv"}, optim={"name": "sgd"})
    >>> may_change(dict(config))[:4]
    ['optim.weight_decay', 'optim.lr', 'regularize.l1', 'regularize.l2']
    """
    keys = []
    for name in SECTIONS:
        section = sections[name]
        for key, field in type(section).model_fields.items():
            value = getattr(section, key)
            is_off = value is None and "float" in str(field.annotation)
            if (_is_number(value) or is_off) and f"{name}.{key}" not in FIXED:
                keys.append(f"{name}.{key}")
    dropout = getattr(sections["model"], "dropout", None)
    is_users = hasattr(sections["model"], "factory")
    return [*keys, *([DROPOUT] if _is_number(dropout) and not is_users else [])]


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def checked_points(replay: dict[str, Points], info: ValidationInfo) -> dict[str, Points]:
    """The same; refused where a key may not change, or a value is none that the key may have."""
    sections = info.data
    if not {"model", *SECTIONS} <= sections.keys():
        return replay  # whose mistakes are told already
    for key, points in replay.items():
        known = may_change(sections)
        if key not in known:
            near = closest(key, known)
            raise refusal(
                f'"{key}" may not change: it must be one of {", ".join(known)}'
                + (f'; did you mean "{near}"?' if near else "")
            )
        epochs = [epoch for epoch, _ in points]
        if not points or epochs != sorted(set(epochs)) or epochs[0] < 1:
            raise refusal(
                f'"{key}" must be pairs of an epoch, at least 1 and ascending, and a value, '
                "such as [[6, 0.003], [12, 0.001]]"
            )
        for _, value in points:
            _check_value(key, value, sections)
    return replay


def _check_value(key: str, value: float, sections: Mapping[str, BaseModel]) -> None:
    name, _, field = key.partition(".")
    section = sections[name]
    try:
        type(section).model_validate(section.model_dump(by_alias=True) | {field: value})
    except ValidationError as invalid:
        told = invalid.errors(include_url=False)[0]["msg"]
        raise refusal(f'"{key}" = {value:g}: {told[0].lower()}{told[1:]}') from None


Replay = Annotated[dict[str, Points], BeforeValidator(as_points), AfterValidator(checked_points)]


def values_at(replay: Mapping[str, Sequence[tuple[int, float]]], epochs: int) -> dict[str, float]:
    """What has changed once so many epochs are over.

    >>> points = {"optim.lr": [(6, 0.003), (12, 0.001)]}
    >>> values_at(points, 5), values_at(points, 6), values_at(points, 20)
    ({}, {'optim.lr': 0.003}, {'optim.lr': 0.001})
    """
    held: dict[str, float] = {}
    for key, points in replay.items():
        for epoch, value in points:
            if epoch <= epochs:
                held[key] = value
    return held


def replay_of(flat: Mapping[str, Any]) -> dict[str, Any]:
    """The `[replay]` of a config that was flattened.

    >>> replay_of({"optim.lr": 0.1, "replay.optim.lr": [[6, 0.003]]})
    {'optim.lr': [[6, 0.003]]}
    """
    prefix = f"{SECTION}."
    return {key.removeprefix(prefix): one for key, one in flat.items() if key.startswith(prefix)}


def changed(sections: Mapping[str, Section], values: Mapping[str, float]) -> dict[str, Section]:
    """The sections in which something has these values, by name."""
    found: dict[str, Section] = {}
    for key, value in values.items():
        name, _, field = key.partition(".")
        section = found.get(name, sections[name])
        found[name] = section.model_copy(update={field: value})
    return found


def range_mistakes(replay: Any, ranges: Sequence[str]) -> list[str]:
    """A line for each range over a key that `[replay]` has.

    replay  the table as it was read; None for none.
    ranges  paths of the recipe's ranges.

    >>> range_mistakes({"optim.lr": [[6, 0.1]]}, ["optim.lr", "train.epochs"])
    ['optim.lr: must be no range, as [replay] says how it changes']
    """
    keys = set(replay) if isinstance(replay, Mapping) else set()
    return [
        f"{path}: must be no range, as [{SECTION}] says how it changes"
        for path in ranges
        if path in keys
    ]
