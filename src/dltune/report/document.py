"""A study as one plain document: what `--json` prints."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dltune.report.tables import BEST_SHOWN, failures
from dltune.runs.records import StoredTrial, best_trials
from dltune.training.history import TrialResult

TRIAL_KEYS = (
    "objective",
    "best_epoch",
    "train_error",
    "dev_error",
    "test_error",
    "train_dev_error",
    "train_loss",
    "dev_loss",
    "test_loss",
    "epochs",
    "parameters",
    "seconds",
    "seed",
)


def study_document(
    run: Path,
    trials: Sequence[StoredTrial],
    *,
    strategy: str,
    seed: int,
    metric: str,
    limit: int = BEST_SHOWN,
) -> dict[str, Any]:
    """A study as nested plain values.

    run, strategy, seed, metric  as given.
    trials    how many have ended, and `states` how many in which state.
    failures  state, reason and trial numbers of those that did not complete.
    best      the best trial with its values and its whole config by dotted path, or None.
    top       the `limit` best without their configs, best first.
    """
    results = [one.result for one in trials]
    top = best_trials(results, limit)
    configs = {one.result.number: one.config for one in trials}
    return {
        "run": str(run),
        "strategy": strategy,
        "seed": seed,
        "metric": metric,
        "trials": len(trials),
        "states": dict(Counter(one.state.value for one in results)),
        "failures": [
            {"state": state.value, "reason": reason, "trials": numbers}
            for (state, reason), numbers in failures(results).items()
        ],
        "best": trial_document(top[0], configs[top[0].number]) if top else None,
        "top": [trial_document(one) for one in top],
    }


def trial_document(result: TrialResult, config: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """One trial: its number and state, what it measured, the values of the ranges, its config."""
    measured = dataclasses.asdict(dataclasses.replace(result, history=()))
    document = {
        "trial": result.number,
        "state": result.state.value,
        **{key: measured[key] for key in TRIAL_KEYS},
        "values": dict(result.values),
    }
    return document if config is None else document | {"config": dict(config)}
