"""Which example belongs to which split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dltune.data.raw import RawData
from dltune.data.targets import Targets
from dltune.errors import DataError
from dltune.recipe.schema import DataConfig

Rows = NDArray[np.int64]

CUT_ORDER = ("test", "dev", "train-dev")
"""The test set first, then dev: neither changes with the shares of those after it."""

SHOWN_ORDER = ("train", "dev", "test", "train-dev")

LARGEST_SEED = 2**32 - 1
"""scikit-learn's limit, which is that of NumPy's RandomState."""


def split_rows(
    raw: RawData, targets: Targets, config: DataConfig
) -> tuple[dict[str, Rows], tuple[str, ...]]:
    """Rows of every split, and notes on their sizes.

    Shares are of all examples, or of the training set that the source gives; sizes are rounded to
    the nearest example. Splits that the source gives are kept, missing ones are cut from train:
    shuffled with `data.seed`, and for classes with the shares of the classes kept
    (`data.split.stratify`). A share of 0 makes no split.

    Raises DataError if a split would be empty or a class is too small to be stratified.
    """
    if config.seed > LARGEST_SEED:
        raise DataError(
            f"data.seed = {config.seed}: must be at most {LARGEST_SEED}",
            hint="Try --set data.seed=0.",
        )
    given = dict(raw.given) if raw.given is not None else {}
    rest = given.pop("train", np.arange(raw.rows, dtype=np.int64))
    whole = len(rest)
    stratified = targets.task == "classification" and config.split.stratify
    labels = targets.values if stratified else None
    shares = {
        "test": config.split.test,
        "dev": config.split.dev,
        "train-dev": config.split.train_dev,
    }
    splits = dict(given)
    cut = [name for name in CUT_ORDER if name not in given and shares[name] > 0]
    counts = {name: round(shares[name] * whole) for name in cut}
    _check_counts(counts, whole, raw.origin)
    for name in cut:
        if labels is not None:
            _check_classes(labels[rest], counts[name], name, targets.class_names, raw.origin)
        rest, splits[name] = _cut(rest, counts[name], labels, config.seed)
    splits["train"] = rest
    ordered = {name: splits[name] for name in SHOWN_ORDER if name in splits}
    how = _how(cut, raw.given, stratified, config.seed)
    sizes = ", ".join(f"{name} {len(rows):,}" for name, rows in ordered.items())
    notes = [f"{raw.name}: {raw.rows:,} examples; {sizes} ({how})"]
    notes += _absent_classes(ordered, targets)
    return ordered, tuple(notes)


def _cut(rest: Rows, count: int, labels: NDArray[Any] | None, seed: int) -> tuple[Rows, Rows]:
    from sklearn.model_selection import train_test_split

    kept, taken = train_test_split(
        rest,
        test_size=count,
        random_state=seed,
        stratify=None if labels is None else labels[rest],
    )
    return kept, taken


def _check_counts(counts: Mapping[str, int], whole: int, origin: str) -> None:
    for name, count in counts.items():
        if count == 0:
            raise DataError(
                f"{origin}: the {name} set is empty: its share of {whole:,} examples is less than "
                "half an example",
                hint=f"Try --set data.split.{name}={_round_up(1 / whole)}.",
            )
    if sum(counts.values()) >= whole:
        taken = ", ".join(f"{name} {count:,}" for name, count in counts.items())
        raise DataError(
            f"{origin}: {whole:,} examples leave none to train on after {taken}",
            hint="Give smaller shares in data.split, or more examples.",
        )


def _round_up(share: float) -> str:
    return f"{np.ceil(share * 1000) / 1000:g}"


def _check_classes(
    labels: NDArray[Any], count: int, split: str, names: Sequence[str], origin: str
) -> None:
    """What a stratified cut needs: two examples of each class, one for either side."""
    members = np.bincount(labels, minlength=len(names))
    present = np.flatnonzero(members)
    smallest = present[np.argmin(members[present])]
    no_stratify = "--set data.split.stratify=false"
    if members[smallest] < 2:
        raise DataError(
            f"{origin}: the class {names[smallest]!r} has too few examples for a stratified split: "
            f"{members[smallest]} is left when the {split} set is cut, and 2 are needed",
            hint=f"Add examples, take the class out, or try {no_stratify}.",
        )
    for side, size in ((split, count), ("training", len(labels) - count)):
        if size < len(present):
            raise DataError(
                f"{origin}: a {side} set of {size:,} cannot hold an example of each of "
                f"{len(present):,} classes, as a stratified split must",
                hint=f"Give it a larger share, or try {no_stratify}.",
            )


def _how(cut: Sequence[str], given: Mapping[str, Rows] | None, stratified: bool, seed: int) -> str:
    cutting = f"stratified, seed {seed}" if stratified else f"seed {seed}"
    if given is None:
        return cutting
    if not cut:
        return "as given"
    return f"{' and '.join(given)} as given; {' and '.join(cut)} cut from train, {cutting}"


def _absent_classes(splits: Mapping[str, Rows], targets: Targets) -> list[str]:
    if targets.task == "regression":
        return []
    notes = []
    trained = set(np.unique(targets.values[splits["train"]]).tolist())
    for name, rows in splits.items():
        unseen = sorted(set(np.unique(targets.values[rows]).tolist()) - trained)
        if unseen:
            classes = ", ".join(repr(targets.class_names[label]) for label in unseen)
            notes.append(f"classes in {name} of which no example is in train: {classes}")
    return notes
