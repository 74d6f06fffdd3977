"""Settings by their dotted names: as `--set` and `--space` give them, and their places in the file.

`--set` is key=value, `--space` key=kind:low:high, with start=value behind it if wanted. A name
leads to one place, or, below a choice of tables, to one in each option: `optim.lr` means the rate
of every option that `[optim]` can become, `optim[sgd].lr` that of one.
"""

from __future__ import annotations

import contextlib
import json
import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from dltune.errors import RecipeError, closest
from dltune.recipe.ranges import KINDS, START, at_name, closest_kind, parse_range
from dltune.recipe.schema_keys import is_table_path, known_paths
from dltune.recipe.toml import NotTomlError, parse_toml
from dltune.recipe.tree import FilePath, holds_table, option_labels

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
    name = name.strip()
    if name.startswith("replay."):  # whose keys have quotes in a file
        name = name.replace('"', "")
    return name, parse_word(value.strip())


def parse_word(text: str) -> Any:
    """A value typed without a file around it: TOML if it is that, a number, or else text.

    Raises `RecipeError` for what is nested too deeply, or a whole number of more than 64 bits.

    >>> parse_word("true"), parse_word(".9"), parse_word("relu"), parse_word('"3"')
    (True, 0.9, 'relu', '3')
    """
    with contextlib.suppress(NotTomlError):
        table = parse_toml(f"value = {text}")
        if table.keys() == {"value"}:
            return table["value"]
    try:
        return float(text)  # TOML refuses .9 and 1., which mean only one thing
    except ValueError:
        return text


def set_option(name: str, value: str | Sequence[str]) -> str:
    """What gives a setting this value, quoted for TOML and for the shell where it must be.

    >>> print(set_option("data.target", "price"), set_option("data.target", "2024"))
    --set data.target=price --set 'data.target="2024"'
    """
    # A bare word is a text for --set unless TOML reads it as something else (2024, true).
    if isinstance(value, str) and value.isidentifier() and parse_word(value) == value:
        typed = value
    else:  # JSON allows DEL in a text, TOML does not
        typed = json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return f"--set {shlex.quote(f'{name}={typed}')}"


def parse_space_override(text: str) -> tuple[str, dict[str, Any]]:
    """Name and range table of a `--space`.

    >>> parse_space_override("optim.lr=log:1e-5:1e-1:points=9")
    ('optim.lr', {'log': [1e-05, 0.1], 'points': 9})
    >>> parse_space_override("model.activation=choice:relu:gelu:start=gelu")
    ('model.activation', {'choice': ['relu', 'gelu'], 'start': 'gelu'})
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
    # An option may have a "=" in it; one that reads start=... itself stands in quotes.
    mark = f"{START}=" if kind == "choice" else "="
    table: dict[str, Any] = {kind: []}
    for part in parts:
        if part.startswith(mark) or (kind != "choice" and mark in part):
            key, _, value = part.partition("=")
            table[key] = parse_word(value)
        else:
            table[kind].append(parse_word(part))
    return table


def _is_beside(content: Mapping[str, Any], path: str, key: str) -> bool:
    """Whether a key stands beside a section's choice of tables, or can stand there only."""
    return key in content or (key == START and f"{path}.{key}" not in known_paths())


NAME = re.compile(r"[^.\[\]\s]+(\[[^\[\]]+\])*(\.[^.\[\]\s]+(\[[^\[\]]+\])*)*")
TOKEN = re.compile(r"\[(?P<label>[^\[\]]+)\]|(?P<key>[^.\[\]]+)")


def file_paths(table: Mapping[str, Any], name: str) -> list[FilePath]:
    """Where a setting is, or would have to be written, in a recipe's file.

    table  the recipe as `tomllib` reads it.
    name   "optim.lr", "model.hidden.0", "optim[sgd].lr"; the last keys need not exist yet.

    Raises `RecipeError` if the name is malformed or leads through something that is no table.

    >>> file_paths({"optim": {"choice": [{"name": "sgd"}, {"name": "adam"}]}}, "optim.lr")
    [('optim', 'choice', 0, 'lr'), ('optim', 'choice', 1, 'lr')]
    >>> file_paths({}, "train.epochs")
    [('train', 'epochs')]
    >>> file_paths({}, "replay.optim.lr")
    [('replay', 'optim.lr')]
    """
    if not NAME.fullmatch(name):
        raise RecipeError(f'"{name}" is not the name of a setting, which looks like optim.lr')
    tokens = [(match["label"], match["key"]) for match in TOKEN.finditer(name)]
    return _Walk(name).expand(table, "", (), tokens)


Token = tuple[str | None, str | None]
"""A label in brackets, or a key."""


class _Walk:
    def __init__(self, name: str) -> None:
        self.name = name

    def expand(
        self, content: Any, path: str, file_path: FilePath, tokens: Sequence[Token]
    ) -> list[FilePath]:
        if not tokens:
            return [file_path]
        if path == "replay" and len(tokens) > 1 and None not in (tokens[0][1], tokens[1][1]):
            # Its keys are whole names.
            tokens = [(None, f"{tokens[0][1]}.{tokens[1][1]}"), *tokens[2:]]
        label, key = tokens[0]
        if label is not None:
            return self._option(content, path, file_path, label, tokens[1:])
        assert key is not None  # a token is a label or a key
        if is_branch(content, path) and is_table_path(path) and not _is_beside(content, path, key):
            found: list[FilePath] = []
            for index, option in enumerate(content["choice"]):
                found += self.expand(option, path, (*file_path, "choice", index), tokens)
            return found
        if isinstance(content, list):
            return self._item(content, path, file_path, key, tokens[1:])
        if content is not None and not isinstance(content, dict):
            raise RecipeError(f"{self.name}: {path} is a value, and has no key {key}")
        below = f"{path}.{key}" if path else key
        entry = None if content is None else content.get(key)
        return self.expand(entry, below, (*file_path, key), tokens[1:])

    def _option(
        self, content: Any, path: str, file_path: FilePath, label: str, rest: Sequence[Token]
    ) -> list[FilePath]:
        if not is_branch(content, path):
            raise RecipeError(
                f"{self.name}: {path} is not a choice of tables, and has no [{label}]"
            )
        labels = option_labels(content["choice"])
        if label not in labels:
            guess = closest(label, labels)
            hint = f"; did you mean [{guess}]?" if guess else ""
            raise RecipeError(f"{self.name}: {path} has the options {', '.join(labels)}{hint}")
        index = labels.index(label)
        option = content["choice"][index]
        return self.expand(option, path, (*file_path, "choice", index), rest)

    def _item(
        self, content: list[Any], path: str, file_path: FilePath, key: str, rest: Sequence[Token]
    ) -> list[FilePath]:
        if not key.isdecimal() or int(key) >= len(content):
            raise RecipeError(
                f"{self.name}: {path} is a list of {len(content)}; write the place of an item, "
                f"from 0, after it"
            )
        index = int(key)
        return self.expand(content[index], f"{path}.{key}", (*file_path, index), rest)


def is_branch(content: Any, path: str) -> bool:
    """Whether a value of the file is a choice that holds tables.

    >>> is_branch({"choice": [{"name": "sgd"}]}, "optim"), is_branch({"lr": 0.1}, "optim")
    (True, False)
    """
    if not isinstance(content, dict) or not isinstance(content.get("choice"), list) or not path:
        return False
    return holds_table(content["choice"])
