from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dltune.data.dataset import Dataset
from dltune.data.load import load_data
from dltune.errors import DltuneError
from dltune.recipe.schema import DataConfig

Load = Callable[..., Dataset]
Refuse = Callable[..., str]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Load a source from a text, bytes, or a function that writes the file at the path it gets."""

    def load_content(content: Any = None, *, name: str = "t.csv", **config: Any) -> Dataset:
        path = tmp_path / name
        if callable(content):
            content(path)
        elif content is not None:
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        settings = {"source": name, **config}
        if settings["source"].endswith((".csv", ".tsv", ".txt", ".parquet")):
            settings.setdefault("target", "y")
        return load_data(DataConfig(**settings), folder=tmp_path)

    return load_content


@pytest.fixture
def refuse(load: Load, tmp_path: Path) -> Refuse:
    """The text of the error that loading a source raises; the folder in it is written FOLDER."""

    def refuse_content(content: Any = None, **settings: Any) -> str:
        with pytest.raises(DltuneError) as caught:
            load(content, **settings)
        return str(caught.value).replace(str(tmp_path), "FOLDER")

    return refuse_content


@pytest.fixture
def table() -> Callable[..., str]:
    """CSV text with the columns a, b and y, whose cells may be given by row."""

    def make(
        rows: int = 40,
        *,
        a: Callable[[int], object] = lambda row: row * row,
        b: Callable[[int], object] = lambda row: row % 7,
        y: Callable[[int], object] = lambda row: row * 1.5,
    ) -> str:
        return "a,b,y\n" + "".join(f"{a(row)},{b(row)},{y(row)}\n" for row in range(rows))

    return make
