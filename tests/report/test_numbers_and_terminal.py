"""Numbers as text, sparklines, and whether a stream gets colour."""

from __future__ import annotations

import io
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dltune.report.numbers import show_error, show_seconds, show_value
from dltune.report.terminal import BARS, render, sparkline, wants_color, width_of


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.1 + 0.2, "0.3"),
        (0.0125, "0.0125"),
        (0.0099912345, "1e-2"),
        (123.456789, "123"),
        (1e-08, "1e-8"),
        (1e30, "1e30"),
        (-0.0004567891, "-4.6e-4"),
        (math.inf, "inf"),
        (0.0, "0.0"),
        ([], "none"),
        ([0.1, 0.25], "0.1,0.25"),
    ],
)
def test_show_value(value: Any, text: str) -> None:
    assert show_value(value) == text


@given(st.floats(-1e300, 1e300, allow_subnormal=False))
def test_a_shown_float_is_short_and_right_to_5_percent(value: float) -> None:
    text = show_value(value)
    assert len(text) <= 9  # -1.2e-308
    assert float(text) == pytest.approx(value, rel=0.051)


@pytest.mark.parametrize(
    ("error", "text"), [(0.0, "0.0000"), (-0.25, "-0.2500"), (999.0, "999.0000"), (1e9, "1e9")]
)
def test_show_error(error: float, text: str) -> None:
    assert show_error(error) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(59.94, "59.9 s"), (60.0, "1 min 0 s"), (3599.0, "59 min 59 s"), (3600.0, "1 h 0 min")],
)
def test_show_seconds(seconds: float, text: str) -> None:
    assert show_seconds(seconds) == text


def test_a_long_curve_keeps_its_end() -> None:
    falling = [1.0 - index / 100 for index in range(100)]
    line = sparkline(falling, columns=10)
    assert len(line) == 10
    assert line[-1] == BARS[0]
    assert [BARS.index(bar) for bar in line] == sorted(map(BARS.index, line), reverse=True)


def test_a_curve_without_a_finite_number_is_blank() -> None:
    assert sparkline([math.nan, math.inf]) == "  "
    assert sparkline([]) == ""


@given(st.lists(st.floats(width=16), max_size=60))
def test_every_curve_has_a_line(numbers: list[float]) -> None:
    line = sparkline(numbers)
    assert len(line) == min(len(numbers), 40)
    assert set(line) <= set(BARS) | {" "}


@pytest.mark.parametrize(
    ("stream", "no_color", "term", "wanted"),
    [
        pytest.param(Terminal(), "", "xterm", True, id="terminal"),
        pytest.param(Terminal(), "1", "xterm", False, id="NO_COLOR"),
        pytest.param(Terminal(), "", "dumb", False, id="dumb terminal"),
        pytest.param(io.StringIO(), "", "xterm", False, id="pipe"),
    ],
)
def test_wants_color(
    monkeypatch: pytest.MonkeyPatch, stream: io.StringIO, no_color: str, term: str, wanted: bool
) -> None:
    monkeypatch.setenv("NO_COLOR", no_color)
    monkeypatch.setenv("TERM", term)
    assert wants_color(stream) is wanted


def test_a_pipe_is_80_columns_whatever_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "132")
    assert width_of(io.StringIO()) == 80
    assert width_of(Terminal()) == 132


def test_render_wraps_and_colours_on_request() -> None:
    assert render("one two three", width=8) == "one two\nthree"
    assert render("[bold]x[/bold]", color=True) == "\x1b[1mx\x1b[0m"
