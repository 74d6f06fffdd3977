"""Population-based training: every trial is a training whose settings change, and nothing else."""

from __future__ import annotations

import dataclasses
import math
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from dltune.data.device import to_device
from dltune.data.load import load_data
from dltune.errors import RunFolderError, UsageError
from dltune.recipe.files import load_recipe, parse_recipe
from dltune.recipe.recipe import Recipe
from dltune.recipe.replay import replay_of
from dltune.runs.checkpoint import FOLDER, RUNNING
from dltune.runs.run import load_run
from dltune.search.executors.protocol import WHOLE, TrialPaused
from dltune.search.population import Population
from dltune.search.strategies.pbt import PopulationBased
from dltune.search.study import run_study
from dltune.training.history import Trial, TrialRecord, TrialState
from dltune.training.loop import train_cohort
from tests.search.kills import kill_until_complete
from tests.search.pruning.curves import record_of

TEXT = """\
data.source = "sklearn:wine"
model.hidden = [8]
model.dropout = {uniform = [0.0, 0.5]}
optim.lr = {log = [1e-4, 1e-1]}
regularize.l2 = {log = [1e-6, 1e-2]}
objective.metric = "dev_loss"
train.epochs = 6
train.batch_size = 16
train.device = "cpu"
train.precision = "float64"
"""
TRIALS = 10


@pytest.fixture(name="recipe")
def fixture_recipe(tmp_path: Path) -> Recipe:
    return parse_recipe(TEXT, folder=tmp_path)


def search(recipe: Recipe, path: Path, **options) -> list[TrialRecord]:
    options = {"strategy": "pbt", "trials": TRIALS, "stack": TRIALS} | options
    run_study(recipe, path=path, **options)
    return list(load_run(path).trials)


def study_of(trials: list[TrialRecord]) -> list[object]:
    """Who has trained what; dev losses to 12 digits."""
    return [
        (one.state, one.seed, replay_of(one.config), round(one.dev_loss or 0.0, 12))
        for one in trials
    ]


def test_every_trial_is_a_training_of_its_own_config(recipe: Recipe, tmp_path: Path) -> None:
    """Trained alone, from its first epoch on, without any other."""
    trials = search(recipe, tmp_path / "run")
    moved = [one for one in trials if replay_of(one.config)]
    assert len(moved) >= 4
    assert len({one.seed for one in trials}) < TRIALS  # some have another's ancestor
    data = to_device(
        load_data(recipe.config(trials[0].values).data, folder=Path()), torch.device("cpu")
    )
    for one in trials:
        config = recipe.config(one.values)
        seed = config.train.model_copy(update={"seed": one.seed})
        replay = {key: [tuple(p) for p in ps] for key, ps in replay_of(one.config).items()}
        config = config.model_copy(update={"train": seed, "replay": replay})
        trial = Trial(number=one.number, config=config, seed=one.seed, values=one.values)
        training = train_cohort([trial], data, folder=Path())
        while True:
            try:
                next(training)
            except StopIteration as end:
                (outcome,) = end.value
                break
        assert outcome.record.config == one.config
        for mine, theirs in zip(outcome.record.history, one.history, strict=True):
            assert mine.trial == theirs.trial == one.number
            for figure in ("lr", "train_loss", "dev_loss", "grad_norm"):
                same = pytest.approx(getattr(theirs, figure), rel=1e-7)
                assert getattr(mine, figure) == same
        assert outcome.record.best_epoch == one.best_epoch
        assert outcome.record.test_loss == pytest.approx(one.test_loss, rel=1e-7)


def test_best_toml_is_trained_again(recipe: Recipe, tmp_path: Path) -> None:
    trials = search(recipe, tmp_path / "run", seed=1)
    best = min(trials, key=lambda one: one.dev_loss)
    assert replay_of(best.config)
    again = load_recipe(tmp_path / "run" / "best.toml").config()
    assert again.train.seed == best.seed
    assert {key: [list(p) for p in ps] for key, ps in again.replay.items()} == replay_of(
        best.config
    )


SPLITS = [
    {"workers": 2, "stack": "off"},
    {"workers": 4, "stack": 4},
    {"workers": 1, "stack": "off"},
]


@pytest.mark.slow
def test_it_is_the_same_study_for_any_split_of_the_work(recipe: Recipe, tmp_path: Path) -> None:
    first = search(recipe, tmp_path / "one")
    for number, how in enumerate(SPLITS):
        assert study_of(search(recipe, tmp_path / f"{number}", **how)) == study_of(first)


def test_a_population_cannot_grow(recipe: Recipe, tmp_path: Path) -> None:
    search(recipe, tmp_path / "run", trials=3)
    with pytest.raises(RunFolderError, match="is a population of 3, and --trials 5 another one"):
        search(recipe, tmp_path / "run", trials=5, resume=True)


def whole_population(recipe: Recipe, trials: int) -> tuple[PopulationBased, list[Trial]]:
    strategy = PopulationBased(recipe.space, 0)
    proposals = strategy.ask(trials)
    return strategy, [
        Trial(number=one.number, config=recipe.config(one.values), seed=100 + one.number)
        for one in proposals
    ]


def test_the_worst_take_over_the_best(recipe: Recipe) -> None:
    strategy, trials = whole_population(recipe, 10)
    population = Population(strategy, recipe.space, trials)
    members, stretch = population.next() or ([], WHOLE)
    assert set(stretch.until.values()) == {1}
    for one in members:
        record = record_of(one.number, [0.5])
        loss = dataclasses.replace(record.history[0], dev_loss=float(one.number))
        record = dataclasses.replace(record, history=(loss,))
        population.pause(TrialPaused(record=record, kept=f"{one.number}.safetensors"))
    assert population.judge() == []
    after, stretch = population.next() or ([], WHOLE)
    assert [one.number for one in after] == list(range(10))
    assert [one.seed for one in after[:8]] == [100 + number for number in range(8)]
    for one in after[8:]:
        assert one.seed in (100, 101)
        winner = trials[one.seed - 100]
        assert one.config.at(0).optim == winner.config.optim
        assert {epoch for points in one.config.replay.values() for epoch, _ in points} == {1}
        assert stretch.kept[one.number] == (f"{one.seed - 100}.safetensors", one.seed - 100)
    assert population.files == {f"{number}.safetensors" for number in range(8)}


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"turn": 1}', '{"turn": 1, "members": {"0": {"seed": 1}}}']
)
def test_what_is_damaged_is_left_out(content: str, recipe: Recipe, tmp_path: Path) -> None:
    strategy, trials = whole_population(recipe, 1)
    (tmp_path / "population.json").write_text(content)
    again = Population(strategy, recipe.space, trials, file=tmp_path / "population.json")
    members, stretch = again.next() or ([], WHOLE)
    assert (members, dict(stretch.until)) == (trials, {0: 1})


def test_what_is_kept_is_gone_on_with(recipe: Recipe, tmp_path: Path) -> None:
    strategy, trials = whole_population(recipe, 4)
    file = tmp_path / "population.json"
    first = Population(strategy, recipe.space, trials, file=file)
    first.next()
    for number in range(4):
        record = record_of(number, [0.5 + number])
        first.pause(TrialPaused(record=record, kept="some.safetensors"))
    first.judge()
    again = Population(strategy, recipe.space, trials, file=file)
    assert again.next() == first.next()


def test_a_value_moves_by_a_fifth_or_is_drawn_anew(recipe: Recipe) -> None:
    strategy = PopulationBased(recipe.space, 3)
    before = {"model.dropout": 0.45, "optim.lr": 0.01, "regularize.l2": 1e-6}
    factors, redrawn = [], 0
    for turn in range(2000):
        after = strategy.explore(before, strategy.generator(0, turn))
        assert 0.0 <= after["model.dropout"] <= 0.5
        assert after["regularize.l2"] >= 1e-6  # at its lower bound it may only rise
        share = after["optim.lr"] / before["optim.lr"]
        if math.isclose(share, 0.8) or math.isclose(share, 1.2):
            factors.append(share)
        else:
            redrawn += 1
    assert redrawn / 2000 == pytest.approx(0.25, abs=0.04)  # four standard errors
    assert np.mean(factors) == pytest.approx(1.0, abs=0.03)


def test_how_many_give_way(recipe: Recipe) -> None:
    strategy = PopulationBased(recipe.space, 0)
    assert [strategy.replaced(n) for n in (1, 2, 4, 5, 10, 32)] == [0, 1, 1, 1, 2, 6]
    assert strategy.turns(20) == tuple(range(2, 20, 2))
    assert PopulationBased(recipe.space, 0, interval=5).turns(11) == (5, 10)


@pytest.mark.slow
def test_one_that_has_diverged_takes_over_at_the_next_turn(tmp_path: Path) -> None:
    """Half of the range diverges at once; the last turn is after epoch 5 of 6."""
    sgd, rates = ["optim.name=sgd", "train.epochs=6"], ["optim.lr=log:1e-4:1e9"]
    wild = parse_recipe(TEXT, folder=tmp_path, overrides=sgd, spaces=rates)
    trials = search(wild, tmp_path / "run", trials=12)
    complete = [one for one in trials if one.state is TrialState.COMPLETE]
    assert len(complete) >= 8
    assert all(len(one.history) == 6 for one in complete)
    assert all(one.epochs == 6 for one in trials if one.state is TrialState.DIVERGED)
    alike = search(wild, tmp_path / "alone", trials=12, stack="off")
    assert study_of(alike) == study_of(trials)


def test_where_all_diverge_they_are_over(tmp_path: Path) -> None:
    sgd, rates = ["optim.name=sgd"], ["optim.lr=log:1e8:1e9"]
    wild = parse_recipe(TEXT, folder=tmp_path, overrides=sgd, spaces=rates)
    trials = search(wild, tmp_path / "run", trials=4)
    assert [one.state for one in trials] == [TrialState.DIVERGED] * 4


@pytest.mark.parametrize(
    ("changes", "options", "said"),
    [
        (("model.activation=choice:relu:tanh",), {}, "model.activation cannot"),
        (("train.batch_size=choice:8:16",), {}, "train.batch_size cannot"),
        ((), {"prune": "halving"}, "ends no trial early"),
        ((), {"trials": 1}, "a population of 1 trial"),
        ((), {"options": {"interval": 6}}, "without a turn before the end"),
        ((), {"options": {"interval": 0}}, "--interval 0: must be at least 1"),
        ((), {"options": {"replaced": 0.6}}, "--replaced 0.6"),
        ((), {"options": {"step": 0.6}}, "not an option of the strategy pbt"),
        ((), {"trials": None}, "no --trials is given"),
    ],
)
def test_what_makes_no_sense_is_refused(
    changes: tuple[str, ...], options: dict, said: str, tmp_path: Path
) -> None:
    recipe = parse_recipe(TEXT, folder=tmp_path, spaces=changes)
    with pytest.raises(UsageError, match=said):
        search(recipe, tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="kills a process group")
def test_kills_change_nothing(tmp_path: Path) -> None:
    file, run = tmp_path / "recipe.toml", tmp_path / "cut"
    file.write_text(TEXT.replace("epochs = 6", "epochs = 25"))
    whole = search(parse_recipe(file.read_text(), folder=tmp_path), tmp_path / "whole", stack=5)
    delays = [0.0, 0.05, 0.0, 0.02]
    options = {"strategy": "pbt", "trials": TRIALS, "stack": 5, "workers": 1}
    assert kill_until_complete(file, run, delays, **options) >= 2
    assert study_of(list(load_run(run).trials)) == study_of(whole)
    assert not (run / FOLDER / RUNNING).exists()
