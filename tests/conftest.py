"""What every test shares: a terminal of 80 columns without colour, and few threads."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.processes import heed_ctrl_c, no_process_left

GOLDEN = Path(__file__).parent / "golden"

# Before torch is imported anywhere: the models here are too small to share, and threads that wait
# for each other on a busy machine spin.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["COLUMNS"] = "80"
os.environ["NO_COLOR"] = "1"
for name in ("FORCE_COLOR", "PY_COLORS", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "TERMINAL_WIDTH"):
    os.environ.pop(name, None)

heed_ctrl_c()

# The same cases in every run: a suite that fails must fail again. Search for new ones with
# --hypothesis-profile=default.
settings.register_profile("same-cases", derandomize=True)
settings.load_profile("same-cases")


@pytest.fixture(autouse=True)
def processes_end() -> Iterator[None]:
    """What a test starts ends with it, also where it fails."""
    with no_process_left():
        yield


@pytest.fixture
def golden() -> Callable[[str], str]:
    """The text of a file in tests/golden, without its last newline."""
    return lambda name: (GOLDEN / name).read_text(encoding="utf-8").removesuffix("\n")
