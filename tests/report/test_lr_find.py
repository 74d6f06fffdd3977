from __future__ import annotations

import csv
import dataclasses
import json
import math
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dltune.lr.curve import LrCurve, SweepEnd, exponential_rates
from dltune.lr.suggest import LrSuggestion, suggest
from dltune.report.lr_find import (
    describe_end,
    lr_find_document,
    marks,
    render_lr_find,
    write_csv,
    write_png,
)

GOLDEN = Path(__file__).parent.parent / "golden"
STEPS = 200


def curve_of(
    loss: Callable[[np.ndarray], np.ndarray], *, keep: int = STEPS, end: SweepEnd = SweepEnd.RANGE
) -> LrCurve:
    """A curve with a saw of 0.05 on it: noise that is the same everywhere and every time."""
    rates = exponential_rates(1e-7, 10.0, STEPS)
    saw = 0.05 * ((np.arange(STEPS) * 7) % 11 - 5) / 5
    losses = (loss(np.log10(rates)) + saw).tolist()
    return LrCurve(
        rates=rates[:keep],
        losses=tuple(losses[:keep]),
        initial_loss=2.3,
        end=end,
        ended_by="" if end is SweepEnd.RANGE else "loss above its start",
        ended_at=rates[keep - 1],
        low=1e-7,
        high=10.0,
        steps=STEPS,
        epochs=11.8,
        optimizer="adam",
        seed=0,
    )


def valley(x: np.ndarray) -> np.ndarray:
    return 0.2 + 2.1 / (1.0 + np.exp((x + 3.0) / 0.25)) + 2.0 * 10.0 ** (4.0 * (x + 1.0))


CURVES = {
    "ok": curve_of(valley, keep=157, end=SweepEnd.DIVERGED),
    "no_edge": curve_of(lambda x: 0.2 + 2.1 / (1.0 + np.exp((x + 3.0) / 0.25))),
    "falling": curve_of(lambda x: 0.2 + 2.1 / (1.0 + np.exp((x - 0.5) / 0.5))),
    "flat": curve_of(lambda x: np.full_like(x, 2.3)),
}


@pytest.mark.parametrize("name", CURVES)
def test_plot_and_table_at_80_columns(name: str) -> None:
    curve = CURVES[name]
    drawn = render_lr_find(curve, suggest(curve))
    assert drawn + "\n" == (GOLDEN / f"lr_find_{name}.txt").read_text(encoding="utf-8")
    assert max(map(len, drawn.split("\n"))) <= 80
    assert "\x1b" not in drawn


def test_the_plot_takes_the_width_it_is_given() -> None:
    drawn = render_lr_find(CURVES["ok"], suggest(CURVES["ok"]), width=60)
    assert max(map(len, drawn.split("\n\n")[0].split("\n"))) == 60
    wide = render_lr_find(CURVES["ok"], suggest(CURVES["ok"]), width=400)
    assert max(map(len, wide.split("\n"))) == 120


def test_drawing_twice_gives_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    """plotext keeps one figure for the whole process; nothing of it may be left over."""
    first = render_lr_find(CURVES["ok"], suggest(CURVES["ok"]))
    render_lr_find(CURVES["flat"], suggest(CURVES["flat"]))
    assert render_lr_find(CURVES["ok"], suggest(CURVES["ok"])) == first
    assert capsys.readouterr() == ("", "")


def test_marks_are_the_rates_that_there_are() -> None:
    found = suggest(CURVES["ok"])
    assert [(mark.letter, mark.rate) for mark in marks(found)] == [
        ("L", found.suggestion),
        ("S", found.steepest),
        ("M", found.minimum),
        ("E", found.edge),
    ]
    assert [mark.letter for mark in marks(suggest(CURVES["no_edge"]))] == ["L", "S", "M"]
    assert marks(suggest(CURVES["flat"])) == []


def broken() -> tuple[LrCurve, LrSuggestion]:
    curve = dataclasses.replace(
        CURVES["ok"],
        rates=(),
        losses=(),
        initial_loss=math.nan,
        end=SweepEnd.NON_FINITE,
        ended_by="non-finite loss",
        ended_at=None,
    )
    return curve, suggest(curve)


def test_nothing_to_draw_leaves_the_reason() -> None:
    curve, found = broken()
    assert render_lr_find(curve, found) == (
        "no suggestion (non-finite): non-finite loss before the first update: look for\n"
        "NaN or infinity in the data, or in what the model does with it"
    )
    assert describe_end(curve) == (
        "stopped before the first update: non-finite loss (0 of 200 losses, 11.8 epochs)"
    )


def test_few_points_are_drawn_without_a_line() -> None:
    curve = dataclasses.replace(
        CURVES["ok"],
        rates=CURVES["ok"].rates[:5],
        losses=CURVES["ok"].losses[:5],
        end=SweepEnd.NON_FINITE,
        ended_by="non-finite loss",
    )
    drawn = render_lr_find(curve, suggest(curve))
    assert drawn.count("·") == 6  # five batches, and the legend
    assert "no suggestion (short): non-finite loss after 6 updates" in drawn


def test_csv_has_a_row_a_step_in_full(tmp_path: Path) -> None:
    curve, path = CURVES["ok"], tmp_path / "curve.csv"
    found = suggest(curve)
    write_csv(path, curve, found)
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["step", "lr", "loss", "smoothed", "slope"]
    assert [int(row["step"]) for row in rows] == list(range(1, 158))
    assert tuple(float(row["lr"]) for row in rows) == curve.rates
    assert tuple(float(row["loss"]) for row in rows) == curve.losses
    assert found.smoothed is not None
    assert [float(row["smoothed"]) for row in rows] == found.smoothed.losses.tolist()
    assert [float(row["slope"]) for row in rows] == found.smoothed.slopes.tolist()


def test_csv_of_nothing_is_a_header(tmp_path: Path) -> None:
    write_csv(tmp_path / "curve.csv", *broken())
    assert (tmp_path / "curve.csv").read_text() == "step,lr,loss,smoothed,slope\n"


@pytest.mark.parametrize("name", [*CURVES, "broken"])
def test_png_is_a_png_and_pyplot_stays_out_of_it(name: str, tmp_path: Path) -> None:
    from matplotlib.image import imread

    loaded_before = "matplotlib.pyplot" in sys.modules
    curve, found = broken() if name == "broken" else (CURVES[name], suggest(CURVES[name]))
    write_png(tmp_path / "curve.png", curve, found, title="digits: adam")
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    pixels = imread(tmp_path / "curve.png")
    assert pixels.shape == (500, 800, 4)
    assert len(np.unique(pixels.reshape(-1, 4), axis=0)) > 10  # not an empty sheet
    assert ("matplotlib.pyplot" in sys.modules) == loaded_before


def test_document_has_null_where_there_is_no_number() -> None:
    full = lr_find_document(CURVES["ok"], suggest(CURVES["ok"]))
    for key in ("suggestion", "edge", "steepest", "minimum"):
        assert isinstance(full[key], float)
    assert (full["status"], full["end"]) == ("ok", "diverged")
    empty = json.loads(json.dumps(lr_find_document(CURVES["flat"], suggest(CURVES["flat"]))))
    assert [empty[key] for key in ("suggestion", "edge", "steepest", "minimum")] == [None] * 4
    assert empty["status"] == "flat"
    assert empty["reason"].startswith("the loss fell by 0.0")


def test_how_a_sweep_ended() -> None:
    assert describe_end(CURVES["flat"]) == "swept the whole range (200 of 200 losses, 11.8 epochs)"
    assert describe_end(CURVES["ok"]) == (
        "stopped at 0.19: loss above its start (157 of 200 losses, 11.8 epochs)"
    )
