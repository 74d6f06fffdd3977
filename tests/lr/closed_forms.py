"""Loss curves as functions of log10 of the rate, with their rates in closed form."""

from __future__ import annotations

import math

import numpy as np

from dltune.lr.smooth import SIGMA_DECADES

DIP_WIDTH, DIP_DEPTH = 0.5, 3.0
# A Gaussian dip convolved with a Gaussian is a wider Gaussian.
SMOOTHED_WIDTH = math.hypot(DIP_WIDTH, SIGMA_DECADES)
SMOOTHED_DEPTH = DIP_DEPTH * DIP_WIDTH / SMOOTHED_WIDTH


def dip(x: np.ndarray, *, middle: float = -3.0) -> np.ndarray:
    """A Gaussian dip: 3 at low rates and at high ones, 0 at `middle`."""
    return DIP_DEPTH * (1.0 - np.exp(-0.5 * ((x - middle) / DIP_WIDTH) ** 2))


def rate_in_dip(share: float, *, side: int, middle: float = -3.0) -> float:
    """Where the smoothed dip has this share of its depth, on its left (-1) or right (1) side."""
    return float(10.0 ** (middle + side * SMOOTHED_WIDTH * math.sqrt(-2.0 * math.log(share))))


def falls(x: np.ndarray, *, middle: float = -3.0, width: float = 0.25) -> np.ndarray:
    """Logistic in log10 of the rate: 2 at low rates, 0 at high ones, steepest at `middle`."""
    return 2.0 / (1.0 + np.exp((x - middle) / width))


def valley(x: np.ndarray, *, middle: float = -3.0, wall: float = -1.0) -> np.ndarray:
    """The same, and a wall of a fourth power that reaches 2 at `wall`."""
    return falls(x, middle=middle) + 2.0 * 10.0 ** (4.0 * (x - wall))


def noise_only(x: np.ndarray) -> np.ndarray:
    """Around 2, with a standard deviation of 0.1."""
    return 2.0 + 0.1 * np.random.default_rng(1).standard_normal(len(x))
