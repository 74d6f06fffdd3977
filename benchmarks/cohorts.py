"""Trials and data for the benchmarks that look inside a process."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from tasks import Task

from dltune.data.device import DeviceData, to_device
from dltune.data.load import load_data
from dltune.recipe.files import parse_recipe
from dltune.search.strategies.random import proposal_generator
from dltune.training.history import Trial
from dltune.training.seeds import trial_seed

STUDY_SEED = 0
CPU = torch.device("cpu")


def make_cohort(
    task: Task,
    trials: int,
    *,
    epochs: int,
    device: torch.device = CPU,
    overrides: Sequence[str] = (),
) -> tuple[list[Trial], DeviceData]:
    """The first trials of a random search with study seed 0, and the data on a device.

    epochs     in place of the recipe's.
    overrides  of the recipe, as for `--set`.
    """
    folder = Path()
    changes = [f"train.epochs={epochs}", f"train.device={device.type}", *overrides]
    recipe = parse_recipe(task.recipe(), folder=folder, overrides=changes)
    cohort = []
    for number in range(trials):
        unit = proposal_generator(STUDY_SEED, number).random(len(recipe.space))
        values = recipe.space.from_unit(unit.tolist())
        seed = trial_seed(STUDY_SEED, number)
        cohort.append(Trial(number=number, config=recipe.config(values), seed=seed, values=values))
    data = load_data(cohort[0].config.data, folder=folder)
    return cohort, to_device(data, device)
