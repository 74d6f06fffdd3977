"""CSV files: cells, columns, and histories that come back as they were."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dltune.errors import RunFolderError
from dltune.runs.csv_files import (
    cell,
    merge_columns,
)
from dltune.runs.history_csv import append_history, keep_history, read_history, start_history
from dltune.training.history import EpochRecord
from tests.search.made_up import record

numbers = st.floats(allow_nan=True, allow_infinity=True)
records = st.builds(
    EpochRecord,
    trial=st.integers(0, 99),
    epoch=st.integers(1, 999),
    lr=numbers,
    train_loss=numbers,
    train_error=numbers,
    dev_loss=numbers,
    dev_error=numbers,
    grad_norm=numbers,
    update_ratio=numbers,
    dead_units=st.none() | st.floats(0.0, 1.0),
    seconds=st.floats(0.0, 1e6),
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (True, "true"),
        (False, "false"),
        (12, "12"),
        (1e-05, "1e-05"),
        (0.1 + 0.2, "0.30000000000000004"),
        (math.nan, "nan"),
        (-math.inf, "-inf"),
        ([0.9, 0.999], "[0.9, 0.999]"),
        ([], "[]"),
        ("two  spaces", "two  spaces"),
        ("two\nlines", "two lines"),
    ],
)
def test_cells(value: object, text: str) -> None:
    assert cell(value) == text


@given(st.lists(records, max_size=8))
def test_histories_come_back_as_they_were(
    tmp_path_factory: pytest.TempPathFactory, some: list[EpochRecord]
) -> None:
    some = [dataclasses.replace(one, epoch=place + 1) for place, one in enumerate(some)]
    path = tmp_path_factory.mktemp("history") / "history.csv"
    start_history(path)
    append_history(path, some[:3])
    append_history(path, some[3:])
    read = [one for epochs in read_history(path).values() for one in epochs]
    # As text, because nan is not equal to itself.
    assert sorted(map(repr, read)) == sorted(map(repr, some))


def test_of_a_trial_that_was_trained_again_the_later_epochs_count(tmp_path: Path) -> None:
    path = tmp_path / "history.csv"
    start_history(path)
    append_history(path, [record(0, 1, 0.9), record(1, 1, 0.9), record(0, 2, 0.8)])
    append_history(path, [record(0, 1, 0.5)])
    before = read_history(path)
    assert [one.dev_error for one in before[0]] == [record(0, 1, 0.5).dev_error]
    keep_history(path, {0, 1})
    assert read_history(path) == before
    assert len(path.read_text().splitlines()) == 3


def test_pandas_reads_missing_values_and_nan_as_missing(tmp_path: Path) -> None:
    path = tmp_path / "history.csv"
    start_history(path)
    append_history(path, [record(0, 1, 0.5), record(0, 2, math.nan)])
    frame = pd.read_csv(path)
    assert frame["dev_error"].isna().tolist() == [False, True]
    assert frame["dead_units"].isna().all()
    assert frame["lr"].tolist() == [0.1, 0.05]


def test_half_a_line_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "history.csv"
    start_history(path)
    append_history(path, [record(0, 1, 0.5), record(1, 1, 0.25)])
    whole = path.read_text()
    for length in range(len(whole.splitlines(keepends=True)[-1]), 0, -1):
        path.write_text(whole[:-length])
        assert list(read_history(path)) == [0]
    keep_history(path, {0})
    assert path.read_text() == "".join(whole.splitlines(keepends=True)[:2])


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"trial,epoch\n\xe6\n", "'utf-8' codec can't decode byte 0xe6"),
        (b"trial,epoch\n0,1\n", "line 2: zip() argument 2 is shorter than argument 1"),
        (
            b"trial,epoch\n" + b"0,x" + b",1" * 9 + b"\n",
            "line 2: could not convert string to float",
        ),
    ],
)
def test_a_damaged_history_is_refused(content: bytes, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "history.csv"
    path.write_bytes(content)
    with pytest.raises(RunFolderError) as refused:
        read_history(path)
    assert refused.value.found.startswith(f"{path}: damaged ({problem}")
    assert refused.value.hint == (
        "Move history.csv away: the run works without the epochs of the trials so far."
    )


def test_histories_of_other_trials_go(tmp_path: Path) -> None:
    path = tmp_path / "history.csv"
    start_history(path)
    append_history(path, [record(n, epoch, 0.5) for n in range(4) for epoch in (1, 2)])
    keep_history(path, {0, 2})
    assert {n: len(epochs) for n, epochs in read_history(path).items()} == {0: 2, 2: 2}


@pytest.mark.parametrize(
    ("known", "row", "merged"),
    [
        pytest.param(["trial"], ["trial", "a.x"], ["trial", "a.x"], id="first"),
        pytest.param(["trial", "a.x", "b.x"], ["a.y"], ["trial", "a.x", "a.y", "b.x"], id="later"),
        pytest.param(["trial", "a.x"], ["c.x", "b.x"], ["trial", "a.x", "c.x", "b.x"], id="new"),
    ],
)
def test_columns_of_a_section_stay_together(
    known: list[str], row: list[str], merged: list[str]
) -> None:
    assert merge_columns(known, [dict.fromkeys(row, "")]) == tuple(merged)
