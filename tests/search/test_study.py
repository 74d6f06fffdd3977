"""Whole searches on small real data."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import torch

from dltune.data.device import to_device
from dltune.data.load import load_data
from dltune.models.build import build_model
from dltune.recipe.files import load_recipe, parse_recipe
from dltune.runs.checkpoint import read_checkpoint
from dltune.runs.run import load_run
from dltune.search.events import Ending, EventKind, StudyEvent
from dltune.search.strategies.registry import build_strategy
from dltune.training.history import Trial, TrialState, best_trials
from dltune.training.loop import train_cohort
from dltune.training.seeds import trial_seed
from tests.search.recipes import CONDITIONAL, looped_study, small

TIMES = {"seconds"}


def table(path: Path) -> list[dict[str, str]]:
    """A CSV file without its times."""
    with path.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    return [{name: cell for name, cell in row.items() if name not in TIMES} for row in rows]


def same_study(first: Path, second: Path) -> bool:
    names = ("trials.csv", "history.csv")
    return all(table(first / name) == table(second / name) for name in names)


def test_a_grid_trains_every_point_in_order(tmp_path: Path) -> None:
    recipe = small()
    end = looped_study(recipe, path=tmp_path / "run", strategy="grid")
    assert (end.ending, end.reason, end.trained, end.total) == (Ending.COMPLETE, "", 8, 8)
    assert [result.values for result in end.trials] == list(recipe.space.grid())
    assert {result.state for result in end.trials} == {TrialState.COMPLETE}
    assert end.best == best_trials(end.trials, 1)[0]
    assert end.best.objective == min(result.objective or 0.0 for result in end.trials)
    sizes = load_run(end.path).about.data.examples
    assert sizes == {"train": 106, "dev": 36, "test": 36, "train_dev": None}


def test_a_trial_is_the_training_of_its_config_and_seed(tmp_path: Path) -> None:
    recipe = small()
    end = looped_study(recipe, path=tmp_path / "run", trials=3, seed=11)
    result = end.trials[2]
    trial = Trial(
        number=2, config=recipe.config(result.values), seed=trial_seed(11, 2), values=result.values
    )
    data = to_device(load_data(trial.config.data, folder=Path()), torch.device("cpu"))
    training = train_cohort([trial], data, folder=Path())
    try:
        while True:
            next(training)
    except StopIteration as stop:
        alone = stop.value[0].record
    assert (result.seed, result.dev_error, result.dev_loss) == (
        alone.seed,
        alone.dev_error,
        alone.dev_loss,
    )


def test_the_best_weights_give_the_best_error(tmp_path: Path) -> None:
    end = looped_study(small(), path=tmp_path / "run", trials=6)
    assert end.best is not None
    checkpoint = read_checkpoint(tmp_path / "run")
    assert checkpoint.trial == end.best.number
    dataset = load_data(checkpoint.config.data, folder=tmp_path / "run")
    model = build_model(
        checkpoint.config.model,
        inputs=dataset.input_shape,
        outputs=dataset.outputs,
        folder=tmp_path / "run",
    )
    model.load_state_dict(dict(checkpoint.weights))
    with torch.no_grad():
        predicted = model.eval()(torch.from_numpy(dataset.dev.features)).argmax(1).numpy()
    wrong = float((predicted != dataset.dev.targets).mean())
    assert wrong == pytest.approx(end.best.dev_error)
    assert load_recipe(tmp_path / "run" / "best.toml").config() == checkpoint.config


def test_a_data_set_in_hand_is_used_as_it_is(tmp_path: Path) -> None:
    recipe = parse_recipe(small().text.replace("sklearn:wine", "sklearn:digits"), folder=".")
    wine = load_data(small().config(next(small().space.grid())).data, folder=Path())
    end = looped_study(recipe, path=tmp_path / "run", trials=1, dataset=wine)
    assert load_run(end.path).about.data.examples["train"] == 106
    assert [row["train_examples"] for row in table(tmp_path / "run" / "trials.csv")] == ["106"]


def test_events_tell_where_the_study_stands(tmp_path: Path) -> None:
    events: list[StudyEvent] = []
    looped_study(small(), path=tmp_path / "run", strategy="grid", trials=2, on_event=events.append)
    assert [(event.kind, event.done, event.running, event.share) for event in events] == [
        (EventKind.STARTED, 0, 0, 0.0),
        (EventKind.TRAINING, 0, 1, 0.0),
        (EventKind.EPOCH, 0, 1, 0.5),
        (EventKind.EPOCH, 0, 1, 1.0),
        (EventKind.TRIAL, 1, 0, 0.0),
        (EventKind.EPOCH, 1, 1, 0.5),
        (EventKind.EPOCH, 1, 1, 1.0),
        (EventKind.TRIAL, 2, 0, 0.0),
    ]
    assert (events[0].total, events[0].grid_points) == (2, 8)
    assert any("178 examples" in note for note in events[0].notes)
    assert [(record.trial, record.epoch) for record in events[3].records] == [(0, 2)]
    assert (events[2].leader, events[2].best) == (events[2].records[0], None)
    assert events[4].best == events[4].trial


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    "strategy", [pytest.param("grid", marks=SLOW), pytest.param("random", marks=SLOW), "evolution"]
)
def test_a_study_in_parts_equals_the_whole(tmp_path: Path, strategy: str) -> None:
    recipe = small(text=CONDITIONAL)
    options = {"population": 4} if strategy == "evolution" else {}
    whole = looped_study(
        recipe, path=tmp_path / "whole", strategy=strategy, trials=11, options=options, seed=2
    )
    first = looped_study(
        recipe, path=tmp_path / "parts", strategy=strategy, trials=6, options=options, seed=2
    )
    second = looped_study(recipe, path=tmp_path / "parts", trials=7, resume=True)
    last = looped_study(None, path=tmp_path / "parts", trials=11, resume=True)
    assert (first.trained, second.trained, last.trained) == (6, 1, 4)
    assert same_study(tmp_path / "whole", tmp_path / "parts")
    assert last.best is not None
    assert whole.best is not None
    assert last.best.number == whole.best.number
    best = (tmp_path / "whole" / "best.toml").read_text().partition("\n")[2]
    assert (tmp_path / "parts" / "best.toml").read_text().partition("\n")[2] == best


def test_a_complete_study_has_nothing_to_resume(tmp_path: Path) -> None:
    looped_study(small(), path=tmp_path / "run", trials=3)
    end = looped_study(small(), path=tmp_path / "run", resume=True)
    assert (end.ending, end.trained, len(end.trials)) == (Ending.COMPLETE, 0, 3)


def test_an_exhausted_space_ends_the_study(tmp_path: Path) -> None:
    recipe = parse_recipe(
        'data.source = "sklearn:wine"\nmodel.hidden = {choice = [[4], [8], [16]]}\n'
        'train.epochs = 1\ntrain.device = "cpu"',
        folder=".",
    )
    end = looped_study(recipe, path=tmp_path / "run", strategy="evolution", trials=30)
    assert (end.ending, end.reason) == (
        Ending.EXHAUSTED,
        "no new point is left in the space after 3 trials",
    )
    assert sorted(result.values["model.hidden"] for result in end.trials) == [[4], [8], [16]]


def test_more_trials_than_grid_points_are_the_grid(tmp_path: Path) -> None:
    end = looped_study(small(), path=tmp_path / "run", strategy="grid", trials=100)
    assert (end.total, end.trained, end.ending) == (8, 8, Ending.COMPLETE)
    assert build_strategy("grid", small().space, 0).total == 8
