"""A study as one plain document: what `--json` prints."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from dltune.diagnosis.curve import read_run
from dltune.report.pruned import Saved
from dltune.report.tables import BEST_SHOWN, failures
from dltune.runs.run import Run
from dltune.training.history import TrialRecord, best_trials

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
    "examples",
)


def study_document(run: Run, *, limit: int = BEST_SHOWN) -> dict[str, Any]:
    """A study as nested plain values.

    trials    how many have ended, and `states` how many in which state.
    failures  state, reason and trial numbers of those that went wrong.
    pruned    how many trials were ended early; the epochs that were trained in all, and those that
              they would have been without.
    best      the best trial with its values and its whole config by dotted path, or None.
    top       the `limit` best without their configs, best first.
    curves    what those of a run of train say; empty for any other.
    accepted  changes of data, code or torch with which it went on.
    """
    about, top = run.about, best_trials(run.trials, limit)
    saved = Saved.of(run.trials)
    return {
        "run": str(run.path),
        "command": about.command,
        "strategy": about.strategy,
        "seed": about.seed,
        "metric": about.metric,
        "task": about.data.task,
        "trials": len(run.trials),
        "states": run.states,
        "failures": [
            {"state": state.value, "reason": reason, "trials": numbers}
            for (state, reason), numbers in failures(run.trials).items()
        ],
        "pruned": {
            "trials": sum(saved.pruned.values()),
            "trained": saved.trained,
            "whole": saved.whole,
        },
        "best": trial_document(top[0], top[0].config) if top else None,
        "top": [trial_document(one) for one in top],
        "curves": list(read_run(run)),
        "accepted": run.accepted,
    }


def trial_document(trial: TrialRecord, config: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """One trial: its number and state, what it measured, the values of the ranges, its config."""
    measured = dataclasses.asdict(trial.without_history())
    document = {
        "trial": trial.number,
        "state": trial.state.value,
        **{key: measured[key] for key in TRIAL_KEYS},
        "values": dict(trial.values),
    }
    return document if config is None else document | {"config": dict(config)}
