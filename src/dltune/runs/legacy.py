"""Run folders of dltune 0.1.0 as it first was: without a format number, hashes or the task.

They are read for `report` and `diagnose`; a resume refuses them, since nothing tells whether data
and code are still the same.
"""

from __future__ import annotations

import dataclasses
import math
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dltune.runs.about import About, DataFacts
from dltune.training.history import TrialRecord

# On how many examples that version measured a train error at most, or as many as dev had.
MEASURED_TRAIN_EXAMPLES = 20_000

# A share of n examples is k / n. Stored in single precision it is off by 6e-8, which moves k by
# less than this up to 10^5 examples; 1 - R^2 falls so close to a whole count once in fifty errors.
COUNT_SLACK = 0.01
REGRESSION_LOSSES = ("mse", "mae", "huber")


def is_old(attributes: Mapping[str, Any]) -> bool:
    """Whether the attributes of a study are those of such a folder."""
    return "format" not in attributes


def upgraded(
    attributes: Mapping[str, Any], trials: Sequence[TrialRecord], recipe: Path
) -> tuple[About, list[TrialRecord]]:
    """The study and its trials as a folder of today would have them.

    recipe  the file, which alone says whether there is a target error.

    Raises KeyError, TypeError or ValueError where something is missing or of another kind.
    """
    strategy = attributes["strategy"]
    records = [dataclasses.replace(one, examples=_measured(one.examples)) for one in trials]
    task, inferred = _task(records)
    about = About(
        command="train" if strategy == "train" else "search",
        strategy="" if strategy == "train" else strategy,
        options=attributes["options"],
        seed=attributes["seed"],
        trials=attributes["trials"],
        metric=attributes["metric"],
        has_target=_has_target(recipe),
        data=DataFacts(task=task, task_inferred=inferred, examples=attributes["examples"]),
        format=0,
    )
    return About.from_attributes(about.to_attributes()), records


def _has_target(recipe: Path) -> bool:
    try:
        objective = tomllib.loads(recipe.read_text(encoding="utf-8")).get("objective", {})
    except (OSError, ValueError):
        return False
    return isinstance(objective, dict) and "target_error" in objective


def _measured(sizes: Mapping[str, int | None]) -> dict[str, int]:
    """On how many examples each error was measured, from the sizes of the splits."""
    known = {split: size for split, size in sizes.items() if size}
    if "train" in known:
        most = max(MEASURED_TRAIN_EXAMPLES, known.get("dev", 0))
        known["train"] = min(known["train"], most)
    return known


def _task(trials: Sequence[TrialRecord]) -> tuple[str | None, str]:
    """The task, and how it was told where no recipe says it; None if nothing tells.

    The errors of a classification are whole counts of examples.
    """
    for trial in trials:
        if trial.config.get("data.task") is not None:
            return str(trial.config["data.task"]), ""
        if trial.config.get("objective.loss") == "cross-entropy":
            return "classification", ""
        if trial.config.get("objective.loss") in REGRESSION_LOSSES:
            return "regression", ""
    errors = list(_errors(trials))
    if not errors:
        return None, ""
    if all(error <= 1 and _is_whole(error * examples) for error, examples in errors):
        return "classification", "every error is a whole count of examples"
    return "regression", "the errors are no whole counts of examples"


def _errors(trials: Iterable[TrialRecord]) -> Iterable[tuple[float, int]]:
    """The train and dev errors, each with the number of examples it was measured on."""
    for trial in trials:
        for error, split in ((trial.train_error, "train"), (trial.dev_error, "dev")):
            if error is not None and math.isfinite(error) and split in trial.examples:
                yield error, trial.examples[split]


def _is_whole(count: float) -> bool:
    return abs(count - round(count)) < COUNT_SLACK
