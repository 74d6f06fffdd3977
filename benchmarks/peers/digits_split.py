"""The digits in the splits and the scale that dltune gives them by default, as users write it.

Stratified, 0.2 for the test set and 0.2 for dev; images, z-scored by their one channel in the train
split.
"""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

HELD_OUT = 359  # 0.2 of 1,797


def load_scaled() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Features float32 (n, 1, 8, 8) and targets int64 (n,) of each split, by name."""
    images, targets = load_digits(return_X_y=True)
    rows = np.arange(len(targets))
    rest, test = train_test_split(rows, test_size=HELD_OUT, random_state=0, stratify=targets)
    train, dev = train_test_split(rest, test_size=HELD_OUT, random_state=0, stratify=targets[rest])
    scaled = (images - images[train].mean()) / images[train].std()
    features = scaled.reshape(-1, 1, 8, 8).astype(np.float32)
    splits = {"train": train, "dev": dev, "test": test}
    return {name: (features[chosen], targets[chosen]) for name, chosen in splits.items()}
