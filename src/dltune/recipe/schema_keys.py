"""What keys the schema knows, for messages that name the closest one and for the reference page."""

from __future__ import annotations

from functools import cache
from typing import Annotated, get_args, get_origin

from pydantic import Tag
from pydantic.fields import FieldInfo

from dltune.recipe.replay import SECTION as REPLAY
from dltune.recipe.schema import Config, DataConfig, FactoryConfig, Section
from dltune.recipe.section import NEVER

# The one table below a section. Everywhere else a table in a recipe is a range.
SUBTABLES = {"data.split": "split"}


@cache
def section_variants(section: str) -> dict[str, type[Section]]:
    """The models that a section may be, by name; a section of one kind has the name "".

    section  "data", ..., "objective", or "data.split".

    >>> list(section_variants("schedule"))
    ['constant', 'step', 'exponential', 'cosine', 'one-cycle', 'piecewise', 'plateau', 'newbob']
    >>> list(section_variants("train"))
    ['']
    """
    if section in SUBTABLES:
        field: FieldInfo = DataConfig.model_fields[SUBTABLES[section]]
    else:
        field = Config.model_fields[section]
    arms = get_args(field.annotation)
    if not arms:
        return {"": field.annotation}  # type: ignore[dict-item]
    variants = {}
    for arm in arms:
        model, *metadata = get_args(arm) if get_origin(arm) is Annotated else (arm,)
        tag = next(item.tag for item in metadata if isinstance(item, Tag))
        variants[tag] = model
    return variants


@cache
def section_names() -> tuple[str, ...]:
    """The sections of a recipe in their order, without subtables, and without `[replay]`, whose
    keys are those of the others.

    >>> section_names()[:3]
    ('data', 'model', 'optim')
    """
    return tuple(name for name in Config.model_fields if name != REPLAY)


def is_table_path(path: str) -> bool:
    """Whether the value at a dotted path is a table by the schema (the root has the path "").

    >>> is_table_path("optim"), is_table_path("data.split"), is_table_path("optim.lr")
    (True, True, False)
    """
    return path in ("", REPLAY) or path in section_names() or path in SUBTABLES


def setting_keys(model: type[Section]) -> dict[str, FieldInfo]:
    """The keys of a section as spelled in TOML, with their fields.

    >>> list(setting_keys(section_variants("data.split")[""]))
    ['dev', 'test', 'train-dev', 'stratify']
    """
    return {field.serialization_alias or key: field for key, field in model.model_fields.items()}


@cache
def never_paths() -> tuple[str, ...]:
    """The dotted paths of what is left out with false or "none".

    >>> "regularize.early_stop" in never_paths(), "data.target" in never_paths()
    (True, False)
    """
    return tuple(
        f"{section}.{key}"
        for section in section_names()
        for model in section_variants(section).values()
        for key, field in setting_keys(model).items()
        if NEVER in field.metadata
    )


@cache
def known_paths() -> dict[str, tuple[str, ...]]:
    """Every dotted path that some recipe may set, with the variants that have it.

    >>> known_paths()["optim.momentum"]
    ('momentum', 'nesterov', 'rmsprop')
    """
    paths: dict[str, tuple[str, ...]] = {}
    for section in (*section_names(), *SUBTABLES):
        for variant, model in section_variants(section).items():
            for key in setting_keys(model):
                path = f"{section}.{key}"
                paths[path] = (*paths.get(path, ()), variant)
    return paths


def takes_any_key(section: str) -> bool:
    """Whether a section has a variant whose keys are the user's own (a model factory)."""
    return section in section_names() and FactoryConfig in section_variants(section).values()
