"""Small real data for the training tests, loaded once."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from dltune.data.device import DeviceData, to_device
from dltune.data.load import load_data
from dltune.recipe.schema import DataConfig

CPU = torch.device("cpu")


@pytest.fixture(scope="session")
def wine() -> DeviceData:
    """178 wines of 3 sorts, 13 measurements: classification."""
    return to_device(load_data(DataConfig(source="sklearn:wine"), folder=Path()), CPU)


@pytest.fixture(scope="session")
def diabetes() -> DeviceData:
    """442 patients, 10 measurements: regression."""
    return to_device(load_data(DataConfig(source="sklearn:diabetes"), folder=Path()), CPU)


@pytest.fixture(scope="session")
def digits() -> DeviceData:
    """1,797 images of 8x8 pixels, 10 classes."""
    return to_device(load_data(DataConfig(source="sklearn:digits"), folder=Path()), CPU)
