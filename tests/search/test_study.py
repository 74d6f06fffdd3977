"""Whole searches on small real data."""

from __future__ import annotations

import csv
import textwrap
from pathlib import Path

import pytest
import torch

from dltune.data.device import to_device
from dltune.data.load import load_data
from dltune.errors import DltuneError, RunFolderError, UsageError
from dltune.models.build import build_model
from dltune.recipe.files import load_recipe, parse_recipe
from dltune.recipe.recipe import Recipe
from dltune.search.checkpoint import read_checkpoint
from dltune.search.events import Ending, EventKind, StudyEvent
from dltune.search.failures import failed_alike
from dltune.search.records import best_trials
from dltune.search.run import load_run
from dltune.search.strategies.registry import build_strategy
from dltune.search.study import run_study
from dltune.training.history import Trial, TrialResult, TrialState
from dltune.training.loop import train_cohort
from dltune.training.seeds import trial_seed
from tests.search.recipes import CONDITIONAL, DIVERGING, small

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
    end = run_study(recipe, path=tmp_path / "run", strategy="grid")
    assert (end.ending, end.reason, end.trained, end.total) == (Ending.COMPLETE, "", 8, 8)
    assert [result.values for result in end.results] == list(recipe.space.grid())
    assert {result.state for result in end.results} == {TrialState.COMPLETE}
    assert end.best == best_trials(end.results, 1)[0]
    assert end.best.objective == min(result.objective or 0.0 for result in end.results)
    assert end.examples == {"train": 106, "dev": 36, "test": 36, "train_dev": None}


def test_a_trial_is_the_training_of_its_config_and_seed(tmp_path: Path) -> None:
    recipe = small()
    end = run_study(recipe, path=tmp_path / "run", trials=3, seed=11)
    result = end.results[2]
    trial = Trial(
        number=2, config=recipe.config(result.values), seed=trial_seed(11, 2), values=result.values
    )
    data = to_device(load_data(trial.config.data, folder=Path()), torch.device("cpu"))
    training = train_cohort([trial], data, folder=Path())
    try:
        while True:
            next(training)
    except StopIteration as stop:
        alone = stop.value[0].result
    assert (result.seed, result.dev_error, result.dev_loss) == (
        alone.seed,
        alone.dev_error,
        alone.dev_loss,
    )


def test_the_best_weights_give_the_best_error(tmp_path: Path) -> None:
    end = run_study(small(), path=tmp_path / "run", trials=6)
    assert end.best is not None
    checkpoint = read_checkpoint(tmp_path / "run" / "checkpoints" / "best.pt")
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
    end = run_study(recipe, path=tmp_path / "run", trials=1, dataset=wine)
    assert end.examples["train"] == 106
    assert [row["train_examples"] for row in table(tmp_path / "run" / "trials.csv")] == ["106"]


def test_events_tell_where_the_study_stands(tmp_path: Path) -> None:
    events: list[StudyEvent] = []
    run_study(small(), path=tmp_path / "run", strategy="grid", trials=2, on_event=events.append)
    assert [(event.kind, event.done, event.number, event.epoch) for event in events] == [
        (EventKind.STARTED, 0, None, None),
        (EventKind.EPOCH, 0, 0, 1),
        (EventKind.EPOCH, 0, 0, 2),
        (EventKind.TRIAL, 1, 0, None),
        (EventKind.EPOCH, 1, 1, 1),
        (EventKind.EPOCH, 1, 1, 2),
        (EventKind.TRIAL, 2, 1, None),
    ]
    assert (events[0].total, events[0].grid_points) == (2, 8)
    assert any("178 examples" in note for note in events[0].notes)
    assert (events[1].epochs, events[1].best) == (2, None)
    assert events[3].best == events[3].result


@pytest.mark.parametrize("strategy", ["grid", "random", "evolution"])
def test_a_study_in_parts_equals_the_whole(tmp_path: Path, strategy: str) -> None:
    recipe = small(text=CONDITIONAL)
    options = {"population": 4} if strategy == "evolution" else {}
    whole = run_study(
        recipe, path=tmp_path / "whole", strategy=strategy, trials=11, options=options, seed=2
    )
    first = run_study(
        recipe, path=tmp_path / "parts", strategy=strategy, trials=6, options=options, seed=2
    )
    second = run_study(recipe, path=tmp_path / "parts", trials=7, resume=True)
    last = run_study(None, path=tmp_path / "parts", trials=11, resume=True)
    assert (first.trained, second.trained, last.trained) == (6, 1, 4)
    assert same_study(tmp_path / "whole", tmp_path / "parts")
    assert last.best is not None
    assert whole.best is not None
    assert last.best.number == whole.best.number
    best = (tmp_path / "whole" / "best.toml").read_text().partition("\n")[2]
    assert (tmp_path / "parts" / "best.toml").read_text().partition("\n")[2] == best


def test_a_complete_study_has_nothing_to_resume(tmp_path: Path) -> None:
    run_study(small(), path=tmp_path / "run", trials=3)
    end = run_study(small(), path=tmp_path / "run", resume=True)
    assert (end.ending, end.trained, len(end.results)) == (Ending.COMPLETE, 0, 3)


def test_an_exhausted_space_ends_the_study(tmp_path: Path) -> None:
    recipe = parse_recipe(
        'data.source = "sklearn:wine"\nmodel.hidden = {choice = [[4], [8], [16]]}\n'
        'train.epochs = 1\ntrain.device = "cpu"',
        folder=".",
    )
    end = run_study(recipe, path=tmp_path / "run", strategy="evolution", trials=30)
    assert (end.ending, end.reason) == (
        Ending.EXHAUSTED,
        "no new point is left in the space after 3 trials",
    )
    assert sorted(result.values["model.hidden"] for result in end.results) == [[4], [8], [16]]


class TestFailures:
    def test_diverged_trials_are_data(self, tmp_path: Path) -> None:
        recipe = parse_recipe(
            DIVERGING.replace("[1e6, 1e9]", "[1e-3, 1e9], points = 2"), folder="."
        )
        end = run_study(recipe, path=tmp_path / "run", strategy="grid")
        assert [(one.state.value, one.reason) for one in end.results] == [
            ("complete", ""),
            ("diverged", "non-finite loss in epoch 1"),
        ]
        assert end.best == end.results[0]
        assert [row["state"] for row in table(tmp_path / "run" / "trials.csv")] == [
            "complete",
            "diverged",
        ]

    def test_a_study_in_which_everything_diverges_stops(self, tmp_path: Path) -> None:
        end = run_study(small(text=DIVERGING), path=tmp_path / "run", trials=64)
        assert (end.ending, end.trained, end.best) == (Ending.STOPPED, 20, None)
        assert end.reason == "the first 20 trials all diverged alike: non-finite loss in epoch 1"
        assert not (tmp_path / "run" / "best.toml").exists()
        assert not (tmp_path / "run" / "checkpoints" / "best.pt").exists()

    def test_a_mistake_in_the_users_model_stops_the_study_and_resume_retries(
        self, tmp_path: Path
    ) -> None:
        (tmp_path / "net.py").write_text(
            textwrap.dedent(
                """
                import torch

                def build(inputs, outputs, width):
                    first = torch.nn.Linear(13, width)
                    return torch.nn.Sequential(first, torch.nn.Linear(5, outputs))
                """
            )
        )
        (tmp_path / "recipe.toml").write_text(
            'data.source = "sklearn:wine"\n[model]\nfactory = "net.py:build"\n'
            'width = {int = [8, 99]}\n[train]\nepochs = 1\ndevice = "cpu"\n'
        )
        recipe = load_recipe(tmp_path / "recipe.toml")
        path = tmp_path / "runs" / "run"
        end = run_study(recipe, path=path, trials=30)
        assert (end.ending, end.trained) == (Ending.STOPPED, 5)
        assert end.reason.startswith("the first 5 trials all failed alike: ")
        assert "shapes cannot be multiplied" in end.reason
        reasons = {row["reason"] for row in table(path / "trials.csv")}
        assert len(reasons) == 5  # each with its own width
        again = run_study(recipe, path=path, resume=True)
        assert (again.ending, again.trained) == (Ending.STOPPED, 5)
        assert again.reason.startswith("the next 5 trials all failed alike: ")
        (tmp_path / "net.py").write_text(
            (tmp_path / "net.py").read_text().replace("Linear(5,", "Linear(width,")
        )
        mended = run_study(recipe, path=path, trials=12, resume=True)
        assert (mended.ending, mended.trained) == (Ending.COMPLETE, 2)
        assert [one.state for one in mended.results[10:]] == [TrialState.COMPLETE] * 2

    def test_values_that_make_no_config_are_failed_trials(self, tmp_path: Path) -> None:
        recipe = parse_recipe(
            '[data]\nsource = "sklearn:wine"\n[data.split]\ndev = {choice = [0.1, 0.6, 0.2]}\n'
            'test = {choice = [0.1, 0.6, 0.2]}\n[train]\nepochs = 1\ndevice = "cpu"\n',
            folder=".",
        )
        end = run_study(recipe, path=tmp_path / "run", strategy="grid")
        failed = [one for one in end.results if one.state is TrialState.FAILED]
        assert [tuple(one.values.values()) for one in failed] == [(0.6, 0.6)]
        assert failed[0].reason == (
            "recipe: data.split: dev 0.6 + test 0.6 + train-dev 0 must be less than 1, "
            "so that training data is left"
        )
        rows = table(tmp_path / "run" / "trials.csv")
        assert [row["data.split.dev"] for row in rows] == ["0.1"] * 3 + ["0.6"] * 3 + ["0.2"] * 3
        assert [row["dev_examples"] for row in rows[:4]] == ["18", "18", "18", "107"]
        assert (rows[4]["dev_examples"], rows[4]["optim.lr"]) == ("", "")
        assert sum(one.state is TrialState.COMPLETE for one in end.results) == 8

    @pytest.mark.parametrize(
        ("states", "resumed_from", "stops"),
        [
            pytest.param(["failed"] * 4, 0, False, id="four failures"),
            pytest.param(["failed"] * 5, 0, True, id="five"),
            pytest.param(["complete", *["failed"] * 5], 0, False, id="one success before"),
            pytest.param([*["failed"] * 4, "diverged"], 0, False, id="not alike"),
            pytest.param(["diverged"] * 5, 0, False, id="five diverged"),
            pytest.param(["diverged"] * 20, 0, True, id="twenty diverged"),
            pytest.param(["failed"] * 5, 3, True, id="interrupted between"),
            pytest.param(["failed"] * 9, 5, False, id="resumed after the stop"),
            pytest.param(["failed"] * 10, 5, True, id="stops again"),
        ],
    )
    def test_when_a_study_stops(self, states: list[str], resumed_from: int, stops: bool) -> None:
        results = [
            TrialResult(number=n, seed=0, state=TrialState(state), reason=f"reason of {n}")
            for n, state in enumerate(states)
        ]
        assert (failed_alike(results, resumed_from) is not None) == stops


class TestMistakes:
    @pytest.fixture(name="path")
    def fixture_path(self, tmp_path: Path) -> Path:
        run_study(small(), path=tmp_path / "run", trials=3, strategy="evolution", seed=4)
        return tmp_path / "run"

    def said(self, recipe: Recipe | None, path: Path, **arguments: object) -> str:
        with pytest.raises(DltuneError) as caught:
            run_study(recipe, path=path, **arguments)  # type: ignore[arg-type]
        assert isinstance(caught.value, (RunFolderError, UsageError))
        return str(caught.value)

    def test_a_recipe_that_differs(self, path: Path) -> None:
        recipe = small("train.epochs=3", "model.dropout=0.5", "optim.lr={log=[1e-5, 1e-1]}")
        assert self.said(recipe, path, resume=True) == (
            f"{path} was started with another recipe: "
            "optim.lr was {log = [0.0001, 0.1], points = 4}, is now {log = [1e-05, 0.1]}; "
            "train.epochs was 2, is now 3; model.dropout was not given, is now 0.5\n"
            "Resume with the recipe unchanged, or start a new study with another --name."
        )

    def test_another_layout_of_the_same_recipe_is_no_difference(self, path: Path) -> None:
        recipe = parse_recipe("# the same\n" + small().text.replace("\n[", "\n\n["), folder=".")
        assert run_study(recipe, path=path, resume=True).trained == 0

    @pytest.mark.parametrize(
        ("arguments", "text"),
        [
            ({"strategy": "grid"}, "--strategy evolution, not grid\nLeave --strategy out"),
            ({"seed": 5}, "--seed 4, not 5\nLeave --seed out"),
            ({"options": {"population": 8}}, "--population 16, not 8\nLeave --population out"),
        ],
        ids=["strategy", "seed", "option"],
    )
    def test_options_that_differ(self, path: Path, arguments: dict[str, object], text: str) -> None:
        assert self.said(small(), path, resume=True, **arguments) == (
            f"{path} was started with {text} to go on, or start a new study with another --name."
        )

    def test_fewer_trials_than_there_are(self, path: Path) -> None:
        assert self.said(small(), path, resume=True, trials=2) == (
            f"{path} has 3 trials already, more than --trials 2\n"
            "Type --trials with 3 or more; only more trials can be added."
        )

    def test_the_same_options_are_fine(self, path: Path) -> None:
        end = run_study(
            small(),
            path=path,
            strategy="evolution",
            seed=4,
            options={"population": 16, "parents": None},
            trials=4,
            resume=True,
        )
        assert end.trained == 1
        assert load_run(path).meta.trials == 4

    def test_a_folder_that_is_taken(self, path: Path) -> None:
        assert self.said(small(), path, trials=3) == (
            f"{path}: already exists and is not empty\n"
            "Type --resume to go on with it, or --name and another name."
        )

    def test_no_number_of_trials(self, tmp_path: Path) -> None:
        assert self.said(small(), tmp_path / "new") == (
            "--strategy random has no end of its own, and no --trials is given\n"
            "Say how many: --trials 32."
        )
        assert not (tmp_path / "new").exists()

    def test_no_trials(self, tmp_path: Path) -> None:
        assert self.said(small(), tmp_path / "new", trials=0) == (
            "--trials 0: must be at least 1\nTry --trials 32."
        )

    def test_no_recipe(self, tmp_path: Path) -> None:
        assert self.said(None, tmp_path / "new", trials=3) == (
            "a new study needs a recipe\nType dltune search RECIPE."
        )

    def test_a_metric_that_is_searched(self, tmp_path: Path) -> None:
        recipe = parse_recipe(
            'data.source = "sklearn:wine"\nobjective.metric = {choice = ["dev_error", "dev_loss"]}',
            folder=".",
        )
        assert self.said(recipe, tmp_path / "new", trials=3) == (
            "objective.metric is a range: trials measured by different metrics cannot be compared\n"
            "Fix it with --set objective.metric=dev_error."
        )


def test_more_trials_than_grid_points_are_the_grid(tmp_path: Path) -> None:
    end = run_study(small(), path=tmp_path / "run", strategy="grid", trials=100)
    assert (end.total, end.trained, end.ending) == (8, 8, Ending.COMPLETE)
    assert build_strategy("grid", small().space, 0).total == 8
