"""Curves in closed form, and small real data."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dltune.data.device import DeviceData, to_device
from dltune.data.load import load_data
from dltune.lr.curve import LrCurve, SweepEnd, exponential_rates
from dltune.recipe.schema import DataConfig

CurveMaker = Callable[..., LrCurve]


@pytest.fixture(scope="session")
def make_curve() -> CurveMaker:
    """A curve from a function of log10 of the rate."""

    def make(
        loss: Callable[[np.ndarray], np.ndarray],
        *,
        low: float = 1e-7,
        high: float = 10.0,
        steps: int = 200,
        keep: int | None = None,
        end: SweepEnd = SweepEnd.RANGE,
        ended_by: str = "",
        **others: Any,
    ) -> LrCurve:
        rates = exponential_rates(low, high, steps)
        losses: Sequence[float] = loss(np.log10(rates)).tolist()
        curve = LrCurve(
            rates=rates[:keep],
            losses=tuple(losses[:keep]),
            initial_loss=losses[0],
            end=end,
            ended_by=ended_by,
            ended_at=rates[:keep][-1] if rates[:keep] else rates[0],
            low=low,
            high=high,
            steps=steps,
            epochs=1.0,
            optimizer="adam",
            seed=0,
        )
        return dataclasses.replace(curve, **others)

    return make


def on_cpu(source: str) -> DeviceData:
    return to_device(load_data(DataConfig(source=source), folder=Path()), torch.device("cpu"))


@pytest.fixture(scope="session")
def wine() -> DeviceData:
    """178 wines of 3 sorts, 13 measurements: classification."""
    return on_cpu("sklearn:wine")


@pytest.fixture(scope="session")
def diabetes() -> DeviceData:
    """442 patients, 10 measurements: regression."""
    return on_cpu("sklearn:diabetes")


@pytest.fixture(scope="session")
def iris() -> DeviceData:
    """150 flowers of 3 sorts, 4 measurements: classification."""
    return on_cpu("sklearn:iris")


@pytest.fixture(scope="session")
def digits() -> DeviceData:
    """1,797 images of 8x8 pixels, 10 classes."""
    return on_cpu("sklearn:digits")
