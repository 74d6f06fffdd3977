"""A run folder that holds the user's models."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest


@pytest.fixture(name="folder")
def fixture_folder(tmp_path: Path) -> Path:
    shutil.copy(Path(__file__).with_name("own_nets.py"), tmp_path / "net.py")
    return tmp_path
