"""The tables of a study, from the numbers of a real one."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from dltune.recipe.files import parse_recipe
from dltune.recipe.recipe import Recipe
from dltune.recipe.space import Space
from dltune.report.tables import failures, render_best, render_failures, render_winner
from dltune.training.history import TrialRecord, TrialState, best_trials


def test_best_trials_at_80_columns(
    recipe: Recipe, results: list[TrialRecord], golden: Callable[[str], str]
) -> None:
    assert render_best(results, recipe.space) == golden("best_trials.txt")


def test_a_wide_terminal_has_room_for_every_hyperparameter(
    recipe: Recipe, results: list[TrialRecord], golden: Callable[[str], str]
) -> None:
    text = render_best(results, recipe.space, width=120, limit=3)
    assert text == golden("best_trials_wide.txt")


def test_the_objective_decides_and_has_a_column(
    recipe: Recipe, results: list[TrialRecord], golden: Callable[[str], str]
) -> None:
    by_loss = [
        dataclasses.replace(one, objective=one.dev_loss) if one.objective is not None else one
        for one in results
    ]
    text = render_best(by_loss, recipe.space, metric="dev_loss", limit=3)
    assert text == golden("best_trials_by_loss.txt")


@pytest.mark.parametrize("width", [30, 40, 45, 60, 80, 100, 200])
def test_no_line_is_longer_than_the_terminal(
    recipe: Recipe, results: list[TrialRecord], width: int
) -> None:
    text = render_best(results, recipe.space, width=width)
    assert max(map(len, text.split("\n"))) <= width


def test_no_number_is_cut_however_narrow_the_terminal(
    recipe: Recipe, results: list[TrialRecord]
) -> None:
    """Columns are left out as a whole, and named."""

    def rows(width: int) -> list[list[str]]:
        lines = render_best(results, recipe.space, width=width).split("\n")
        return [line.split() for line in lines if re.match(r" *\d+ +\d+ ", line)]

    for width in range(24, 80):
        for narrow, wide in zip(rows(width), rows(200), strict=True):
            assert narrow[:3] == wide[:3]
            assert set(narrow) <= set(wide)
    assert "not shown: seconds," in render_best(results, recipe.space, width=40)


def test_the_winner_fits_a_narrow_terminal(results: list[TrialRecord]) -> None:
    best = best_trials(results)[0]
    narrow = render_winner(best, trials=len(results), width=40)
    assert max(map(len, narrow.split("\n"))) <= 40
    assert narrow.split() == render_winner(best, trials=len(results)).split()


def test_rows_are_in_order_of_the_objective(recipe: Recipe, results: list[TrialRecord]) -> None:
    rows = render_best(results, recipe.space, limit=4).split("\n")[2:6]
    numbers = [int(row.split()[1]) for row in rows]
    complete = [one for one in results if one.state is TrialState.COMPLETE]
    errors = {one.number: one.dev_error for one in complete}
    assert [errors[number] for number in numbers] == sorted(errors.values())[:4]  # type: ignore[type-var]


def test_colour_only_on_request(recipe: Recipe, results: list[TrialRecord]) -> None:
    plain = render_best(results, recipe.space)
    coloured = render_best(results, recipe.space, color=True)
    assert "\x1b[" not in plain
    assert "\x1b[32m" in coloured  # the best row is green


def test_a_study_without_a_complete_trial_has_no_table(results: list[TrialRecord]) -> None:
    diverged = [one for one in results if one.state is TrialState.DIVERGED]
    assert len(diverged) == 6
    assert render_best(diverged, Space()) == ""


def test_winner(results: list[TrialRecord], golden: Callable[[str], str]) -> None:
    best = best_trials(results)[0]
    assert render_winner(best, trials=len(results)) == golden("winner.txt")


def test_the_winner_of_one_is_not_numbered(results: list[TrialRecord]) -> None:
    best = dataclasses.replace(best_trials(results)[0], seconds=3.25, history=(), test_error=None)
    assert render_winner(best, trials=1) == (
        "best: epoch 4 of 4, 3.2 s, 1,210 parameters\ndev error 0.0557   train error 0.0436"
    )


def test_failures_at_80_columns(results: list[TrialRecord], golden: Callable[[str], str]) -> None:
    assert render_failures(results) == golden("failures.txt")


def failed(number: int, reason: str, state: TrialState = TrialState.FAILED) -> TrialRecord:
    return TrialRecord(number=number, seed=0, state=state, reason=reason)


def test_reasons_are_grouped_across_epochs_and_the_commonest_comes_first() -> None:
    results = [
        failed(0, "out of memory"),
        failed(1, "non-finite loss in epoch 1", TrialState.DIVERGED),
        failed(2, "non-finite loss in epoch 12", TrialState.DIVERGED),
    ]
    assert failures(results) == {
        (TrialState.DIVERGED, "non-finite loss"): [1, 2],
        (TrialState.FAILED, "out of memory"): [0],
    }


def test_a_long_reason_and_many_trials_keep_to_the_line() -> None:
    reason = (
        "user model: RuntimeError: mat1 and mat2 shapes\ncannot be multiplied (64x10 and 64x32)"
    )
    lines = render_failures([failed(number, reason) for number in range(100, 120)]).split("\n")
    assert lines[0] == "20 of 20 trials did not complete:"
    assert lines[1:] == [
        "  20 failed: user model: RuntimeError: mat1 and mat2 shapes cannot be multiplied",
        "    (64x10 and 64x32) (trials 100, 101, 102, 103, 104, 105, 106, 107, ...)",
    ]


def test_only_the_commonest_reasons_are_listed() -> None:
    lines = render_failures([failed(number, f"reason {number}") for number in range(7)]).split("\n")
    assert len(lines) == 7
    assert lines[-1] == "  and 2 other reasons in trials.csv"


def test_no_failures_no_text(results: list[TrialRecord]) -> None:
    assert render_failures([one for one in results if one.state is TrialState.COMPLETE]) == ""


def test_a_deciding_choice_stands_before_what_it_decides() -> None:
    recipe = parse_recipe(
        """
        data.source = "sklearn:wine"
        model.hidden = [{ int = [4, 64] }]
        model.activation = { choice = ["relu", "tanh"] }
        regularize.l2 = { log = [1e-6, 1e-1] }
        [[optim.choice]]
        name = "momentum"
        lr = { log = [1e-3, 1.0] }
        [[optim.choice]]
        name = "adam"
        lr = { log = [1e-5, 1e-1] }
        """,
        folder=Path(),
    )
    values = {
        "model.hidden.0": 8,
        "model.activation": "relu",
        "regularize.l2": 1e-3,
        "optim": "adam",
        "optim[adam].lr": 1e-2,
    }
    result = TrialRecord(
        number=0,
        seed=1,
        state=TrialState.COMPLETE,
        objective=0.1,
        best_epoch=1,
        train_error=0.1,
        dev_error=0.1,
        values=values,
    )
    header = render_best([result], recipe.space).splitlines()[1].split()
    assert header[header.index("seconds") + 1] == "optim"
