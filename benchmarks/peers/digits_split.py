"""The digits in three fixed, stratified splits (0.6, 0.2, 0.2), for both sides of the benchmark."""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split


def load() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Features (n, 64), pixels from 0 to 16, and targets (n,), digits from 0 to 9."""
    features, targets = load_digits(return_X_y=True)
    rest, test = train_test_split(
        np.arange(len(targets)), test_size=0.2, random_state=0, stratify=targets
    )
    train, dev = train_test_split(rest, test_size=0.25, random_state=0, stratify=targets[rest])
    rows = {"train": train, "dev": dev, "test": test}
    return {name: (features[chosen], targets[chosen]) for name, chosen in rows.items()}
