"""An audit of pruning: a fair sample, trained to its end, and what it shows."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from dltune.errors import UsageError
from dltune.recipe.files import parse_recipe
from dltune.recipe.recipe import Recipe
from dltune.report.pruned import render_pruned
from dltune.runs.checkpoint import read_checkpoint
from dltune.runs.history_csv import read_history
from dltune.runs.run import load_run
from dltune.search.audit import Audit, drawn, is_audited
from dltune.search.study import run_study
from dltune.training.history import TrialRecord, TrialState

# After one epoch the slow ones, with dropout, are behind.
TEXT = """\
data.source = "sklearn:wine"
model.hidden = [8]
optim.lr = {log = [1e-4, 1e-1]}
objective.metric = "dev_loss"
train.epochs = 6
train.batch_size = 32
train.device = "cpu"
"""


@pytest.fixture(name="recipe")
def fixture_recipe(tmp_path: Path) -> Recipe:
    return parse_recipe(TEXT, folder=tmp_path)


def record(number: int, state: TrialState, objective: float | None = None, reason: str = ""):
    return TrialRecord(number=number, seed=0, state=state, objective=objective, reason=reason)


def test_all_that_were_pruned_are_as_likely() -> None:
    trials = [record(n, TrialState.PRUNED, reason="rung") for n in range(20)]
    trials += [record(20, TrialState.COMPLETE, 0.1), record(21, TrialState.FAILED)]
    seen = {one.number for seed in range(40) for one in drawn(trials, seed, 3)}
    assert seen == set(range(20))
    assert len(drawn(trials, 0, 100)) == 20
    assert drawn(trials, 0, 0) == []


def test_more_of_them_are_the_same_and_others() -> None:
    trials = {n: record(n, TrialState.PRUNED, reason="rung") for n in range(9)}
    first = drawn(trials.values(), 0, 4)
    for one in first:
        whole = record(one.number, TrialState.COMPLETE, 0.2, "audited, had been pruned at rung")
        trials[one.number] = whole
    assert drawn(trials.values(), 0, 4) == []
    more = drawn(trials.values(), 0, 6)
    assert len(more) == 2
    assert not {one.number for one in more} & {one.number for one in first}


def test_a_search_is_audited_and_a_winner_counts(recipe: Recipe, tmp_path: Path) -> None:
    path = tmp_path / "run"
    options = {"trials": 12, "stack": 12, "prune": "halving"}
    run_study(recipe, path=tmp_path / "whole", **options | {"prune": "none"})
    whole = {one.number: one for one in load_run(tmp_path / "whole").trials}
    run_study(recipe, path=path, prune_options={"reduction": 12, "first_rung": 1}, **options)
    before = load_run(path)
    assert before.states == {"complete": 1, "pruned": 11}
    end = run_study(recipe, path=path, resume=True, audit=11, stack=12)
    assert end.trained == 11
    run = load_run(path)
    assert run.states == {"complete": 12}
    for one in run.trials:
        same = whole[one.number]
        assert one.objective == same.objective
        if is_audited(one):
            assert one.reason.startswith("audited, had been pruned at rung 1 of 1 (epoch 1): rank")
    histories = read_history(path / "history.csv")
    assert {len(history) for history in histories.values()} == {6}
    assert len((path / "history.csv").read_text().splitlines()) == 1 + 12 * 6
    assert run.best is not None
    best = min(whole.values(), key=lambda one: one.objective)
    assert run.best.number == read_checkpoint(path).trial == best.number
    again = run_study(recipe, path=path, resume=True, audit=5, stack=12)
    assert again.trained == 0


def test_a_new_search_may_be_audited_at_once(recipe: Recipe, tmp_path: Path) -> None:
    """Its pruned trials have been written in the same session."""
    options = {"prune_options": {"first_rung": 1}, "stack": 12, "prune": "halving"}
    end = run_study(recipe, path=tmp_path / "run", trials=12, audit=4, **options)
    assert sum(map(is_audited, end.trials)) == 4
    run = load_run(tmp_path / "run")
    assert [one.reason for one in run.trials] == [one.reason for one in end.trials]
    assert end.audit == 4


@pytest.mark.parametrize("strategy", ["pbt", "random"])
def test_an_audit_where_nobody_is_pruned_is_refused(
    strategy: str, recipe: Recipe, tmp_path: Path
) -> None:
    """Neither a population, nor trainings of one epoch."""
    short = parse_recipe(TEXT, folder=tmp_path, overrides=["train.epochs=1"])
    given = {"pbt": recipe, "random": short}[strategy]
    with pytest.raises(UsageError, match="no trial is pruned here"):
        run_study(given, path=tmp_path / "run", trials=120, audit=3, strategy=strategy)


def test_what_an_audit_shows() -> None:
    audited = "audited, had been pruned at rung 1"
    trials = [
        record(0, TrialState.COMPLETE, 0.2),
        record(1, TrialState.COMPLETE, 0.25, audited),
        record(2, TrialState.PRUNED, reason="rung 1"),
    ]
    trials = [dataclasses.replace(one, config={"train.epochs": 3}, epochs=3) for one in trials]
    audit = Audit.of(trials)
    assert audit is not None
    assert (audit.audited, audit.pruned, audit.winner) == (1, 2, None)
    said = "audit: 1 of 2 pruned trials trained to their ends: none is better than trial 0, 0.2000"
    assert said in " ".join(render_pruned(trials).split())
    won = [*trials, record(3, TrialState.COMPLETE, 0.1, audited)]
    assert "trial 3 would have won, 0.1000 against 0.2000" in " ".join(render_pruned(won).split())
    lost = [record(0, TrialState.DIVERGED), record(1, TrialState.DIVERGED, reason=audited)]
    assert "none has come to anything" in render_pruned(lost)
    assert Audit.of(trials[::2]) is None


@pytest.mark.parametrize(("audit", "prune"), [(-1, "halving"), (3, "none")])
def test_an_audit_of_nothing_is_refused(
    audit: int, prune: str, recipe: Recipe, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="--audit-pruning"):
        run_study(recipe, path=tmp_path / "run", trials=8, audit=audit, prune=prune)
