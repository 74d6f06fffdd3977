"""What lr-find and batch-find have in common: files that can be written, and a bar."""

from __future__ import annotations

import io
import sys
import time
from pathlib import Path

import pytest

from dltune.cli.finder import check_writable, stage_bar
from dltune.cli.status import REDRAW_SECONDS
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


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_nobody_watches_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    with stage_bar() as watch:
        assert watch is None
    assert capsys.readouterr() == ("", "")


def test_on_a_terminal_the_stage_and_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = Terminal()
    monkeypatch.setattr(sys, "stderr", drawn)
    monkeypatch.setenv("TERM", "xterm")
    with stage_bar() as watch:
        assert watch is not None
        assert drawn.getvalue() == "\rloading data  0 s"
        time.sleep(REDRAW_SECONDS)
        watch("validation", 7.5, 10.0)
        assert drawn.getvalue().endswith("\rvalidation 75%  0 s")
    assert drawn.getvalue().endswith("\r" + " " * len("validation 75%  0 s") + "\r")
