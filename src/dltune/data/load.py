"""`load_data`: from the [data] section of a recipe to a data set in memory."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dltune.data.checks import check_scaled, check_values
from dltune.data.dataset import Dataset, Examples
from dltune.data.sources.open_source import read_source
from dltune.data.splits import split_rows
from dltune.data.targets import (
    coarse_notes,
    encode_targets,
    fit_target_scaling,
    scale_targets,
)
from dltune.data.transforms import encode_features
from dltune.errors import DataError, escaped, first_line, ran_out_of_memory
from dltune.recipe.schema import DataConfig


def load_data(config: DataConfig, *, folder: Path) -> Dataset:
    """Read, check, split and scale the data of a recipe.

    config  the [data] section.
    folder  what relative paths start from: the folder of the recipe.

    Everything is fitted on the training set only: means and scales, vocabularies.
    Whatever was inferred is a sentence in `Dataset.notes`. The same config gives the same splits.

    Raises DataError for data that cannot be read or trained on, naming row and column and what to
    type; RecipeError for a "file.py:function" that is not there.

    >>> digits = load_data(DataConfig(source="sklearn:digits"), folder=Path("."))
    >>> digits.input_shape, digits.outputs, len(digits.train), len(digits.dev)
    ((1, 8, 8), 10, 1079, 359)
    >>> digits.notes[1]
    'digits: 1,797 examples; train 1,079, dev 359, test 359 (stratified, seed 0)'
    """
    try:
        return _load(config, folder)
    except (MemoryError, RuntimeError) as error:
        if not ran_out_of_memory(error):
            raise
        raise DataError(
            f"{config.source}: memory ran out while it was loaded: {first_line(error)}",
            hint="End other programs that hold memory, or give fewer rows or columns.",
        ) from error


def _load(config: DataConfig, folder: Path) -> Dataset:
    raw = read_source(config, folder=folder)
    check_values(raw, config)
    targets = encode_targets(raw, config.task)
    splits, split_notes = split_rows(raw, targets, config)
    features = encode_features(
        raw.features, splits, config.normalize, dropped=config.drop, origin=raw.origin
    )
    scalings = fit_target_scaling(
        targets, splits["train"], config.normalize_target, raw=raw, seed=config.seed
    )
    is_regression = targets.task == "regression"
    examples = {
        split: Examples(
            features=features.features[split],
            targets=scale_targets(targets, rows, scalings)
            if is_regression
            else targets.values[rows],
        )
        for split, rows in splits.items()
    }
    check_scaled(examples, splits, raw, features.names)
    coarse = coarse_notes(raw, scalings)
    notes = (*targets.notes, *split_notes, *raw.notes, *features.notes, *coarse)
    return Dataset(
        name=raw.name,
        task=targets.task,
        train=examples["train"],
        dev=examples["dev"],
        test=examples.get("test"),
        train_dev=examples.get("train-dev"),
        outputs=len(targets.class_names) or len(targets.quantities),
        class_names=targets.class_names,
        feature_names=features.names,
        notes=tuple(map(escaped, notes)),  # names may hold escapes for the terminal
        given=tuple(raw.given or ()),
        digest="" if (folder / config.source).is_file() else raw.digest(),
        target_mean=_by_output(scaling.center for scaling in scalings) if is_regression else None,
        target_scale=_by_output(scaling.scale for scaling in scalings) if is_regression else None,
    )


def _by_output(numbers: Iterable[NDArray[np.float64]]) -> NDArray[np.float64]:
    return np.concatenate(list(numbers))
