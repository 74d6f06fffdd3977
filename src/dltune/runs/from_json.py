"""From JSON back to frozen dataclasses, with every type checked.

A run folder outlives disks, editors and copies by hand; what is read from it is checked here once,
so that nothing behind it meets text where a number should be.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import json
import re
import types
import typing
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, TypeVar

T = TypeVar("T")
Check = Callable[[Any], Any]
"""Gives the value as the dataclass has it; TypeError or ValueError where it is of another kind."""

# Seeds go up to here, and nothing that is counted comes near: a longer number is damage, and float
# arithmetic with it may overflow.
LARGEST = 2**63
# Levels. Ours have five, a user's argument may have 32; Python's stack ends at about a thousand.
DEEPEST = 64
STRING, BRACKET = re.compile(r'"(?:[^"\\]|\\.)*"'), re.compile(r"[\[\]{}]")


def parse_json(text: str | bytes) -> Any:
    """The value of a JSON text; ValueError for whatever is none, too deeply nested values too.

    text  bytes are UTF-8.

    >>> parse_json(b'{"stack": 16}')
    {'stack': 16}
    """
    text = text.decode() if isinstance(text, bytes) else text
    if _depth(text) > DEEPEST:
        raise ValueError("nested too deeply")
    return json.loads(text)


def _depth(text: str) -> int:
    """How many lists and objects stand in each other; 0 where they are too few to matter."""
    if text.count("[") + text.count("{") <= DEEPEST:
        return 0
    brackets = BRACKET.findall(STRING.sub("", text))
    return max(itertools.accumulate(1 if one in "[{" else -1 for one in brackets), default=0)


def checked(kind: type[T], fields: Mapping[str, Any]) -> T:
    """The dataclass with these fields.

    Raises TypeError or ValueError, with the field, where one is missing, unknown or of another
    kind.

    >>> @dataclasses.dataclass(frozen=True)
    ... class Example:
    ...     size: int
    ...     names: tuple[str, ...] = ()
    >>> checked(Example, {"size": 3, "names": ["a"]})
    Example(size=3, names=('a',))
    >>> checked(Example, {"size": "3"})
    Traceback (most recent call last):
        ...
    TypeError: size is "3": must be a whole number
    """
    known, checks = {}, _checks(kind)  # type: ignore[arg-type]  # classes are hashable
    for name, value in fields.items():
        if name not in checks:
            raise TypeError(f"{kind.__name__} has no {_shown(name)}")
        try:
            known[name] = checks[name](value)
        except (TypeError, ValueError) as problem:
            raise type(problem)(f"{name} is {_shown(value)}: {problem}") from None
        except OverflowError:
            raise ValueError(f"{name} is {_shown(value)}: too large") from None
    return kind(**known)


@functools.cache
def _checks(kind: type[Any]) -> dict[str, Check]:
    hints = typing.get_type_hints(kind)
    return {field.name: _check_of(hints[field.name]) for field in dataclasses.fields(kind)}


def _check_of(hint: Any) -> Check:
    """What checks a value of an annotation."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return _optional(hint, arguments)
    if origin is tuple:
        return functools.partial(_tuple, _check_of(arguments[0]))
    if origin is not None and issubclass(origin, Mapping):
        return functools.partial(_mapping, *map(_check_of, arguments))
    if isinstance(hint, type) and issubclass(hint, Enum):
        return hint
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return functools.partial(_dataclass, hint)
    return {int: _whole, float: _number, bool: _bool, str: _text}.get(hint, plain)


def _optional(hint: Any, arguments: tuple[Any, ...]) -> Check:
    if set(arguments) == {int, float}:
        return _whole_or_number
    (inner,) = (one for one in arguments if one is not type(None))
    check = _check_of(inner)
    return lambda value: None if value is None else check(value)


def _whole(value: Any) -> int:
    if type(value) is not int:
        raise TypeError("must be a whole number")
    if not -LARGEST <= value < LARGEST:
        raise ValueError("must be within 64 bits")
    return value


def _number(value: Any) -> float:
    if type(value) is not float and type(value) is not int:
        raise TypeError("must be a number")
    return float(value)


def _whole_or_number(value: Any) -> int | float:
    return _whole(value) if type(value) is int else _number(value)


def _bool(value: Any) -> bool:
    if type(value) is not bool:
        raise TypeError("must be true or false")
    return value


def _text(value: Any) -> str:
    if type(value) is not str:
        raise TypeError("must be text")
    return value


def plain(value: Any) -> Any:
    """The same value, if it is one of JSON's, and its whole numbers are no longer than 64 bits."""
    kind = type(value)
    if kind in (str, float, bool, types.NoneType):
        return value
    if kind is int:
        return _whole(value)
    if kind is list:
        return [plain(item) for item in value]
    if kind is dict:
        return {key: plain(item) for key, item in value.items()}
    raise TypeError("must be a value of JSON")


def _tuple(check: Check, value: Any) -> tuple[Any, ...]:
    if type(value) not in (list, tuple):
        raise TypeError("must be a list")
    return tuple(map(check, value))


def _mapping(key_check: Check, check: Check, value: Any) -> dict[Any, Any]:
    if type(value) is not dict:
        raise TypeError("must be an object")
    return {key_check(key): check(item) for key, item in value.items()}


def _dataclass(kind: type[Any], value: Any) -> Any:
    if type(value) is not dict:
        raise TypeError("must be an object")
    return checked(kind, value)


# A message is one line.
LONGEST_SHOWN = 60


def _shown(value: Any) -> str:
    try:
        text = json.dumps(value, default=str)
    except (ValueError, RecursionError):
        return "too long to show"
    return text if len(text) <= LONGEST_SHOWN else text[:LONGEST_SHOWN] + "..."
