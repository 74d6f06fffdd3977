"""A search whose trials end early: the same for any split of the work, and after a kill."""

from __future__ import annotations

import csv
import dataclasses
import sys
from pathlib import Path

import pytest

from dltune.errors import RunFolderError, UsageError
from dltune.recipe.files import parse_recipe
from dltune.recipe.recipe import Recipe
from dltune.runs.checkpoint import FOLDER, RUNNING
from dltune.runs.run import load_run
from dltune.search.pruning.registry import PRUNERS
from dltune.search.study import run_study
from dltune.training.history import TrialRecord, TrialState
from tests.search.kills import kill_until_complete

# Two shapes; some rates diverge. In double precision a stack and a trial alone differ in the 15th
# digit, which changes no decision.
TEXT = """\
data.source = "sklearn:wine"
model.hidden = {choice = [[8], [6, 4]]}
model.dropout = {uniform = [0.0, 0.5]}
optim.name = "momentum"
optim.lr = {log = [1e-4, 1e4]}
objective.metric = "dev_loss"
train.epochs = 9
train.batch_size = 16
train.device = "cpu"
train.precision = "float64"
"""
TRIALS = 20


@pytest.fixture(name="recipe")
def fixture_recipe(tmp_path: Path) -> Recipe:
    return parse_recipe(TEXT, folder=tmp_path)


def search(recipe: Recipe, path: Path, **options) -> list[TrialRecord]:
    options = {"prune": "halving", "trials": TRIALS, "stack": "off"} | options
    run_study(recipe, path=path, **options)
    return list(load_run(path).trials)


def decisions(trials: list[TrialRecord]) -> list[tuple[TrialState, str, int, int | None]]:
    return [(one.state, one.reason, one.epochs, one.best_epoch) for one in trials]


def test_who_goes_on_has_trained_as_if_nobody_had_looked(recipe: Recipe, tmp_path: Path) -> None:
    """To the last bit: pauses are no part of a training."""
    whole = {one.number: one for one in search(recipe, tmp_path / "whole", prune="none")}
    pruned = search(recipe, tmp_path / "pruned")
    counts = load_run(tmp_path / "pruned").states
    assert counts["complete"] <= 2
    assert counts["pruned"] >= 15
    for one in pruned:
        same = whole[one.number]
        mine, theirs = (
            [dataclasses.replace(record, seconds=0.0) for record in trial.history]
            for trial in (one, same)
        )
        assert repr(mine) == repr(theirs[: len(mine)])
        if one.state is TrialState.COMPLETE:
            alike = {"seconds": 0.0, "history": ()}
            assert dataclasses.replace(one, **alike) == dataclasses.replace(same, **alike)
        if one.state is TrialState.PRUNED:
            assert len(one.history) == one.epochs in (1, 3)
            assert one.dev_loss == min(record.dev_loss for record in one.history)
            assert one.parameters == same.parameters
            assert one.examples == {"train": 106, "curve": 106, "dev": 36}
            assert (one.test_error, one.objective) == (None, None)
    assert not (tmp_path / "pruned" / FOLDER / RUNNING).exists()


def test_a_pruned_trial_is_never_the_best(recipe: Recipe, tmp_path: Path) -> None:
    search(recipe, tmp_path / "run")
    run = load_run(tmp_path / "run")
    complete = [one for one in run.trials if one.state is TrialState.COMPLETE]
    assert run.best == min(complete, key=lambda one: one.objective)
    lines = (run.path / "trials.csv").read_text().splitlines()
    rows = {row["trial"]: row for row in csv.DictReader(lines)}
    for one in run.trials:
        assert rows[str(one.number)]["state"] == one.state
        assert rows[str(one.number)]["reason"] == one.reason
    looks = {one.reason.partition(":")[0] for one in run.trials if one.state is TrialState.PRUNED}
    assert looks == {"rung 1 of 2 (epoch 1)", "rung 2 of 2 (epoch 3)"}


SPLITS = [{"workers": 2, "stack": "off"}, {"workers": 4, "stack": 8}, {"workers": 1, "stack": 8}]


@pytest.mark.slow
@pytest.mark.parametrize("rule", sorted(PRUNERS))
def test_it_is_the_same_study_for_any_split_of_the_work(
    rule: str, recipe: Recipe, tmp_path: Path
) -> None:
    # The default of bad-start looks after three epochs.
    first = search(recipe, tmp_path / "one", prune=rule)
    assert TrialState.PRUNED in {one.state for one in first}
    for number, how in enumerate(SPLITS):
        other = search(recipe, tmp_path / f"other-{number}", prune=rule, **how)
        if rule != "median":  # whose reasons tell figures with four digits
            assert decisions(other) == decisions(first)
        for one, same in zip(first, other, strict=True):
            assert (one.state, one.epochs) == (same.state, same.epochs)
            assert one.dev_loss == pytest.approx(same.dev_loss, rel=1e-7)


def test_stacks_shrink_and_fill_again(recipe: Recipe, tmp_path: Path) -> None:
    """The same for one split in every test run, with stacks of eight."""
    assert decisions(search(recipe, tmp_path / "stacked", stack=8)) == decisions(
        search(recipe, tmp_path / "alone")
    )


def test_more_trials_are_compared_with_those_that_there_are(recipe: Recipe, tmp_path: Path) -> None:
    before = search(recipe, tmp_path / "run", trials=12)
    after = search(recipe, tmp_path / "run", prune=None, resume=True)
    assert decisions(after[:12]) == decisions(before)
    ranks = [one.reason for one in after[12:] if "rung 1" in one.reason]
    assert ranks
    assert all(" of 20, the best 6 go on" in one for one in ranks)


def test_evolution_breeds_from_ends_alone(recipe: Recipe, tmp_path: Path) -> None:
    options = {"strategy": "evolution", "options": {"population": 10}}
    with pytest.raises(UsageError, match="leaves too few trials"):
        search(recipe, tmp_path / "run", **options)
    with pytest.raises(UsageError, match="leaves too few trials"):
        search(recipe, tmp_path / "run", prune=None, prune_options={"reduction": 2}, **options)
    trials = search(recipe, tmp_path / "run", prune="bad-start", **options)
    assert {TrialState.PRUNED, TrialState.COMPLETE} <= {one.state for one in trials}


def test_rungs_are_shares_of_the_longest_training_that_there_may_be(
    recipe: Recipe, tmp_path: Path
) -> None:
    """Not of the longest that was drawn: more trials must not move them."""
    spaces = ["train.epochs=int:2:30"]
    varied = parse_recipe(TEXT, folder=tmp_path, spaces=spaces)
    trials = search(varied, tmp_path / "run", trials=6)
    looks = {one.reason.partition(":")[0] for one in trials if one.state is TrialState.PRUNED}
    assert looks
    assert looks <= {"rung 1 of 2 (epoch 3)", "rung 2 of 2 (epoch 10)"}


def test_many_are_halved_by_themselves(recipe: Recipe, tmp_path: Path) -> None:
    fast = parse_recipe(TEXT, folder=tmp_path, overrides=["train.epochs=3"])
    search(fast, tmp_path / "many", prune=None, trials=100, stack=100)
    search(fast, tmp_path / "few", prune=None, trials=8)
    many, few = (load_run(tmp_path / name).about for name in ("many", "few"))
    assert (many.pruner, many.pruner_options) == ("halving", {"reduction": 3})
    assert (few.pruner, few.pruner_options) == ("none", {})
    short = parse_recipe(TEXT, folder=tmp_path, overrides=["train.epochs=1"])
    search(short, tmp_path / "short", prune=None, trials=100, stack=100)
    assert load_run(tmp_path / "short").about.pruner == "none"


def test_what_cannot_prune_is_refused_before_a_folder_is_there(
    recipe: Recipe, tmp_path: Path
) -> None:
    short = parse_recipe(TEXT, folder=tmp_path, overrides=["train.epochs=1"])
    with pytest.raises(UsageError, match="--prune halving can end none of them"):
        search(short, tmp_path / "run")
    with pytest.raises(UsageError, match="1 trial, and it has nobody"):
        search(recipe, tmp_path / "run", trials=1)
    with pytest.raises(UsageError, match="--first-rung is not for --prune none"):
        search(recipe, tmp_path / "run", prune="none", prune_options={"first_rung": 2})
    assert not (tmp_path / "run").exists()


def test_a_resume_prunes_as_before(recipe: Recipe, tmp_path: Path) -> None:
    search(recipe, tmp_path / "run", trials=4)
    for asked, said in [
        ({"prune": "median"}, "--prune halving, not median"),
        ({"prune": None, "prune_options": {"reduction": 2}}, "--reduction 3, not 2"),
    ]:
        with pytest.raises(RunFolderError, match=said):
            search(recipe, tmp_path / "run", resume=True, **asked)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="kills a process group")
def test_kills_change_nothing(tmp_path: Path) -> None:
    """Whatever rung it has come to, and whatever of its files is there."""
    file, run = tmp_path / "recipe.toml", tmp_path / "cut"
    file.write_text(TEXT.replace("epochs = 9", "epochs = 50").replace("1e4]", "1e0]"))
    whole = search(parse_recipe(file.read_text(), folder=tmp_path), tmp_path / "whole", stack=8)
    delays = [0.0, 0.02, 0.1, 0.3, 0.0, 0.05, 0.2]
    options = {"prune": "halving", "trials": TRIALS, "stack": 8, "workers": 2}
    assert kill_until_complete(file, run, delays, **options) >= 3
    again = list(load_run(run).trials)
    assert decisions(again) == decisions(whole)
    assert [one.dev_loss for one in again] == [one.dev_loss for one in whole]
