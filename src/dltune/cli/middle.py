"""What stands in for the ranges of a recipe where one config is needed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def middle_note(chosen: Mapping[str, Any]) -> list[str]:
    """Which ranges stand at their middle, as a line to say; none if there are none.

    chosen  the values by name.

    >>> middle_note({"model.hidden": [64, 64]})
    ['ranges stand at their middle: model.hidden 64,64 (--set fixes another value)']
    """
    from dltune.recipe.toml import shown
    from dltune.report.numbers import show_value

    if not chosen:
        return []
    values = ", ".join(
        f"{name} {shown(value) if isinstance(value, dict) else show_value(value)}"
        for name, value in chosen.items()
    )
    return [f"ranges stand at their middle: {values} (--set fixes another value)"]
