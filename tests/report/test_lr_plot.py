from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import numpy as np
import pytest

from dltune.lr.suggest import suggest
from dltune.report.lr_find import sweeps_of
from dltune.report.lr_plot import (
    PLOT_ROWS,
    Sweeps,
    draw_figure,
    loss_limits,
    marks,
    rate_limits,
    rate_ticks,
    render_plot,
    show_rate,
    write_png,
)
from tests.report.lr_results import CURVES, NOTHING, TIED, TWO_ROUNDS, VALLEY, result_of


def shown(name: str) -> Sweeps:
    return sweeps_of(result_of(name))


def canvas(drawn: str) -> list[str]:
    """What stands inside the frame of a plot."""
    lines = [line for line in drawn.split("\n") if line.count("│") + line.count("┤") == 2]
    return [line.rstrip("│").replace("┤", "│").partition("│")[2] for line in lines]


def test_marks_are_the_rates_that_there_are() -> None:
    found = suggest(CURVES["ok"])
    assert [(mark.letter, mark.rate) for mark in marks(shown("ok"))] == [
        ("L", found.suggestion),
        ("S", found.steepest),
        ("M", found.minimum),
        ("E", found.edge),
    ]
    assert [mark.letter for mark in marks(shown("no_edge"))] == ["L", "S", "M"]
    assert [mark.letter for mark in marks(shown("falling"))] == ["S", "M"]
    assert marks(shown("flat")) == []


def test_the_answer_is_the_trainings_where_there_were_some() -> None:
    trained = sweeps_of(result_of("ok", validation=TWO_ROUNDS))
    assert (trained.answer, trained.answer_band) == (0.016, TWO_ROUNDS.choice.band)
    nothing = sweeps_of(result_of("ok", validation=NOTHING))
    assert (nothing.answer, nothing.answer_band) == (None, None)
    found = suggest(CURVES["ok"])
    alone = Sweeps(curves=CURVES["ok"], found=found)
    assert (alone.answer, alone.answer_band) == (found.suggestion, found.band)
    assert sweeps_of(result_of("ok", decays=True)).answer == found.peak


def test_drawing_twice_gives_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    """plotext keeps one figure for the whole process; nothing of it may be left over."""
    first = render_plot(shown("ok"))
    render_plot(shown("flat"))
    assert render_plot(shown("ok")) == first
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("width", [40, 80, 120])
@pytest.mark.parametrize("name", ["ok", "five_seeds", "flat", "short"])
def test_a_plot_is_as_wide_as_it_may_be_and_has_its_rows(name: str, width: int) -> None:
    drawn = render_plot(shown(name), width=width)
    lines = drawn.split("\n")
    assert max(map(len, lines)) == width
    assert len(lines) == PLOT_ROWS
    assert "\x1b" not in drawn


def test_a_letter_stands_at_its_rate_on_the_line() -> None:
    """The swept range is 1e-4 to 10, in as many columns as there are."""
    drawn = canvas(render_plot(shown("no_edge")))
    found = suggest(CURVES["no_edge"])
    assert found.steepest is not None
    (row,) = [line for line in drawn if "S" in line]
    share = (np.log10(found.steepest) + 4) / 5
    assert row.index("S") == pytest.approx(share * (len(row) - 1), abs=1)
    # The curve is steepest at 10^-2 in the middle of its fall from 2.3 to 0.2.
    assert share == pytest.approx(0.4, abs=0.02)
    assert drawn.index(row) == pytest.approx((len(drawn) - 1) / 2, abs=1)


def test_the_band_is_a_row_along_the_lower_border() -> None:
    drawn = canvas(render_plot(shown("ok")))
    assert [("=" in line) for line in drawn] == [False] * (len(drawn) - 1) + [True]


def test_few_points_are_drawn_without_a_line() -> None:
    drawn = render_plot(shown("short"))
    assert sum(line.count("·") for line in canvas(drawn)) == 5
    assert drawn.split("\n")[0].strip() == "train loss: · one batch"


def test_a_blow_up_does_not_press_the_curve_flat() -> None:
    losses = (*VALLEY.losses[:-1], 1e9)
    curve = dataclasses.replace(VALLEY, losses=losses)
    low, high = loss_limits(Sweeps(curves=[curve], found=suggest([curve])))
    assert low == min(losses)
    assert 2.3 < high < 2.3 + 2.1  # some of the rise, less than as much again as the fall
    flat = (dataclasses.replace(CURVES["flat"][0], losses=(*CURVES["flat"][0].losses[:-1], 1e9)),)
    low, high = loss_limits(Sweeps(curves=flat, found=suggest(flat)))
    assert 2.2 < low < 2.3 < high < 2.6


def test_a_loss_that_never_moves_has_an_axis() -> None:
    flat = (dataclasses.replace(CURVES["flat"][0], losses=(2.3,) * 251),)
    still = Sweeps(curves=flat, found=suggest(flat))
    assert loss_limits(still) == pytest.approx((1.3, 3.3))
    rows = canvas(render_plot(still))
    assert [line.strip() != "" for line in rows].count(True) == 1
    assert rows[len(rows) // 2].strip() != ""


def test_an_answer_beside_the_sweep_widens_the_plot() -> None:
    result = result_of("ok", validation=TWO_ROUNDS)
    assert rate_limits(sweeps_of(result)) == (1e-4, VALLEY.rates[-1])
    far = Sweeps(curves=result.curves, found=result.suggestion, rate=5e-6, trained=True)
    assert rate_limits(far) == (5e-6, VALLEY.rates[-1])
    (row,) = [line for line in canvas(render_plot(far)) if "L" in line]
    assert row.startswith("L")
    high = Sweeps(curves=result.curves, found=result.suggestion, rate=30.0, trained=True)
    assert rate_limits(high) == (1e-4, 30.0)


@pytest.mark.parametrize(
    ("low", "high", "labels"),
    [
        pytest.param(1e-4, 10.0, ["1e-4", "1e-3", "1e-2", "1e-1", "1", "1e1"], id="both ends"),
        pytest.param(2e-5, 0.19, ["1e-4", "1e-3", "1e-2", "1e-1"], id="inside"),
        pytest.param(0.5, 20.0, ["1", "1e1"], id="two decades"),
        pytest.param(0.5, 2.0, ["0.5", "2"], id="one decade inside"),
        pytest.param(2e-6, 1e-5, ["2e-6", "1e-5"], id="one decade at the end"),
        pytest.param(0.02, 0.05, ["0.02", "0.05"], id="none"),
    ],
)
def test_ticks_say_at_least_two_rates(low: float, high: float, labels: list[str]) -> None:
    places, names = rate_ticks(low, high)
    assert names == labels
    assert 10.0 ** np.array(places) == pytest.approx([float(name) for name in labels])


def test_a_narrow_range_is_labelled_at_its_ends() -> None:
    axis, ticks = render_plot(shown("short")).split("\n")[-3:-1]
    assert axis.count("┬") == 2
    assert ticks.split() == ["1e-4", show_rate(VALLEY.rates[4])]


@pytest.mark.parametrize(
    "name", [pytest.param(one, marks=[] if one == "ok" else pytest.mark.slow) for one in CURVES]
)
def test_png_is_a_png_and_pyplot_stays_out_of_it(name: str, tmp_path: Path) -> None:
    from matplotlib.image import imread

    loaded_before = "matplotlib.pyplot" in sys.modules
    write_png(tmp_path / "curve.png", shown(name), title="digits: adam")
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    pixels = imread(tmp_path / "curve.png")
    assert pixels.shape == (600, 960, 4)
    assert len(np.unique(pixels.reshape(-1, 4), axis=0)) > 10  # not an empty sheet
    assert ("matplotlib.pyplot" in sys.modules) == loaded_before


def legend_of(shown: Sweeps) -> list[str]:
    axes = draw_figure(shown, title="a title").axes[0]
    assert axes.get_title() == "a title"
    assert axes.get_xscale() == "log"
    return [text.get_text() for text in axes.get_legend().get_texts()]


def test_the_legend_says_what_there_is() -> None:
    found = suggest(CURVES["no_edge"])
    assert found.suggestion is not None
    assert found.band is not None
    assert legend_of(shown("no_edge")) == [
        "one batch",
        "smoothed",
        f"suggestion {show_rate(found.suggestion)}",
        f"steepest {show_rate(found.steepest or 0)}",
        f"minimum {show_rate(found.minimum or 0)}",
        f"band {show_rate(found.band[0])} to {show_rate(found.band[1])}",
    ]
    assert legend_of(shown("broken")) == ["one batch"]
    several = legend_of(shown("five_seeds"))
    assert several[:2] == ["one batch, by seed", "mean, smoothed"]
    assert several[-1] == "edge, by seed"
    trained = legend_of(sweeps_of(result_of("flat", validation=TIED)))
    assert "suggestion 0.005" in trained
