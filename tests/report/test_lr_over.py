from __future__ import annotations

import csv
import dataclasses
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dltune.cli.output import to_json
from dltune.lr.over import OverRow
from dltune.report.lr_find import lr_find_document
from dltune.report.lr_over import (
    CSV_COLUMNS,
    over_document,
    render_over,
    write_over_csv,
    write_over_png,
)
from tests.report.lr_results import NOTHING, TIED, TWO_ROUNDS, result_of

KEY = "optim.weight_decay"


def rows_of(**values: str) -> list[OverRow]:
    return [OverRow(value=value, result=result_of(name)) for name, value in values.items()]


FINE = rows_of(ok="0", five_seeds="1e-4", no_edge="1e-2")
PARTLY = rows_of(ok="0", falling="1e-2", learned="1")
NONE = rows_of(falling="0", broken="1e-2")
TRAINED = [
    OverRow(value="constant", result=result_of("ok", validation=TWO_ROUNDS)),
    OverRow(value="cosine", result=result_of("flat", validation=TIED)),
    OverRow(value="step", result=result_of("ok", validation=NOTHING)),
]
LONG = [
    dataclasses.replace(FINE[0], value="[1024, 1024, 1024, 1024]"),
    dataclasses.replace(FINE[1], value="[8]"),
]
TABLES = {
    "lr_over_fine": (KEY, FINE),
    "lr_over_partly": (KEY, PARTLY),
    "lr_over_none": (KEY, NONE),
    "lr_over_trained": ("schedule.name", TRAINED),
    "lr_over_long": ("regularize.label_smoothing", LONG),
}


@pytest.mark.parametrize("name", TABLES)
def test_chart_and_table_at_80_columns(name: str, golden: Callable[[str], str]) -> None:
    drawn = render_over(*TABLES[name])
    assert drawn == golden(f"{name}.txt")
    assert max(map(len, drawn.split("\n"))) <= 80
    assert all(line == line.rstrip() for line in drawn.split("\n"))


def test_every_value_has_its_numbers() -> None:
    table = render_over(KEY, FINE).split("\n\n")[1].split("\n")
    assert table[0].split() == [KEY, "suggestion", "band", "edge", "steepest", "minimum"]
    assert len(set(map(len, table))) == 1  # numbers end where their title does
    assert [line.split()[0] for line in table[1:]] == ["0", "1e-4", "1e-2"]
    assert [float(line.split()[1]) for line in table[1:]] == [row.result.rate for row in FINE]
    assert table[3].split()[5] == "-"  # no edge


def test_letters_stand_where_the_axis_says() -> None:
    """The mark of a decade and the letter of a rate of that decade are in one column."""
    result = dataclasses.replace(
        FINE[0].result,
        suggestion=dataclasses.replace(
            FINE[0].result.suggestion, suggestion=0.01, band=(0.001, 0.1), edge=1.0
        ),
    )
    lines = render_over(KEY, [OverRow(value="0", result=result)]).split("\n")
    title, line, axis, names = lines[:4]
    assert title == f"{KEY}: = the band, L suggestion, E edge"
    decades = [place for place, drawn in enumerate(axis) if drawn == "┬"]
    assert [names.index(name) for name in ("1e-2", "1e-1")] == decades[:2]
    assert names.rstrip().endswith(" 1")
    # The band is that around the rate: from 5 times below, left of the first mark, to 10 above.
    assert (line.index("L"), line.rindex("="), line.index("E")) == tuple(decades)
    assert line.index("=") < decades[0]


@pytest.mark.parametrize("width", [60, 80, 120, 400])
def test_the_chart_takes_the_width_it_is_given(width: int) -> None:
    chart = render_over(KEY, FINE, width=width).split("\n\n")[0]
    assert max(map(len, chart.split("\n"))) == min(width, 120)


def test_a_refusal_says_why() -> None:
    *_, reasons = render_over(KEY, PARTLY).split("\n\n")
    assert " ".join(reasons.split("\n")[:2]).startswith(
        "1e-2: no suggestion (falling): the loss still falls at the highest rate, 10: "
    )
    *_, reasons = render_over(KEY, TRAINED).split("\n\n")
    assert reasons == "step: no suggestion: no candidate learned anything"


def test_csv_has_a_row_a_value_in_full(tmp_path: Path) -> None:
    write_over_csv(tmp_path / "over.csv", PARTLY)
    with (tmp_path / "over.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == CSV_COLUMNS
    assert [row["value"] for row in rows] == ["0", "1e-2", "1"]
    found, band = PARTLY[0].result.suggestion, PARTLY[0].result.band
    assert [float(rows[0][name]) for name in CSV_COLUMNS[1:]] == [
        found.suggestion, *(band or ()), found.edge, found.steepest, found.minimum,
    ]  # fmt: skip
    assert [rows[2][name] for name in CSV_COLUMNS[1:]] == [""] * 6


def test_document_has_what_lr_find_has_for_each_value() -> None:
    document = over_document(KEY, PARTLY)
    assert document["over"] == KEY
    for row, part in zip(PARTLY, document["values"], strict=True):
        assert part == {"value": row.value} | lr_find_document(row.result)
    assert json.dumps(to_json(document), allow_nan=False)


@pytest.mark.parametrize("name", TABLES)
def test_png_is_a_png_and_pyplot_stays_out_of_it(name: str, tmp_path: Path) -> None:
    from matplotlib.image import imread

    loaded_before = "matplotlib.pyplot" in sys.modules
    key, rows = TABLES[name]
    write_over_png(tmp_path / "over.png", key, rows, title="digits")
    pixels = imread(tmp_path / "over.png")
    assert pixels.shape[1:] == (960, 4)
    assert pixels.shape[0] == pytest.approx(120 * (1.5 + 0.5 * len(rows)), abs=1)
    assert len(np.unique(pixels.reshape(-1, 4), axis=0)) > 10
    assert ("matplotlib.pyplot" in sys.modules) == loaded_before
