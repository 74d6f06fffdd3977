"""One value as it would be typed in a TOML file, for messages."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

# Longer values are cut in messages, which should stay one line.
LONGEST_SHOWN = 120


def toml_value(value: Any) -> str:
    """The TOML text of a value on one line.

    >>> toml_value({"log": [1e-4, 0.1], "points": 5})
    '{log = [0.0001, 0.1], points = 5}'
    >>> toml_value(["relu", True, 3])
    '["relu", true, 3]'
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key} = {toml_value(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(toml_value, value)) + "]"
    return str(value)


def shown(value: Any) -> str:
    """The TOML text of a value, cut where it would fill the screen.

    >>> len(shown(list(range(1000))))
    120
    """
    text = toml_value(value)
    return text if len(text) <= LONGEST_SHOWN else text[: LONGEST_SHOWN - 3] + "..."
