from __future__ import annotations

import io
import sys

import pytest

from dltune.cli.stage_bar import stage_bar


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
        watch("sweep", 50, 200)
        watch("validation", 7.5, 10.0)
    assert "validation" in drawn.getvalue()
    assert "75%" in drawn.getvalue()
    # What it leaves is an empty line with the cursor shown.
    assert "\x1b[?25h" in drawn.getvalue().rpartition("validation")[2]
