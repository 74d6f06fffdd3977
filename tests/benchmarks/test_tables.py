"""What the scripts make of their measurements."""

from __future__ import annotations

import importlib
import sys

import pytest

from benchmarks.timing import last_line, markdown_table, timed


def test_ratios_are_of_one_round_and_the_median_counts() -> None:
    script = importlib.import_module("search_against_peers")

    def run(side: str, seed: int, seconds: float, dev_errors: list[float]) -> object:
        return script.Measured(
            side=side,
            model="cnn",
            seed=seed,
            trials=len(dev_errors),
            seconds=seconds,
            dev_errors=dev_errors,
        )

    runs = [
        run("dltune", 0, 10.0, [0.3, 0.2, 0.0]),
        run("d", 0, 20.0, [0.2, 0.4]),
        run("dltune", 1, 30.0, [0.3, 0.4, 0.5]),
        run("d", 1, 30.0, [0.3, 0.5]),
        run("dltune", 2, 10.0, [0.1, 0.2, 0.3]),
        run("d", 2, 80.0, [0.1, 0.3]),
    ]
    (row,) = script.rows_of(runs, 3)
    assert (row["model"], row["peer"]) == ("CNN 16-32", "(d) Lightning + Optuna")
    assert (row["peer, trials/min"], row["dltune, trials/min"]) == (6.0, 18.0)
    assert (row["ratio"], row["of rounds"]) == (2.0, "1.00 to 8.00")
    # Over as many trials as the peer has: the third of dltune's does not count.
    assert row["trials compared"] == 2
    assert row["best dev error, dltune"] == pytest.approx(0.2)
    assert row["best dev error, peer"] == pytest.approx(0.2)
    assert row["median dev error, dltune"] == pytest.approx((0.25 + 0.35 + 0.15) / 3)


def test_the_cost_of_further_trials_leaves_the_start_out() -> None:
    script = importlib.import_module("cost_against_trials")
    rows = script.rows_of({10: [3.0, 5.0, 4.0], 30: [6.0]}, {10: 0.01, 30: 0.004})
    assert [row["ms a trial"] for row in rows] == [400.0, 200.0]
    assert [row["each further trial, ms"] for row in rows] == ["", 100.0]
    assert [row["share of the store"] for row in rows] == ["1.0%", "0.4%"]


def test_a_table() -> None:
    rows = [{"a": 0.123456, "b": "x"}, {"a": 12345.6, "b": 3}]
    assert markdown_table(rows) == "| a | b |\n| --- | --- |\n| 0.1235 | x |\n| 12,346 | 3 |"


def test_a_failed_process_ends_the_benchmark_with_what_it_printed() -> None:
    with pytest.raises(SystemExit, match=r"ended with 3:\n.*ValueError: gone") as ending:
        timed([sys.executable, "-c", "import sys\nprint('ValueError: gone')\nsys.exit(3)"])
    assert ending.value.code != 0


def test_a_process_by_the_clock() -> None:
    seconds, printed, complaints = timed([sys.executable, "-c", "print('tip')\nprint('[1]')"])
    assert seconds > 0
    assert (last_line(printed), complaints) == ([1], "")
