"""Data sets made by a formula, for tasks that scikit-learn's bundled sets do not cover.

Each function returns `(X, y)` as a recipe's `data.source = "data.py:name"` asks for.
"""

from __future__ import annotations

import numpy as np
from sklearn.datasets import make_friedman1


def spirals() -> tuple[np.ndarray, np.ndarray]:
    """Three arms of a noisy spiral, (900, 2): no linear model comes far."""
    random = np.random.RandomState(1)
    arm = random.randint(0, 3, size=900)
    radius = random.uniform(0.2, 2.0, size=900)
    angle = 3.0 * radius + arm * 2.0 * np.pi / 3.0 + random.normal(0, 0.15, size=900)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1), arm.astype(str)


def friedman() -> tuple[np.ndarray, np.ndarray]:
    """Friedman's first regression problem, (1500, 10), five of the columns without meaning."""
    return make_friedman1(n_samples=1500, n_features=10, noise=1.0, random_state=2)


def teacher() -> tuple[np.ndarray, np.ndarray]:
    """Labels of a random tanh network on (2000, 20) normal numbers, one in ten replaced."""
    random = np.random.RandomState(3)
    inputs = random.normal(size=(2000, 20))
    hidden = np.tanh(inputs @ random.normal(size=(20, 16)) / np.sqrt(20.0) * 2.0)
    labels = (hidden @ random.normal(size=(16, 5))).argmax(axis=1)
    replaced = random.uniform(size=2000) < 0.1
    labels[replaced] = random.randint(0, 5, size=int(replaced.sum()))
    return inputs, labels.astype(str)


def sparse() -> tuple[np.ndarray, np.ndarray]:
    """Word counts of four made-up topics, (1200, 60): most columns are zero in most rows."""
    random = np.random.RandomState(4)
    topics = random.dirichlet(np.full(60, 0.15), size=4)
    labels = random.randint(0, 4, size=1200)
    mixed = 0.6 * topics[labels] + 0.4 * topics.mean(axis=0)
    counts = np.stack([random.multinomial(12, one) for one in mixed])
    return counts.astype(float), labels.astype(str)


def bars() -> tuple[np.ndarray, np.ndarray]:
    """Noisy gratings of six orientations, images (1500, 1, 12, 12)."""
    random = np.random.RandomState(5)
    labels = random.randint(0, 6, size=1500)
    angle = labels * np.pi / 6.0 + random.normal(0, 0.08, size=1500)
    phase = random.uniform(0, 2.0 * np.pi, size=1500)
    rows, columns = np.mgrid[0:12, 0:12] / 12.0
    along = np.cos(angle)[:, None, None] * rows + np.sin(angle)[:, None, None] * columns
    waves = np.sin(2.0 * np.pi * 2.5 * along + phase[:, None, None])
    return (waves + random.normal(0, 0.8, size=waves.shape))[:, None], labels.astype(str)


def tones() -> tuple[np.ndarray, np.ndarray]:
    """Series of 24 values in one column each, (1200, 24): which of five frequencies is in it."""
    random = np.random.RandomState(6)
    labels = random.randint(0, 5, size=1200)
    steps = np.arange(24)
    phase = random.uniform(0, 2.0 * np.pi, size=(1200, 1))
    waves = np.sin(2.0 * np.pi * (labels[:, None] + 2) * steps / 24.0 + phase)
    return waves + random.normal(0, 0.7, size=waves.shape), labels.astype(str)


def steps() -> tuple[np.ndarray, np.ndarray]:
    """A regression with jumps, (1000, 6)."""
    random = np.random.RandomState(7)
    inputs = random.uniform(-1.0, 1.0, size=(1000, 6))
    level = np.sign(inputs[:, 0]) + 0.5 * np.sign(inputs[:, 1] * inputs[:, 2]) + inputs[:, 3] ** 2
    return inputs, level + random.normal(0, 0.2, size=1000)
