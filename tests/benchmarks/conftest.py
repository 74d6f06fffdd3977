"""The benchmarks' scripts find their neighbours as they do when they are run: beside themselves."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
LR_FIND = BENCHMARKS / "lr_find"
OWN = ("peers", "tasks", "oracle", "tables", "finders")  # others have modules of some names, too

Import = Callable[[str], ModuleType]


@pytest.fixture(autouse=True)
def _neighbours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    monkeypatch.syspath_prepend(BENCHMARKS / "peers")


@pytest.fixture
def lr_find(monkeypatch: pytest.MonkeyPatch, _neighbours: None) -> Iterator[Import]:
    """Imports a module as the scripts in `benchmarks/lr_find` do, and forgets it afterwards."""

    def take_own() -> dict[str, ModuleType]:
        names = [name for name in sys.modules if name.partition(".")[0] in OWN]
        return {name: sys.modules.pop(name) for name in names}

    others = take_own()
    monkeypatch.syspath_prepend(LR_FIND)
    yield importlib.import_module
    take_own()
    sys.modules.update(others)
