"""Whether a run classifies or regresses: by its recipe, else by its errors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

# A share of n examples is k / n. Stored in single precision it is off by 6e-8, which moves k by
# less than this up to 10^5 examples; 1 - R^2 falls so close to a whole count once in fifty errors.
COUNT_SLACK = 0.01
REGRESSION_LOSSES = ("mse", "mae", "huber")


def task_of(
    recipe: Mapping[str, Any], measured: Iterable[tuple[float, int]]
) -> tuple[str | None, str]:
    """The task, and how it was told where the recipe does not say it; None if nothing tells.

    recipe    the table of a recipe: `data.task`, or else `objective.loss`, names the task.
    measured  errors, each with the number of examples it is of: those of a classification are
              whole counts of examples.

    >>> task_of({}, [(0.25, 40), (0.1, 30)])
    ('classification', 'every error is a whole count of examples')
    >>> task_of({}, [(0.2513, 40)])[0]
    'regression'
    >>> task_of({"data": {"task": "regression"}}, [(0.25, 40)])
    ('regression', '')
    """
    named = section(recipe, "data").get("task")
    if named in ("classification", "regression"):
        return named, ""
    loss = section(recipe, "objective").get("loss")
    losses = loss.get("choice", []) if isinstance(loss, dict) else [loss]
    if losses == ["cross-entropy"]:
        return "classification", ""
    if losses and all(one in REGRESSION_LOSSES for one in losses):
        return "regression", ""
    pairs = list(measured)
    if not pairs:
        return None, ""
    if all(error <= 1 and _is_count(error * examples) for error, examples in pairs):
        return "classification", "every error is a whole count of examples"
    return "regression", "the errors are no whole counts of examples"


def _is_count(number: float) -> bool:
    return abs(number - round(number)) < COUNT_SLACK


def section(recipe: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A section of a recipe; empty if it is not there.

    >>> section({"data": {"task": "regression"}}, "train")
    {}
    """
    found = recipe.get(name, {})
    return found if isinstance(found, dict) else {}
