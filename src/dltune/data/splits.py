"""Which example belongs to which split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dltune.data.dataset import SPLITS
from dltune.data.raw import RawData
from dltune.data.targets import Targets
from dltune.errors import DataError
from dltune.recipe.schema import DataConfig

Rows = NDArray[np.int64]

CUT_ORDER = ("test", "dev", "train-dev")
"""The test set first, then dev: neither changes with the shares of those after it."""

LARGEST_SEED = 2**32 - 1
"""The limit of NumPy's RandomState."""


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
    ordered = {name: splits[name] for name in SPLITS if name in splits}
    how = _how(cut, raw.given, stratified, config.seed)
    sizes = ", ".join(f"{name} {len(rows):,}" for name, rows in ordered.items())
    notes = [f"{raw.name}: {raw.rows:,} examples; {sizes} ({how})"]
    notes += _absent_classes(ordered, targets)
    return ordered, tuple(notes)


def _cut(rest: Rows, count: int, labels: NDArray[Any] | None, seed: int) -> tuple[Rows, Rows]:
    """What is kept of the rows, and the `count` that are taken; both shuffled.

    The same rows as scikit-learn's `train_test_split` gives, on which studies have been started;
    importing it takes longer than everything else before the first training.
    """
    rng = np.random.RandomState(seed)
    if labels is None:
        order = rng.permutation(len(rest))
        return rest[order[count:]], rest[order[:count]]
    _, codes, members = np.unique(labels[rest], return_inverse=True, return_counts=True)
    classes = np.split(rest[np.argsort(codes, kind="stable")], np.cumsum(members)[:-1])
    kept_of_class = _shares(members, len(rest) - count, rng)
    taken_of_class = _shares(members - kept_of_class, count, rng)
    kept, taken = [], []
    for rows, keep, take in zip(classes, kept_of_class, taken_of_class, strict=True):
        order = rng.permutation(len(rows))
        kept.append(rows[order[:keep]])
        taken.append(rows[order[keep : keep + take]])
    return rng.permutation(np.concatenate(kept)), rng.permutation(np.concatenate(taken))


def _shares(members: Rows, count: int, rng: np.random.RandomState) -> Rows:
    """How many of `count` examples each class gets: its share, rounded.

    members  examples of each class.

    All shares are rounded down first. What is left goes to the classes with the largest remainders,
    one each; where not all of equal remainders can have one, chance decides.
    """
    exact = members / members.sum() * count
    given = np.floor(exact)
    remainders = exact - given
    for remainder in np.unique(remainders)[::-1]:
        left = int(count - given.sum())
        if left <= 0:
            break
        equals = np.flatnonzero(remainders == remainder)
        given[rng.choice(equals, size=min(left, len(equals)), replace=False)] += 1
    shares: Rows = given.astype(np.int64)
    return shares


def _check_counts(counts: Mapping[str, int], whole: int, origin: str) -> None:
    empty = [name for name, count in counts.items() if count == 0]
    if empty:
        options = " ".join(f"--set data.split.{name}={_round_up(1 / whole)}" for name in empty)
        filled = sum(counts.values()) + len(empty)
        raise DataError(
            f"{origin}: the {empty[0]} set is empty: its share of {whole:,} examples is less than "
            "half an example",
            hint=f"Try {options}." if filled < whole else "Give more examples.",
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
