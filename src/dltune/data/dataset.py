"""What the rest of the program trains on: the splits of one data set, as arrays in memory."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Task = Literal["classification", "regression"]

SPLITS = ("train", "dev", "test", "train-dev")
"""The splits as a recipe spells them, in the order in which they are shown."""

SPLIT_FIELDS = tuple(split.replace("-", "_") for split in SPLITS)
"""The same as names in Python: the fields of `Dataset`."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Examples:
    """The examples of one split.

    features  float32 (n, *input_shape), scaled by the statistics of the training set.
    targets   int64 (n,), a class from 0; or float32 (n, outputs), in scaled units.

    >>> two = Examples(features=np.zeros((2, 3), np.float32), targets=np.array([0, 1]))
    >>> len(two), two.features.shape
    (2, (2, 3))
    """

    features: NDArray[np.float32]
    targets: NDArray[Any]

    def __post_init__(self) -> None:
        if len(self.features) != len(self.targets):
            raise ValueError(f"{len(self.features)} features but {len(self.targets)} targets")

    def __len__(self) -> int:
        return len(self.features)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Dataset:
    """A data set, split and scaled, and everything that was inferred or found on the way.

    name           short name for messages, such as "digits".
    task           "classification" or "regression".
    test           None where the recipe asks for no test set; `train_dev` likewise.
    outputs        number of classes, or of regression targets.
    class_names    the classes by number; empty for regression.
    feature_names  one name a column for flat data; empty for images and other shaped data.
    notes          sentences to show the user: sizes, the task, categories, constant columns.
    given          the splits that came with the data; the others were cut from train.
    digest         SHA-256 of what a function or a package gave; empty for a file.
    target_mean    float64 (outputs,): target = scaled * target_scale + target_mean. None for
                   classification; 0 and 1 where the recipe does not scale the target.
    """

    name: str
    task: Task
    train: Examples
    dev: Examples
    test: Examples | None
    train_dev: Examples | None
    outputs: int
    class_names: tuple[str, ...] = ()
    feature_names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    given: tuple[str, ...] = ()
    digest: str = ""
    target_mean: NDArray[np.float64] | None = None
    target_scale: NDArray[np.float64] | None = None

    @property
    def examples(self) -> dict[str, int | None]:
        """The number of examples in each split; None for a split that is not there."""
        splits = {name: getattr(self, name) for name in SPLIT_FIELDS}
        return {name: None if split is None else len(split) for name, split in splits.items()}

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one example: (columns,) or (channels, height, width)."""
        return tuple(int(size) for size in self.train.features.shape[1:])
