"""Changing values in TOML text while comments, order and layout of all the rest stay."""

from __future__ import annotations

import copy
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import AoT, InlineTable, Item

from dltune.errors import RecipeError
from dltune.recipe.tree import FilePath

# Marks the lines of new keys until they are moved to their place; a recipe will not contain it.
NEW_LINE = "dltune:new-key"


@dataclass(frozen=True)
class Commented:
    """A new value with the comment, from # on, that stands behind it."""

    value: Any
    comment: str


class Removed:
    """Stands for "take the key away" among the values of an edit."""


REMOVED = Removed()


def edit_text(text: str, changes: Mapping[FilePath, Any]) -> str:
    """TOML text with values changed, added or (REMOVED) taken away.

    text     valid TOML.
    changes  new values by keys and indices; tables on the way are made where they are missing.

    >>> print(edit_text("[optim]\\nlr = 0.1  # peak\\n", {("optim", "lr"): 0.01}), end="")
    [optim]
    lr = 0.01  # peak
    """
    if "\r\n" in text:
        return edit_text(text.replace("\r\n", "\n"), changes).replace("\n", "\r\n")
    expected = tomllib.loads(text)
    for file_path, value in changes.items():
        set_in_table(expected, file_path, value)
    if repr(expected) == repr(tomllib.loads(text)):  # to which 1 and true are not the same
        return text  # tomlkit reads letter by letter: for 10 MB of comments it takes a minute
    try:
        edited = _edit_in_place(text, changes)
        if tomllib.loads(edited) == expected:
            return edited
    except (tomllib.TOMLDecodeError, TOMLKitError):
        pass
    # Layouts that tomlkit cannot edit in place (tables whose parts lie apart, mostly) lose their
    # comments rather than their meaning.
    return tomlkit.dumps(expected)


def _edit_in_place(text: str, changes: Mapping[FilePath, Any]) -> str:
    document = tomlkit.parse(text)
    for file_path, value in changes.items():
        _set_in_document(document, file_path, value)
    return _settle_new_lines(tomlkit.dumps(document))


def set_in_table(table: dict[str, Any], file_path: FilePath, value: Any) -> None:
    """Set or remove a value in plain nested tables, in place.

    >>> table = {}
    >>> set_in_table(table, ("optim", "lr"), 0.1)
    >>> table
    {'optim': {'lr': 0.1}}
    """
    content: Any = table
    for key in file_path[:-1]:
        if isinstance(content, dict) and key not in content:
            if value is REMOVED:
                return
            content[key] = {}
        content = content[key]
        if not isinstance(content, (dict, list)):
            raise RecipeError(f"{'.'.join(map(str, file_path))}: {key} is a value, not a table")
    if value is REMOVED:
        content.pop(file_path[-1], None)
    else:
        plain = value.value if isinstance(value, Commented) else value
        content[file_path[-1]] = copy.deepcopy(plain)


def _set_in_document(document: tomlkit.TOMLDocument, file_path: FilePath, value: Any) -> None:
    container: Any = document
    for depth, key in enumerate(file_path[:-1]):
        if isinstance(key, str) and key not in container:
            # What is missing on the way becomes one new value: a section, or an inline table.
            if value is not REMOVED:
                _add_to(container, key, _nested(file_path[depth + 1 :], value), is_root=depth == 0)
            return
        if isinstance(container[key], AoT) and depth == len(file_path) - 2:
            # [[blocks]] can hold tables only; a value among them makes them a list.
            container[key] = to_item(container[key].unwrap())
        container = container[key]
    last: Any = file_path[-1]
    if value is REMOVED:
        _remove_from(container, last)
    elif isinstance(last, str) and last not in container:
        _add_to(container, last, value, is_root=len(file_path) == 1)
    else:
        container[last] = to_item(value.value if isinstance(value, Commented) else value)


def _nested(keys: FilePath, value: Any) -> Any:
    for key in reversed(keys):
        value = {key: value.value if isinstance(value, Commented) else value}
    return value


def _add_to(container: Any, key: str, value: Any, *, is_root: bool) -> None:
    comment = value.comment if isinstance(value, Commented) else ""
    plain = value.value if isinstance(value, Commented) else value
    if is_root and isinstance(plain, dict):
        section = tomlkit.table()
        for name, entry in plain.items():
            section[name] = to_item(entry)
        container[key] = section
        return
    item = to_item(plain)
    if not isinstance(container, InlineTable):
        item.comment(f"{comment} {NEW_LINE}".strip())
    container[key] = item


def _remove_from(container: Any, key: Any) -> None:
    if key in container:
        below = _comments_below(container[key])
        del container[key]
        for item in below:
            container.add(item)


def _comments_below(item: Any) -> list[Item]:
    """Comments on lines of their own at the end of [[blocks]]: they belong to what follows."""
    if not isinstance(item, AoT):
        return []
    below: list[Item] = []
    for key, entry in reversed(item[-1].value.body):
        if key is not None:
            break
        below.insert(0, entry)
    return below


def comment_at(document: Mapping[str, Any], file_path: FilePath) -> str:
    """The comment behind a value, from # on; "" if there is none.

    >>> comment_at(tomlkit.parse("lr = 0.1  # peak"), ("lr",))
    '# peak'
    """
    item: Any = document
    for key in file_path:
        if isinstance(item, Mapping) and key not in item:
            return ""
        item = item[key]
    return str(item.trivia.comment) if isinstance(item, Item) else ""


def to_item(value: Any) -> Item:
    """A TOML item for a plain value; tables become inline tables.

    >>> to_item({"log": [1e-5, 0.1]}).as_string()
    '{log = [1e-05, 0.1]}'
    """
    if isinstance(value, dict):
        table = tomlkit.inline_table()
        for key, entry in value.items():
            table[key] = to_item(entry)
        return table
    if isinstance(value, (list, tuple)):
        array = tomlkit.array()
        array.extend(to_item(entry) for entry in value)
        return array
    item: Item = tomlkit.item(value)
    return item


def _settle_new_lines(text: str) -> str:
    """Move each new key up to the last key of its table.

    tomlkit appends after everything that precedes the next header, so a new key would stand below
    the blank line and the comment that belong to the next table.
    """
    if NEW_LINE not in text:
        return text
    settled: list[str] = []
    for line in text.splitlines(keepends=True):
        if NEW_LINE not in line:
            settled.append(line)
            continue
        line = line.replace(f"# {NEW_LINE}", "").replace(NEW_LINE, "").rstrip() + "\n"
        place = len(settled)
        while place and (not settled[place - 1].strip() or settled[place - 1].startswith("#")):
            place -= 1
        settled.insert(place, line)
    return "".join(settled)
