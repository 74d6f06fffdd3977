"""The document that `--json` prints."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from dltune.cli.output import to_json
from dltune.recipe.recipe import Recipe
from dltune.recipe.schema import flatten
from dltune.report.document import study_document
from dltune.runs.about import About, DataFacts
from dltune.runs.run import Run
from dltune.training.history import TrialRecord, TrialState


def run_of(path: str, recipe: Recipe, trials: list[TrialRecord], **about: Any) -> Run:
    stored = [dataclasses.replace(one, config=flatten(recipe.config(one.values))) for one in trials]
    about = {"command": "search", "data": DataFacts(task="classification")} | about
    return Run(path=Path(path), about=About(**about), trials=tuple(stored))


def test_keys_and_numbers(recipe: Recipe, results: list[TrialRecord]) -> None:
    document = study_document(
        run_of("runs/four", recipe, results, strategy="random", seed=7), limit=3
    )
    assert {key: document[key] for key in list(document)[:7]} == {
        "run": "runs/four",
        "command": "search",
        "strategy": "random",
        "seed": 7,
        "metric": "dev_error",
        "task": "classification",
        "trials": 16,
    }
    assert document["states"] == {"complete": 10, "diverged": 6}
    assert document["failures"] == [
        {"state": "diverged", "reason": "non-finite loss", "trials": [4, 5, 10, 13, 14, 15]}
    ]
    assert [one["trial"] for one in document["top"]] == [7, 1, 0]
    best, first = document["best"], document["top"][0]
    assert best["objective"] == best["dev_error"] == results[7].dev_error
    assert best["values"] == results[7].values
    assert best["config"]["optim.name"] == "adamw"
    assert {key: value for key, value in best.items() if key != "config"} == first


def test_without_a_complete_trial_best_is_null(recipe: Recipe, results: list[TrialRecord]) -> None:
    diverged = [one for one in results if one.state is TrialState.DIVERGED]
    document = study_document(run_of("runs/x", recipe, diverged, strategy="grid"))
    assert document["best"] is None
    assert document["top"] == []


def test_what_is_not_finite_is_null_in_json(recipe: Recipe, results: list[TrialRecord]) -> None:
    odd = [dataclasses.replace(results[7], train_loss=float("nan"), test_loss=float("inf"))]
    document = study_document(run_of("runs/x", recipe, odd))
    text = json.dumps(to_json(document), allow_nan=False)
    best = json.loads(text)["best"]
    assert best["train_loss"] is best["test_loss"] is None
    assert best["dev_loss"] == results[7].dev_loss
