"""The targets: which task they make, their classes, and their scaling."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dltune.data.dataset import Task
from dltune.data.raw import Column, NumericColumn, RawData, TextColumn, text_from_numbers
from dltune.errors import DataError

MOST_CLASSES = 20
"""Whole numbers with more distinct values are taken as quantities (years, counts) and not as
labels; school marks, ratings and digits have fewer."""

EXAMPLES_A_CLASS = 5
"""A label is seen again and again; on average at least this often, or numbers are quantities."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Targets:
    """Targets of all examples, before scaling.

    values       int64 (n,), the class; or float64 (n, outputs), in the units of the source.
    class_names  by class; empty for regression.
    """

    task: Task
    values: NDArray[Any]
    class_names: tuple[str, ...]
    notes: tuple[str, ...]


def encode_targets(raw: RawData, task: Task | None) -> Targets:
    """Targets as classes or numbers.

    task  as the recipe sets it, or None. Then a source that knows its task decides; else texts make
          a classification, and so do whole numbers with at most 20 distinct values that occur at
          least 5 times on average; all others make a regression.

    Classes are numbered from 0 in their order: numbers by value, texts alphabetically,
    scikit-learn's sets as scikit-learn numbers them.

    Raises DataError for one class only, a constant target, texts in a regression.
    """
    notes = []
    if task is None:
        task, note = _infer(raw)
        notes.append(note)
    if task == "regression":
        return Targets(task=task, values=_regression(raw), class_names=(), notes=tuple(notes))
    labels, names = _classes(raw)
    return Targets(task=task, values=labels, class_names=names, notes=tuple(notes))


def _infer(raw: RawData) -> tuple[Task, str]:
    if raw.task is not None:
        return raw.task, f"task: {raw.task}, as {raw.origin} is meant"
    if len(raw.targets) > 1:
        return "regression", f"task: regression, inferred from {len(raw.targets)} targets"
    column = raw.targets[0]
    start = f"inferred from {column.name!r}:"
    if isinstance(column, TextColumn):
        classes = len(np.unique(column.codes))
        return (
            "classification",
            f"task: classification, {start} {classes:,} distinct values that are no numbers",
        )
    distinct = len(np.unique(column.values))
    if not np.all(column.values == np.floor(column.values)):
        found = f"{distinct:,} distinct numbers, not all whole"
        task: Task = "regression"
    else:
        found = f"{distinct:,} distinct whole numbers in {raw.rows:,} rows"
        labels = 1 < distinct <= MOST_CLASSES and raw.rows >= EXAMPLES_A_CLASS * distinct
        task = "classification" if labels else "regression"
    other = "regression" if task == "classification" else "classification"
    return task, f"task: {task}, {start} {found}; to change it: --set data.task={other}"


def _classes(raw: RawData) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    if len(raw.targets) > 1:
        raise DataError(
            f"data.task = 'classification': {raw.origin} has {len(raw.targets)} targets an "
            "example; a classification needs one label",
            hint="Try --set data.task=regression.",
        )
    column = raw.targets[0]
    quantities = ""
    if isinstance(column, NumericColumn):
        quantities = "; for quantities: --set data.task=regression"
        column = text_from_numbers(column.name, column.values)
    seen, labels = np.unique(column.codes, return_inverse=True)
    names = tuple(column.categories[code] for code in seen)
    if len(names) == 1:
        raise DataError(
            f"{raw.origin}: the target {column.name!r} has one class only ({names[0]!r} in all "
            f"{raw.rows:,} rows); a classification needs two",
            hint="Check data.target, or add examples of another class.",
        )
    if len(names) > MOST_CLASSES and len(names) > raw.rows / 2:
        raise DataError(
            f"{raw.origin}: the target {column.name!r} has {len(names):,} classes in {raw.rows:,} "
            "rows, so that most occur once",
            hint=f"Check data.target{quantities}.",
        )
    return labels.astype(np.int64), names


def _regression(raw: RawData) -> NDArray[np.float64]:
    return np.stack([_quantities(column, raw) for column in raw.targets], axis=1)


def _quantities(column: Column, raw: RawData) -> NDArray[np.float64]:
    if isinstance(column, TextColumn):
        example = column.categories[column.codes[0]]
        raise DataError(
            f"{raw.origin}: the target {column.name!r} holds texts ({example!r} on "
            f"{raw.places.of([0])[0]}), and a regression needs numbers",
            hint="Try --set data.task=classification.",
        )
    values = column.values.astype(np.float64)
    if values.min() == values.max():
        raise DataError(
            f"{raw.origin}: the target {column.name!r} is {values[0]:g} in all {raw.rows:,} rows: "
            "there is nothing to predict",
            hint="Check data.target.",
        )
    return values


@dataclasses.dataclass(frozen=True, kw_only=True)
class TargetScaling:
    """How targets were scaled, per output: target = scaled * scale + mean."""

    mean: NDArray[np.float64]
    scale: NDArray[np.float64]

    def apply(self, values: NDArray[np.float64]) -> NDArray[np.float32]:
        """Scaled targets, float32 (n, outputs)."""
        return ((values - self.mean) / self.scale).astype(np.float32)


def fit_target_scaling(train: NDArray[np.float64], kind: str, *, raw: RawData) -> TargetScaling:
    """The scaling of regression targets by their training set.

    train  float64 (n, outputs).
    kind   "zscore" or "none".

    zscore: mean m and standard deviation s (of the n examples, not n - 1), (y - m) / s.

    Raises DataError if an output is constant in the training set.
    """
    spread = train.max(axis=0) - train.min(axis=0)
    if not spread.all():
        name = raw.targets[int(np.argmin(spread))].name
        raise DataError(
            f"{raw.origin}: the target {name!r} is constant in the {len(train):,} "
            "training examples",
            hint="Use another --set data.seed=1, or more examples.",
        )
    if kind == "none":
        outputs = train.shape[1]
        return TargetScaling(mean=np.zeros(outputs), scale=np.ones(outputs))
    return TargetScaling(mean=train.mean(axis=0), scale=train.std(axis=0))
