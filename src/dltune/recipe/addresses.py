"""From the dotted name of a setting to its places in a recipe's file.

A name leads to one place, or, below a choice of tables, to one in each option: `optim.lr` means the
rate of every option that `[optim]` can become, `optim[sgd].lr` that of one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from dltune.errors import RecipeError, closest
from dltune.recipe.schema_keys import is_table_path
from dltune.recipe.tree import FilePath, holds_table, option_labels

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
        label, key = tokens[0]
        if label is not None:
            return self._option(content, path, file_path, label, tokens[1:])
        assert key is not None  # a token is a label or a key
        if is_branch(content, path) and is_table_path(path) and key not in content:
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
