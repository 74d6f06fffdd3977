"""The command line's way to change a recipe: `--set key=value` and `--space key=kind:low:high`."""

from __future__ import annotations

import tomllib
from typing import Any

from dltune.errors import RecipeError
from dltune.recipe.range_table import KINDS, at_name, closest_kind, parse_range

SET_EXAMPLE = "Write it like --set optim.lr=3e-4."
SPACE_EXAMPLE = (
    "Write it like --space optim.lr=log:1e-5:1e-1 or --space optim.name=choice:sgd:adam."
)


def parse_override(text: str) -> tuple[str, Any]:
    """Name and value of a `--set`; the value is read as TOML, or else as a bare word.

    >>> parse_override("optim.lr=3e-4"), parse_override("optim.name=adam")
    (('optim.lr', 0.0003), ('optim.name', 'adam'))
    >>> parse_override("model.hidden=[64, 64]")
    ('model.hidden', [64, 64])
    """
    name, equals, value = text.partition("=")
    if not equals or not name.strip() or not value.strip():
        raise RecipeError(f'--set "{text}": must be key=value', hint=SET_EXAMPLE)
    return name.strip(), parse_word(value.strip())


def parse_word(text: str) -> Any:
    """A value typed without a file around it: TOML if it is that, a number, or else text.

    >>> parse_word("true"), parse_word(".9"), parse_word("relu"), parse_word('"3"')
    (True, 0.9, 'relu', '3')
    """
    try:
        table = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        pass
    else:
        if table.keys() == {"value"}:
            return table["value"]
    try:
        return float(text)  # TOML refuses .9 and 1., which mean only one thing
    except ValueError:
        return text


def parse_space_override(text: str) -> tuple[str, dict[str, Any]]:
    """Name and range table of a `--space`.

    >>> parse_space_override("optim.lr=log:1e-5:1e-1:points=9")
    ('optim.lr', {'log': [1e-05, 0.1], 'points': 9})
    >>> parse_space_override("model.activation=choice:relu:gelu")
    ('model.activation', {'choice': ['relu', 'gelu']})
    """
    name, equals, words = text.partition("=")
    kind, *parts = [word.strip() for word in words.split(":")]
    name = name.strip()
    if not equals or not name or not kind:
        raise RecipeError(f'--space "{text}": must be key=kind:low:high', hint=SPACE_EXAMPLE)
    if kind not in KINDS:
        guess = closest_kind(kind)
        mean = f"; did you mean {guess}?" if guess else ""
        raise RecipeError(
            f"{name}: {kind} is not a kind of range; kinds are {', '.join(KINDS)}{mean}",
            hint=SPACE_EXAMPLE,
        )
    table = _range_table(kind, parts)
    try:
        parse_range(table)
    except RecipeError as error:
        raise RecipeError(at_name(name, error.found), hint=SPACE_EXAMPLE) from None
    return name, table


def _range_table(kind: str, parts: list[str]) -> dict[str, Any]:
    if kind == "choice":
        return {kind: [parse_word(part) for part in parts]}
    counts = [part.partition("=") for part in parts if "=" in part]
    bounds = [parse_word(part) for part in parts if "=" not in part]
    table = {kind: bounds}
    for key, _, value in counts:
        table[key] = parse_word(value)
    return table
