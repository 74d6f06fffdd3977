"""A real study to report on: 16 random trials of a conditional space on the digits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dltune.recipe.files import parse_recipe
from dltune.recipe.recipe import Recipe
from dltune.training.history import EpochRecord, TrialRecord, TrialState

STUDY = json.loads((Path(__file__).parent / "digits_study.json").read_text())


def result_from(stored: dict[str, Any]) -> TrialRecord:
    history = tuple(EpochRecord(**record) for record in stored["history"])
    return TrialRecord(**stored | {"state": TrialState(stored["state"]), "history": history})


@pytest.fixture(scope="session")
def recipe() -> Recipe:
    return parse_recipe(STUDY["recipe"], folder=Path())


@pytest.fixture(scope="session")
def results() -> list[TrialRecord]:
    return [result_from(stored) for stored in STUDY["trials"]]
