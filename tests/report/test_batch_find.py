from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dltune.lr.batch.scale import SweptBatch, check_scaled, scale_lr, unchecked
from dltune.lr.batch.sizes import BatchRow, BatchSizes, ClimbEnd
from dltune.report.batch_find import (
    CSV_COLUMNS,
    batch_find_document,
    describe_accumulation,
    describe_end,
    describe_verdict,
    render_batch_find,
    render_table,
    write_csv,
)

TRAIN = 1079
# Milliseconds an update: 0.5, and 5 us an example.
BATCHES = (8, 16, 32, 64, 128, 256, 512, 1024, TRAIN)


def sizes(batches: tuple[int, ...] = BATCHES, **changes: Any) -> BatchSizes:
    plain: dict[str, Any] = {
        "end": ClimbEnd.TRAIN_SPLIT,
        "limit_bytes": 12 * 10**9,
        "limit_given": False,
        "counted": True,
        "device": "cpu",
        "train_examples": TRAIN,
        "own": 64,
        "accumulate": 1,
    }
    rows = tuple(
        BatchRow(
            batch=batch,
            examples=batch,
            updates_per_epoch=-(-TRAIN // batch),
            microseconds=500.0 + 5.0 * batch,
            memory_bytes=418_000 + 3_376 * batch,
        )
        for batch in batches
    )
    return BatchSizes(rows=rows, **plain | changes)


def swept(batch: int, suggestion: float | None, edge: float | None) -> SweptBatch:
    status = "ok" if suggestion else "flat"
    return SweptBatch(batch=batch, suggestion=suggestion, edge=edge, status=status)


SQRT = scale_lr(0.001, before=64, after=512, rule="sqrt")
LINEAR = scale_lr(0.1, before=64, after=512, rule="linear")
BEFORE, AFTER = swept(64, 0.0065, 0.0391), swept(1024, 0.0051, 0.0311)

SHOWN = {
    "confirmed": (
        sizes(),
        SQRT,
        check_scaled(SQRT, before=BEFORE, after=swept(512, 0.0051, 0.0311)),
    ),
    "above_edge": (
        sizes(BATCHES[:7], end=ClimbEnd.LIMIT, refused=640, refused_bytes=2_578_000,
              limit_bytes=2_500_000, limit_given=True),
        LINEAR,
        check_scaled(LINEAR, before=swept(64, 0.14, 0.81), after=swept(512, 0.12, 0.72)),
    ),
    "unchecked": (
        sizes(BATCHES[:4], end=ClimbEnd.OUT_OF_MEMORY, refused=72, counted=False, device="cuda",
              own=256, limit_bytes=None),
        scale_lr(0.01, before=256, after=64, rule="sqrt"),
        unchecked(scale_lr(0.01, before=256, after=64, rule="sqrt")),
    ),
    "stays": (
        sizes(BATCHES[:4], end=ClimbEnd.MAX_BATCH),
        scale_lr(0.01, before=64, after=64, rule="sqrt"),
        check_scaled(scale_lr(0.01, before=64, after=64, rule="sqrt"), before=BEFORE, after=BEFORE),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SHOWN)
def test_table_and_verdict_at_80_columns(name: str, golden: Callable[[str], str]) -> None:
    drawn = render_batch_find(*SHOWN[name])
    assert drawn == golden(f"batch_find_{name}.txt")
    assert max(map(len, drawn.split("\n"))) <= 80
    assert "\x1b" not in drawn


def test_a_wide_terminal_has_longer_bars() -> None:
    assert max(map(len, render_table(sizes(), width=60).split("\n"))) == 60
    assert max(map(len, render_batch_find(sizes(), None, None, width=400).split("\n"))) == 120


def test_no_batch_that_fits() -> None:
    found = sizes((), end=ClimbEnd.LIMIT, refused=8, refused_bytes=445_008, limit_bytes=100_000,
                  limit_given=True)  # fmt: skip
    assert render_batch_find(found, None, None) == (
        "not even the smallest batch fits: 8 would take 445 kB, over 100 kB, what\n--memory allows"
    )


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        pytest.param({}, "the whole train split", id="split"),
        pytest.param({"end": ClimbEnd.MAX_BATCH}, "where --max-batch ends it", id="max"),
        pytest.param(
            {"end": ClimbEnd.OUT_OF_MEMORY, "refused": 2048}, "2048 ran out of memory", id="memory"
        ),
        pytest.param(
            {"end": ClimbEnd.LIMIT, "refused": 2048, "refused_bytes": 13_200_000_000},
            "2048 would take 13.2 GB, over 12 GB, a quarter of what is free",
            id="limit",
        ),
        pytest.param(
            {"end": ClimbEnd.LIMIT, "refused": 96, "refused_bytes": 13 * 10**9, "counted": False},
            "96 would take 13 GB, over 12 GB, what is free",
            id="limit of a device",
        ),
    ],
)
def test_why_it_ended(changes: dict[str, Any], text: str) -> None:
    assert describe_end(sizes(**changes)) == text


def test_accumulation_is_named_where_memory_ends() -> None:
    refused: dict[str, Any] = {"end": ClimbEnd.LIMIT, "refused": 96, "refused_bytes": 1}
    assert describe_accumulation(sizes()) == []
    assert describe_accumulation(sizes((), **refused)) == []
    assert describe_accumulation(sizes(BATCHES[:4], **refused)) == [
        "train.accumulate makes larger updates of batches that fit: 2 for 128 examples"
    ]
    assert describe_accumulation(sizes(BATCHES[:4], own=200, **refused)) == [
        "the recipe's batch of 200 does not fit: --set train.batch_size=64 "
        "--set train.accumulate=4 makes updates of as many examples, for its own rate"
    ]


@pytest.mark.parametrize(
    ("own", "before", "after", "text"),
    [
        pytest.param(
            0.001, BEFORE, AFTER,
            "confirmed: the rate 0.004 is within a factor 2 of what the sweep at batch 1024 "
            "suggests, 0.0051, and it lies below the edge 0.031",
            id="confirmed",
        ),
        pytest.param(
            0.001, BEFORE, swept(1024, 0.0051, None),
            "confirmed: the rate 0.004 is within a factor 2 of what the sweep at batch 1024 "
            "suggests, 0.0051, and no edge was seen",
            id="confirmed without an edge",
        ),
        pytest.param(
            0.01, BEFORE, AFTER,
            "above-edge: the rate 0.04 lies above the stability edge 0.031 at batch 1024; take "
            "0.0051",
            id="above the edge",
        ),
        pytest.param(
            0.01, BEFORE, swept(1024, None, 0.031),
            "above-edge: the rate 0.04 lies above the stability edge 0.031 at batch 1024",
            id="above the edge, without a suggestion",
        ),
        pytest.param(
            0.005, BEFORE, AFTER,
            "high: the rate 0.02 is 3.9 times what the sweep at batch 1024 suggests; take 0.0051",
            id="high",
        ),
        pytest.param(
            0.005, swept(64, 0.001, 0.006), AFTER,
            "high: the rate 0.02 is 3.9 times what the sweep at batch 1024 suggests; take 0.0051. "
            "Not by the rule alone: the recipe's own rate 0.005 is 5 times what the sweep at batch "
            "64 suggests",
            id="high before",
        ),
        pytest.param(
            1e-4, BEFORE, AFTER,
            "low: the rate 0.0004 is 0.078 times what the sweep at batch 1024 suggests; take "
            "0.0051. Not by the rule alone: the recipe's own rate 0.0001 is 0.015 times what the "
            "sweep at batch 64 suggests",
            id="low",
        ),
        pytest.param(
            0.001, BEFORE, swept(1024, None, None),
            "unclear: the sweep at batch 1024 supports no rate (flat), so 0.004 is not confirmed",
            id="unclear",
        ),
        pytest.param(
            0.005, None, AFTER,
            "high: the rate 0.02 is 3.9 times what the sweep at batch 1024 suggests; take 0.0051",
            id="nothing to compare with",
        ),
    ],
)  # fmt: skip
def test_verdicts_in_words(
    own: float, before: SweptBatch | None, after: SweptBatch, text: str
) -> None:
    scaled = scale_lr(own, before=64, after=1024, rule="sqrt")
    assert describe_verdict(scaled, check_scaled(scaled, before=before, after=after)) == text


def test_an_unchecked_rate_says_so() -> None:
    assert describe_verdict(SQRT, unchecked(SQRT)) == (
        "unchecked: no sweep says whether training is stable at 0.0028"
    )


def test_the_csv_has_a_row_a_batch(tmp_path: Path) -> None:
    path = tmp_path / "batch_find.csv"
    write_csv(path, sizes().rows)
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == CSV_COLUMNS
    assert [int(row["batch"]) for row in rows] == list(BATCHES)
    assert float(rows[3]["microseconds"]) == 500.0 + 5.0 * 64
    assert float(rows[3]["examples_per_second"]) == 64e6 / 820.0
    write_csv(path, ())
    assert path.read_text() == ",".join(CSV_COLUMNS) + "\n"


def test_the_document_is_json() -> None:
    document = json.loads(json.dumps(batch_find_document(*SHOWN["confirmed"]), allow_nan=False))
    assert (document["recommended"], document["largest"]) == (512, TRAIN)
    assert (document["lr"], document["verdict"]) == (0.0028, "confirmed")
    assert document["scaling"] == {
        "rule": "sqrt",
        "factor": 8.0,
        "before": 0.001,
        "after": 0.0028,
        "ratio": 8.0**0.5,
    }
    assert document["sweeps"]["after"] == {
        "batch": 512,
        "suggestion": 0.0051,
        "edge": 0.0311,
        "status": "ok",
    }
    assert [row["batch"] for row in document["batches"]] == list(BATCHES)


def test_the_document_of_nothing() -> None:
    document = batch_find_document(sizes((), end=ClimbEnd.LIMIT, refused=8), None, None)
    absent = ("recommended", "largest", "lr", "verdict", "scaling", "sweeps")
    assert [document[name] for name in absent] == [None] * len(absent)
    assert document["batches"] == []
