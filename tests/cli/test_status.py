"""The status line: drawn on a terminal, out of the way of other lines, gone at the end."""

from __future__ import annotations

import io
import sys
import time

import pytest

from dltune.cli import output
from dltune.cli.status import StatusLine, columns_of, is_watched, lines_of
from tests.cli.screens import Screen

STILL = 3600.0  # seconds: no drawing but those that the test brings about


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Screen:
    """What stderr is from now on."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("LINES", "8")
    return Screen(height=8)


def test_it_says_what_is_done_and_for_how_long(
    screen: Screen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", screen)
    seconds = 0.0
    with StatusLine("loading data", clock=lambda: seconds, tick=STILL) as status:
        assert screen.lines() == ["loading data  0 s"]
        seconds = 75.0
        status.stage("epoch 3 of 20")
        assert screen.lines() == ["epoch 3 of 20  1 min 15 s"]
        status.show(lambda columns: "x" * columns + "y")
        status.draw()
        assert screen.lines() == ["x" * 39]  # the last column stays free
        status.show(lambda columns: "short")
        status.draw()
        assert screen.lines() == ["short"]
    assert screen.lines() == [""]
    assert sys.stderr is screen


def test_what_is_written_meanwhile_stands_above_it(
    screen: Screen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", screen)
    with StatusLine("training", tick=STILL) as status:
        output.say("a note")
        print("half", end="", file=sys.stderr)
        status.draw()  # not into a line that has no end yet
        assert screen.lines() == ["a note", "half"]
        print(" a line", file=sys.stderr)
        status.draw()
        assert screen.lines() == ["a note", "half a line", "training  0 s"]
    assert screen.lines() == ["a note", "half a line", ""]


def test_it_moves_though_nothing_happens(screen: Screen, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", screen)
    with StatusLine("loading data", tick=0.01):
        before = screen.getvalue().count("\r")
        deadline = time.monotonic() + 10.0
        while screen.getvalue().count("\r") < before + 3 and time.monotonic() < deadline:
            time.sleep(0.01)
    assert screen.getvalue().count("\r") > before + 3


@pytest.mark.parametrize("kind", ["dumb", "unknown"])
def test_nothing_is_drawn_where_nobody_watches(
    kind: str, screen: Screen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", kind)
    for stream in (screen, io.StringIO()):
        monkeypatch.setattr(sys, "stderr", stream)
        assert not is_watched(stream)
        with StatusLine("loading data", tick=STILL) as status:
            status.stage("training")
            status.draw()
            assert not status.is_drawn
        assert stream.getvalue() == ""


def test_columns(screen: Screen, monkeypatch: pytest.MonkeyPatch) -> None:
    assert columns_of(screen) == 40
    monkeypatch.setenv("COLUMNS", "wide")
    assert columns_of(screen) == 80


@pytest.mark.parametrize("columns", [40, 60, 80])
def test_notes_fit_a_terminal(
    columns: int, screen: Screen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("COLUMNS", str(columns))
    note = "digits: 1,797 examples; train 1,079, dev 359, test 359 (stratified, seed 0), and more"
    output.say(note)
    assert max(map(len, screen.lines())) <= columns
    assert " ".join(screen.getvalue().split()) == note


BLOCK = ["", "one", "two", "three"]  # the first line is free, as in `StatusLine`


def test_several_lines_stand_below_the_cursor(
    screen: Screen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", screen)
    seconds = 0.0
    with StatusLine("loading data", clock=lambda: seconds, tick=STILL) as status:
        status.show(lambda columns: "\n".join(BLOCK))
        status.draw()
        assert (screen.lines(), screen.row, screen.column) == (BLOCK, 0, 0)
        seconds = 1.0
        print("a note", file=sys.stderr)
        assert screen.lines() == ["a note", *BLOCK]  # at once, not at the next tick
        print("half", end="", file=sys.stderr)
        status.draw()
        assert screen.lines() == ["a note", "half"]
        print(" a line", file=sys.stderr)
        status.draw()
        above = ["a note", "half a line"]
        assert screen.lines() == [*above, *BLOCK]
        screen.write("^Cby another way\n")  # by a signal's handler, past the stream
        status.draw()
        above.append("^Cby another way")
        assert screen.lines() == [*above, *BLOCK]
        seconds = 2.0
        status.stage("short")
        assert screen.lines() == [*above, "short  2 s"]
        status.show(lambda columns: "\n".join(BLOCK))
        status.draw()
        assert screen.lines() == [*above, *BLOCK]
    assert screen.lines() == [*above, ""]


def test_several_lines_can_be_kept(screen: Screen, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", screen)
    with StatusLine("loading data", clock=lambda: 0.0, tick=STILL) as status:
        status.show(lambda columns: "\n".join(BLOCK))
        print("half", end="", file=sys.stderr)
        status.keep("writing")
        assert screen.lines() == ["half", *BLOCK, "writing  0 s"]
        output.say("done")
        status.keep("nothing to keep")
    assert screen.lines() == ["half", *BLOCK, "done", ""]


def test_no_more_lines_than_the_terminal_has(
    screen: Screen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", screen)
    assert lines_of(screen) == 8
    with StatusLine("", tick=STILL) as status:
        status.show(lambda columns: "\n".join(map(str, range(20))))
        status.draw()
        status.draw()
        assert screen.lines() == list(map(str, range(7)))
        monkeypatch.setenv("LINES", "5")  # as after a resize: what comes back would be too high
        output.say("a note")
        assert screen.lines() == ["a note", ""]
        status.draw()
        assert screen.lines() == ["a note", *map(str, range(4))]
    monkeypatch.setenv("LINES", "high")
    assert lines_of(screen) == 24
