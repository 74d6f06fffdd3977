from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest

from dltune.cli.output import to_json
from dltune.lr.suggest import ALGORITHM
from dltune.report.lr_find import (
    CSV_COLUMNS,
    describe_end,
    lr_find_document,
    render_lr_find,
    render_sweeps,
    render_validation,
    sweeps_of,
    write_csv,
)
from tests.report.lr_results import CURVES, NOTHING, TIED, TWO_ROUNDS, VALIDATIONS, result_of

Golden = Callable[[str], str]

RENDERED = {
    **{f"lr_find_{name}": result_of(name) for name in CURVES if name != "broken"},
    "lr_find_two_rounds": result_of("five_seeds", validation=TWO_ROUNDS),
    "lr_find_tied": result_of("flat", validation=TIED),
    "lr_find_nothing": result_of("ok", validation=NOTHING),
    "lr_find_decays": result_of("ok", decays=True),
}


@pytest.mark.parametrize("name", RENDERED)
def test_plot_and_tables_at_80_columns(name: str, golden: Golden) -> None:
    drawn = render_lr_find(RENDERED[name])
    assert drawn == golden(f"{name}.txt")
    assert max(map(len, drawn.split("\n"))) <= 80
    assert "\x1b" not in drawn
    assert all(line == line.rstrip() for line in drawn.split("\n"))


def test_the_plot_takes_the_width_it_is_given() -> None:
    result = result_of("ok")
    narrow = render_lr_find(result, width=60).split("\n\n")
    assert max(map(len, narrow[0].split("\n"))) == 60
    assert max(map(len, narrow[-1].split("\n"))) <= 60
    wide = render_lr_find(result, width=400)
    assert max(map(len, wide.split("\n"))) == 120


def test_nothing_to_draw_leaves_the_reason() -> None:
    assert render_lr_find(result_of("broken")) == (
        "no suggestion (non-finite): non-finite loss before the first update: look for\n"
        "NaN or infinity in the data, or in what the model does with it"
    )


def test_the_rates_of_the_seeds_stand_beside_what_they_are_of() -> None:
    """Beside the edge always; beside the answer only where it is the sweeps' own."""
    lines = {}
    for name, validation in (("sweeps", None), ("trained", TWO_ROUNDS)):
        drawn = render_lr_find(result_of("five_seeds", validation=validation))
        lines[name] = {line[0]: line for line in drawn.split("\n") if line[:1] in ("L", "E")}
    seeds = result_of("five_seeds").suggestion.seeds
    low, high = min(one.suggestion or 9 for one in seeds), max(one.suggestion or 0 for one in seeds)
    assert low < high
    assert lines["sweeps"]["L"].endswith(f"(seeds {low:g} to {high:g})")
    assert lines["trained"]["L"].endswith("the rate to start with")
    assert lines["trained"]["E"] == lines["sweeps"]["E"]
    assert "(seeds " in lines["sweeps"]["E"]


def test_a_user_of_the_sweeps_alone_sees_their_range() -> None:
    """`render_sweeps` without more, as the Python interface calls it."""
    result = result_of("ok")
    assert render_sweeps(sweeps_of(result)) == render_lr_find(result)


def test_trainings_that_learned_nothing_take_back_the_rate_of_the_sweeps() -> None:
    result = result_of("ok", validation=NOTHING)
    assert result.suggestion.suggestion is not None
    assert (result.rate, result.band, result.search_range) == (None, None, None)
    drawn = render_lr_find(result)
    started = {line[:12].strip() for line in drawn.split("\n")}
    assert started & {"L suggestion", "= band", "range"} == set()
    assert {"S steepest", "M minimum", "E edge"} <= started
    assert drawn.endswith("\n\nno suggestion: no candidate learned anything")


def rows_of(drawn: str) -> dict[str, list[str]]:
    """The words of the candidates' rows, by rate."""
    lines = drawn.split("\n")
    return {line.split()[0]: line.split()[1:] for line in lines[3:-1]}


def test_a_row_a_candidate_and_a_column_a_round() -> None:
    drawn = render_validation(TWO_ROUNDS, epochs=20)
    lines = drawn.split("\n")
    assert [line.split() for line in lines[1:3]] == [
        ["6", "epochs", "20", "epochs"],
        ["lr", "2", "seeds", "2", "seeds"],
    ]
    assert rows_of(drawn) == {
        "untrained": ["2.3000"],
        "0.0028": ["0.5416"],
        "0.005": ["0.3300", "0.1096"],
        "0.0085": ["0.3000", "the", "recipe's", "own"],
        "0.0089": ["0.2900", "0.1087"],
        "0.016": ["0.2900", "9e-4", "<-", "suggestion"],  # (0.0011 + 0.0007) / 2
        "0.028": ["diverged"],
    }
    # Six candidates and two seeds for 0.3 of the epochs, three and two for all: 3.6 + 6.
    assert lines[-1] == "1,734 updates, 9.6 whole trainings in stacks"
    starts = {line.index("  <-") for line in lines if "  <-" in line}
    starts |= {line.index("  the recipe's") for line in lines if "  the recipe's" in line}
    assert len(starts) == 1  # words begin in one column, whatever rounds a candidate has


def test_ties_and_the_recipes_own_rate_are_named() -> None:
    drawn = render_validation(TIED, epochs=20)
    assert [line.split() for line in drawn.split("\n")[1:3]] == [
        ["20", "epochs"],
        ["lr", "1", "seed"],
    ]
    assert TIED.choice.tied == (0.005, 0.0089, 0.016, 0.028)  # 1 % of the fall is 0.022
    assert rows_of(drawn) == {
        "untrained": ["2.3000"],
        "0.005": ["0.1208", "<-", "suggestion,", "the", "recipe's", "own"],
        "0.0089": ["0.1005", "as", "good", "within", "noise"],
        "0.016": ["0.1003", "as", "good", "within", "noise"],
        "0.028": ["0.1004", "as", "good", "within", "noise"],
        "0.05": ["1.9000"],
    }
    assert drawn.split("\n")[-1] == "1,734 updates, 5.0 whole trainings"


def test_one_epoch_is_one_epoch() -> None:
    assert render_validation(NOTHING, epochs=20).split("\n")[1].split() == ["1", "epoch"]


def test_csv_has_a_row_a_seed_and_step_in_full(tmp_path: Path) -> None:
    curves, found = CURVES["five_seeds"], result_of("five_seeds").suggestion
    write_csv(tmp_path / "curve.csv", curves, found)
    with (tmp_path / "curve.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == CSV_COLUMNS
    assert CSV_COLUMNS == ("seed", "step", "lr", "loss", "mean", "smoothed", "slope")
    assert found.smoothed is not None
    for curve in curves:
        own = [row for row in rows if int(row["seed"]) == curve.seed]
        count = len(curve.losses)
        assert [int(row["step"]) for row in own] == list(range(1, count + 1))
        assert tuple(float(row["lr"]) for row in own) == curve.rates
        assert tuple(float(row["loss"]) for row in own) == curve.losses
        assert [float(row["mean"]) for row in own] == list(found.mean.losses[:count])
        assert [float(row["smoothed"]) for row in own] == found.smoothed.losses[:count].tolist()
        assert [float(row["slope"]) for row in own] == found.smoothed.slopes[:count].tolist()
    assert len(rows) == sum(len(curve.losses) for curve in curves)


@pytest.mark.parametrize("name", ["broken", "one_loss"])
def test_csv_without_a_smooth_curve(name: str, tmp_path: Path) -> None:
    write_csv(tmp_path / "curve.csv", CURVES[name], result_of(name).suggestion)
    (loss,) = CURVES[name][0].losses or (None,)
    rows = [] if loss is None else [f"0,1,0.0001,{loss!r},{loss!r},,"]
    assert (tmp_path / "curve.csv").read_text().splitlines() == [",".join(CSV_COLUMNS), *rows]


KEYS = {
    "algorithm", "suggestion", "constant", "peak", "band", "search_range", "edge", "steepest",
    "minimum", "status", "reason", "advice", "spread_decades", "seeds", "slope_per_decade", "drop",
    "noise", "initial_loss", "constant_loss", "optimizer", "low", "high", "steps", "losses",
    "epochs", "end", "ended_by", "ended_at", "validation", "updates", "seed",
}  # fmt: skip


@pytest.mark.parametrize("name", CURVES)
def test_document_has_the_same_keys_whatever_was_found(name: str) -> None:
    document = json.loads(json.dumps(to_json(lr_find_document(result_of(name))), allow_nan=False))
    assert set(document) == KEYS
    assert document["algorithm"] == ALGORITHM
    assert document["validation"] is None
    assert len(document["seeds"]) == len(CURVES[name])


def test_document_has_null_where_there_is_no_number() -> None:
    rates = ("suggestion", "constant", "peak", "edge", "steepest", "minimum")
    full = lr_find_document(result_of("ok"))
    assert all(isinstance(full[key], float) for key in rates)
    assert (full["status"], full["end"], full["losses"]) == ("ok", "diverged", 184)
    empty = lr_find_document(result_of("flat"))
    assert [empty[key] for key in (*rates, "band", "search_range")] == [None] * 8
    assert empty["status"] == "flat"
    assert empty["reason"].startswith("the loss fell by 0.0")


@pytest.mark.parametrize(
    ("result", "what"),
    [
        pytest.param(result_of("ok"), "constant", id="sweeps"),
        pytest.param(result_of("ok", decays=True), "peak", id="a schedule that decays"),
    ],
)
def test_the_suggestion_is_that_for_the_schedule(result, what: str) -> None:
    document = lr_find_document(result)
    assert document["suggestion"] == document[what] == result.rate
    assert document["constant"] != document["peak"]
    for key in ("band", "search_range"):
        low, high = document[key]
        assert low < document["suggestion"] < high
    assert document["search_range"][0] == pytest.approx(document["suggestion"] / 10)


def test_the_suggestion_is_the_trainings_where_there_were_some() -> None:
    document = lr_find_document(result_of("ok", validation=TWO_ROUNDS))
    assert document["suggestion"] == 0.016
    assert document["constant"] == result_of("ok").suggestion.suggestion != 0.016
    assert document["band"] == TWO_ROUNDS.choice.band
    assert document["search_range"][0] == pytest.approx(0.0016)
    trained = document["validation"]
    assert trained["candidates"][2] == {"lr": 0.0085, "dev_losses": ((0.28, 0.32),), "own": True}
    assert [one["share_of_epochs"] for one in trained["rounds"]] == [0.3, 1.0]
    assert (trained["updates"], trained["untrained_dev_loss"]) == (1734, 2.3)
    assert trained["trainings"] == pytest.approx(9.6)
    nothing = lr_find_document(result_of("ok", validation=NOTHING))
    assert [nothing[key] for key in ("suggestion", "band", "search_range")] == [None] * 3
    assert to_json(nothing)["validation"]["candidates"][1]["dev_losses"] == [[None]]


@pytest.mark.parametrize("name", VALIDATIONS)
def test_what_is_shown_is_what_was_chosen(name: str) -> None:
    choice, drawn = VALIDATIONS[name].choice, render_validation(VALIDATIONS[name], epochs=20)
    marked = [line for line in drawn.split("\n") if "<-" in line]
    assert len(marked) == (choice.rate is not None)
    assert all(math.isclose(float(line.split()[0]), choice.rate or 0) for line in marked)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("flat", "one seed, swept the whole range (251 of 251 losses, 11.8 epochs)"),
        ("ok", "one seed, stopped at 0.46: loss above its start (184 of 251 losses, 11.8 epochs)"),
        (
            "five_seeds",
            "5 seeds, stopped at 0.72: loss above its start (194 of 251 losses, 11.8 epochs)",
        ),
        (
            "broken",
            "one seed, stopped before the first update: non-finite loss "
            "(0 of 251 losses, 11.8 epochs)",
        ),
    ],
)
def test_how_a_sweep_ended(name: str, said: str) -> None:
    assert describe_end(CURVES[name]) == said
