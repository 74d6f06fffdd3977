"""The targets: which task they make, their classes, and their scaling."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dltune.data.dataset import Task
from dltune.data.numbers import is_whole
from dltune.data.raw import Column, NumericColumn, RawData, TextColumn, text_from_numbers
from dltune.data.scaling import Normalize, Scaling, fit_scaling
from dltune.errors import DataError

MOST_CLASSES = 20
"""Whole numbers with more distinct values are taken as quantities (years, counts) and not as
labels; school marks, ratings and digits have fewer."""

EXAMPLES_A_CLASS = 5
"""A label is seen again and again; on average at least this often, or numbers are quantities."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Targets:
    """Targets of all examples, before scaling.

    values       int64 (n,), the class; for a regression as many zeros.
    class_names  by class; empty for regression.
    quantities   one (n,) an output, in the units of the source; empty for classification.
    """

    task: Task
    values: NDArray[np.int64]
    class_names: tuple[str, ...]
    notes: tuple[str, ...]
    quantities: tuple[NDArray[Any], ...] = ()


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
        return Targets(
            task=task,
            values=np.zeros(raw.rows, dtype=np.int64),
            class_names=(),
            notes=tuple(notes),
            quantities=tuple(_quantities(column, raw) for column in raw.targets),
        )
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
    if not is_whole(column.values):
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
            hint=f"{_check(raw)}, or add examples of another class.",
        )
    if len(names) > MOST_CLASSES and len(names) > raw.rows / 2:
        raise DataError(
            f"{raw.origin}: the target {column.name!r} has {len(names):,} classes in {raw.rows:,} "
            "rows, so that most occur once",
            hint=f"{_check(raw)}{quantities}.",
        )
    return labels.astype(np.int64), names


def _check(raw: RawData) -> str:
    return "Check data.target" if raw.target_key else "Check y"


def _quantities(column: Column, raw: RawData) -> NDArray[Any]:
    if isinstance(column, TextColumn):
        example = column.categories[column.codes[0]]
        raise DataError(
            f"{raw.origin}: the target {column.name!r} holds texts ({example!r} on "
            f"{raw.places.of([0])[0]}), and a regression needs numbers",
            hint="Try --set data.task=classification.",
        )
    values = column.values
    if values.min() == values.max():
        raise DataError(
            f"{raw.origin}: the target {column.name!r} is {values[0]:g} in all {raw.rows:,} rows: "
            "there is nothing to predict",
            hint=f"{_check(raw)}.",
        )
    return values


def fit_target_scaling(
    targets: Targets, train: NDArray[np.int64], kind: Normalize, *, raw: RawData, seed: int
) -> tuple[Scaling, ...]:
    """The scaling of each regression target by its training set.

    train  rows.
    kind   "zscore" or "none".
    seed   of the split.

    Raises DataError if an output is constant in the training set.
    """
    scalings = tuple(fit_scaling([values[train][:, None]], kind) for values in targets.quantities)
    for column, scaling in zip(raw.targets, scalings, strict=False):  # none of classes
        if scaling.constant[0]:
            raise DataError(
                f"{raw.origin}: the target {column.name!r} is constant in the {len(train):,} "
                "training examples",
                hint=f"Use another --set data.seed={seed + 1}, or more examples."
                if raw.given is None and len(train) > 1
                else "Give more examples."
                if raw.given is None
                else "Give a training set whose targets differ.",
            )
    return scalings


def scale_targets(
    targets: Targets, rows: NDArray[np.int64], scalings: tuple[Scaling, ...]
) -> NDArray[np.float32]:
    """Scaled targets of some rows, float32 (rows, outputs)."""
    return np.concatenate(
        [
            scaling.apply(values[rows][:, None])  # (rows,) -> (rows, 1)
            for values, scaling in zip(targets.quantities, scalings, strict=True)
        ],
        axis=1,
    )


def coarse_notes(raw: RawData, scalings: tuple[Scaling, ...]) -> list[str]:
    """A sentence on each target that is not scaled and loses digits in float32."""
    return [
        f"target {column.name}: float32 keeps few of the digits that tell its values apart; to "
        "scale it first: --set data.normalize_target=zscore"
        for column, scaling in zip(raw.targets, scalings, strict=False)
        if scaling.coarse[0]
    ]
