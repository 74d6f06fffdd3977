"""Pydantic's errors in a recipe's words: what was found, what must hold, the closest spelling."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from typing import Any

from pydantic_core import ErrorDetails

from dltune.errors import closest
from dltune.recipe.bounds import quotes_hint
from dltune.recipe.overrides import set_option
from dltune.recipe.ranges import EXAMPLES, closest_kind
from dltune.recipe.schema_keys import (
    known_paths,
    section_names,
    section_variants,
    setting_keys,
)

MUST_BE = {
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "int_type": "must be a whole number",
    "bool_type": "must be true or false",
    "string_type": "must be text in quotes",
    "string_too_short": "must not be empty",
    "list_type": "must be a list",
    "tuple_type": "must be a list of two numbers",
    "dict_type": "must be a table",
    "model_type": "must be a table",
    "model_attributes_type": "must be a table",
    "union_tag_not_found": "must be a table",
}
BOUNDS = {
    "greater_than": ("must be greater than {}", "gt"),
    "greater_than_equal": ("must be at least {}", "ge"),
    "less_than": ("must be less than {}", "lt"),
    "less_than_equal": ("must be at most {}", "le"),
    "too_short": ("must have at least {} item(s)", "min_length"),
    "too_long": ("must have at most {} item(s)", "max_length"),
}
COLUMN_KEYS = ("data.target", "data.drop", "data.categorical")
# Words that other tools use for a setting, where the spelling alone leads nowhere.
OTHER_KEYS = {
    "learning_rate": "optim.lr",
    "wd": "optim.weight_decay",
    "layers": "model.hidden",
    "patience": "regularize.early_stop",
    "minibatch": "train.batch_size",
}
# Stricter than `closest`, as every key of every section is a candidate: foo is not floor.
ELSEWHERE_CUTOFF = 0.8


def config_path(error: ErrorDetails) -> tuple[str | int, ...]:
    """Keys and indices of the value an error is about, without the names of union members."""
    path = tuple(error["loc"])
    section = str(path[0]) if path else ""
    if len(path) > 1 and section in section_names() and path[1] in section_variants(section):
        path = (path[0], *path[2:])
    if error["type"] == "union_tag_invalid":
        path = (*path, "name")
    if error["type"] == "missing" and path and isinstance(path[-1], int):
        path = path[:-1]  # a pair with one number: the pair is what is wrong
    if path == ("data",) and error["type"] == "missing":
        path = ("data", "source")
    return path


def found_value(error: ErrorDetails) -> Any:
    """The value that an error is about, as it stands in the config."""
    if error["type"] == "union_tag_invalid":
        return error["input"]["name"]
    return list(error["input"]) if isinstance(error["input"], tuple) else error["input"]


def must_hold(error: ErrorDetails) -> str:
    """What must hold where the error is, and the closest valid spelling if there is one."""
    kind, found = error["type"], found_value(error)
    context = error.get("ctx", {})
    if kind == "dltune":
        return str(context["must_hold"]) + quotes_hint(found)
    if kind == "literal_error":
        words = one_of(found, re.findall(r"'([^']*)'", context["expected"]))
        return words + (_range_hint(found) if isinstance(found, dict) else "")
    if kind == "union_tag_invalid":
        return _must_be_variant(error)
    if kind in BOUNDS:
        words, key = BOUNDS[kind]
        bound = context[key]
        return words.format(f"{bound:g}" if isinstance(bound, float) else bound)
    if kind == "missing":
        return "must be a list of two numbers"
    words = MUST_BE.get(kind) or str(error["msg"])
    return words + (_names_hint(error) or _type_hint(kind, found))


def _must_be_variant(error: ErrorDetails) -> str:
    section = str(error["loc"][0])
    names = [name for name in section_variants(section) if name != "factory"]
    factory = ', or factory = "file.py:function" instead of a name' if section == "model" else ""
    return one_of(found_value(error), names) + factory


def one_of(found: Any, allowed: Sequence[str]) -> str:
    """What must hold for a word, with the closest allowed one.

    >>> one_of("adma", ["sgd", "adam"])
    'must be one of "sgd", "adam"; did you mean "adam"?'
    """
    guess = _closest_word(found, allowed) if isinstance(found, str) else None
    hint = f'; did you mean "{guess}"?' if guess else ""
    return "must be one of " + ", ".join(f'"{word}"' for word in allowed) + hint


def _closest_word(found: str, allowed: Sequence[str]) -> str | None:
    word = found.lower().replace("_", "-")
    # Swapped letters first: by common letters alone, "adma" is closer to "adamax" than to "adam".
    swapped = (name for name in allowed if sorted(name) == sorted(word))
    return next(swapped, None) or closest(word, allowed)


def _type_hint(kind: str, found: Any) -> str:
    if isinstance(found, dict):
        return _range_hint(found) if kind not in ("dict_type", "model_type") else ""
    if kind == "int_type" and isinstance(found, float) and found.is_integer():
        return f"; write {int(found)}"
    if kind == "bool_type" and isinstance(found, str) and found.lower() in ("true", "false"):
        return f"; write {found.lower()} without quotes"
    return quotes_hint(found) if kind in ("float_type", "int_type") else ""


def _names_hint(error: ErrorDetails) -> str:
    """How to type the name of a column, or a list of them, so that the shell leaves the quotes."""
    path, found = config_path(error), found_value(error)
    name = ".".join(map(str, path[:2]))
    if name not in COLUMN_KEYS or isinstance(found, list | dict):
        return ""
    if path[1] == "target":
        typed: str | list[str] = str(found)
    else:  # a shell has taken the quotes out of ["a", "b"]
        typed = [word.strip(" \"'") for word in str(found).strip("[]").split(",")]
    return f", as in {set_option(name, typed)}"


def _range_hint(table: dict[str, Any]) -> str:
    for key in table:
        if kind := closest_kind(key):
            return f" or a range; did you mean {kind}, as in {EXAMPLES[kind]}?"
    return f" or a range, as in {EXAMPLES['log']}"


def unknown_key(path: Sequence[str | int], variant: str) -> str:
    """What is wrong with a key that the schema does not have, and what it could have been.

    path     keys to it in the config, e.g. ("optim", "lrr").
    variant  the name of the section's kind ("adam"), or "" where there is one kind.

    >>> unknown_key(("optim", "lrr"), "adam")
    'unknown key; did you mean optim.lr?'
    >>> unknown_key(("optim", "momentum"), "adam")
    'not a setting of adam; momentum, nesterov, rmsprop have it'
    """
    key, section = str(path[-1]), ".".join(map(str, path[:-1]))
    owners = known_paths().get(f"{section}.{key}", ())
    if owners:
        have = "have" if len(owners) > 1 else "has"
        return f"not a setting of {variant}; {', '.join(owners)} {have} it"
    if guess := _closest_path(key, section, variant):
        return f"unknown key; did you mean {guess}?"
    if not section:
        return f"unknown key; a recipe has {', '.join(section_names())}"
    keys = setting_keys(section_variants(section)[variant])
    return f"unknown key; {section} has {', '.join(keys)}"


def _closest_path(key: str, section: str, variant: str) -> str | None:
    if key.lower() in OTHER_KEYS:
        return OTHER_KEYS[key.lower()]
    if not section and (guess := closest(key, section_names())):
        return guess
    elsewhere = {path.rpartition(".")[2]: path for path in reversed(known_paths())}
    if key in elsewhere and key != "name":
        return elsewhere[key]
    if section:
        own = list(setting_keys(section_variants(section)[variant]))
        if guess := closest(key, own):
            return f"{section}.{guess}"
    guesses = difflib.get_close_matches(key, elsewhere, n=1, cutoff=ELSEWHERE_CUTOFF)
    return elsewhere[guesses[0]] if guesses else None


def missing_key(path: Sequence[str | int], variant: str) -> str:
    """What a key that must be there stands for.

    >>> missing_key(("model", "factory"), "factory")
    'missing; give "file.py:function", relative to the recipe'
    """
    section = ".".join(map(str, path[:-1]))
    field = setting_keys(section_variants(section)[variant])[str(path[-1])]
    return f"missing; give {field.description}"
