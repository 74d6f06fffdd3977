"""The digits in three fixed, stratified splits (0.6, 0.2, 0.2), for all sides of the benchmarks.

`load` and `load_images` give what dltune takes as a source, unscaled; `load_scaled` gives what
dltune makes of it, as a user scales by hand.
"""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

Split = tuple[np.ndarray, np.ndarray]


def load() -> dict[str, Split]:
    """Features (n, 64), pixels from 0 to 16, and targets (n,), digits from 0 to 9."""
    features, targets = load_digits(return_X_y=True)
    rest, test = train_test_split(
        np.arange(len(targets)), test_size=0.2, random_state=0, stratify=targets
    )
    train, dev = train_test_split(rest, test_size=0.25, random_state=0, stratify=targets[rest])
    rows = {"train": train, "dev": dev, "test": test}
    return {name: (features[chosen], targets[chosen]) for name, chosen in rows.items()}


def load_images() -> dict[str, Split]:
    """The same with features (n, 1, 8, 8)."""
    return {
        name: (features.reshape(-1, 1, 8, 8), targets)
        for name, (features, targets) in load().items()
    }


def load_scaled(*, images: bool) -> dict[str, Split]:
    """z-scored by the train split: every pixel by itself, or images by their one channel.

    Features float32 (n, 64) or (n, 1, 8, 8), targets int64 (n,).
    """
    splits = load_images() if images else load()
    pixels = splits["train"][0]
    mean, deviation = (
        pixels.mean(axis=None if images else 0),
        pixels.std(axis=None if images else 0),
    )
    deviation = np.where(deviation > 0, deviation, 1.0)  # pixels that are always white
    return {
        name: (((features - mean) / deviation).astype(np.float32), targets.astype(np.int64))
        for name, (features, targets) in splits.items()
    }
