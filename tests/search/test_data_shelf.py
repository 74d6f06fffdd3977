"""Data sets at hand: what cannot be loaded is refused again without another try."""

from __future__ import annotations

from pathlib import Path

import pytest

from dltune.errors import DataError
from dltune.recipe.schema import DataConfig
from dltune.search.data_shelf import DataShelf

LOAD = """\
from pathlib import Path
def load():
    with Path(__file__).with_name("calls").open("a") as calls:
        calls.write("x")
    raise {error}
"""
CONFIG = DataConfig(source="load.py:load")


def shelf_of(folder: Path, error: str) -> DataShelf:
    (folder / "load.py").write_text(LOAD.format(error=error))
    return DataShelf(folder)


def test_what_cannot_be_loaded_is_tried_once(tmp_path: Path) -> None:
    shelf, said = shelf_of(tmp_path, "ValueError('no bricks')"), []
    for _ in range(3):
        with pytest.raises(DataError) as refused:
            shelf.dataset(CONFIG)
        said.append((refused.value.found, refused.value.hint))
    assert len(set(said)) == 1
    assert said[0][0].startswith("load.py:load: raised ValueError: no bricks")
    assert (tmp_path / "calls").read_text() == "x"
    assert shelf.newest is None


def test_memory_that_runs_out_is_told_as_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "load.py").write_text(
        "import numpy as np\n"
        "def load():\n"
        "    X = np.broadcast_to(np.float64(1.0), (10**3, 10**13))  # 80,000 TB once it is copied\n"
        "    return X, np.arange(10**3) % 2\n"
    )
    with pytest.raises(DataError) as refused:
        DataShelf(tmp_path).dataset(CONFIG)
    said = "load.py:load: memory ran out while it was loaded: Unable to allocate "
    assert refused.value.found.startswith(said)


def test_the_newest_is_the_one_asked_for_last(tmp_path: Path) -> None:
    shelf = DataShelf(tmp_path)
    wine, iris = (DataConfig(source=f"sklearn:{name}") for name in ("wine", "iris"))
    for config in (wine, iris, wine):
        assert shelf.dataset(config) is shelf.newest
