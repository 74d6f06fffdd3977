"""`load_data`: from the [data] section of a recipe to a data set in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dltune.data.checks import check_values
from dltune.data.dataset import Dataset, Examples
from dltune.data.raw import RawData
from dltune.data.sources.open_source import read_source
from dltune.data.splits import split_rows
from dltune.data.targets import Targets, TargetScaling, encode_targets, fit_target_scaling
from dltune.data.transforms import encode_features
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
    raw = read_source(config, folder=folder)
    check_values(raw)
    targets = encode_targets(raw, config.task)
    splits, split_notes = split_rows(raw, targets, config)
    features = encode_features(raw.features, splits, config.normalize)
    scaling = _target_scaling(targets, splits["train"], config, raw)

    def examples(split: str) -> Examples:
        values = targets.values[splits[split]]
        return Examples(
            features=features.features[split],
            targets=values if scaling is None else scaling.apply(values),
        )

    return Dataset(
        name=raw.name,
        task=targets.task,
        train=examples("train"),
        dev=examples("dev"),
        test=examples("test") if "test" in splits else None,
        train_dev=examples("train-dev") if "train-dev" in splits else None,
        outputs=len(targets.class_names) or targets.values.shape[1],
        class_names=targets.class_names,
        feature_names=features.names,
        notes=(*targets.notes, *split_notes, *raw.notes, *features.notes),
        digest="" if (folder / config.source).is_file() else raw.digest(),
        target_mean=None if scaling is None else scaling.mean,
        target_scale=None if scaling is None else scaling.scale,
    )


def _target_scaling(
    targets: Targets, train: NDArray[np.int64], config: DataConfig, raw: RawData
) -> TargetScaling | None:
    if targets.task == "classification":
        return None
    values: NDArray[Any] = targets.values[train]
    return fit_target_scaling(values, config.normalize_target, raw=raw)
