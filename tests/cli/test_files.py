from __future__ import annotations

from pathlib import Path

import pytest

from dltune.cli.files import check_writable
from dltune.errors import UsageError


def test_a_file_in_a_folder_that_is_there_is_fine(tmp_path: Path) -> None:
    check_writable("--csv", tmp_path / "a.csv", example="a.csv")
    (tmp_path / "a.csv").write_text("from yesterday")
    check_writable("--csv", tmp_path / "a.csv", example="a.csv")
    assert (tmp_path / "a.csv").read_text() == "from yesterday"


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as refused:
        check_writable("--plot", tmp_path, example="b.png")
    assert refused.value.found == f"--plot {tmp_path} is a folder: a file is needed"
    assert refused.value.hint == f"Try --plot {tmp_path / 'b.png'}."


def test_a_folder_must_be_there(tmp_path: Path) -> None:
    path = tmp_path / "no such" / "a.csv"
    with pytest.raises(UsageError) as refused:
        check_writable("--csv", path, example="a.csv")
    assert refused.value.found == f"--csv {path}: there is no folder {path.parent}"
    assert refused.value.hint == f"Create it with mkdir -p '{path.parent}'."
