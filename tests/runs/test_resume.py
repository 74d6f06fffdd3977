"""What a study may be started and resumed with, and what it says otherwise."""

from __future__ import annotations

from pathlib import Path

import pytest

from dltune.errors import DltuneError, RunFolderError, UsageError
from dltune.recipe.files import parse_recipe
from dltune.recipe.recipe import Recipe
from dltune.runs.run import load_run
from dltune.search.study import run_study
from tests.search.recipes import looped_study, small


class TestMistakes:
    @pytest.fixture(name="path")
    def fixture_path(self, tmp_path: Path) -> Path:
        looped_study(small(), path=tmp_path / "run", trials=3, strategy="evolution", seed=4)
        return tmp_path / "run"

    def said(self, recipe: Recipe | None, path: Path, **arguments: object) -> str:
        with pytest.raises(DltuneError) as caught:
            looped_study(recipe, path=path, **arguments)  # type: ignore[arg-type]
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
        assert looped_study(recipe, path=path, resume=True).trained == 0

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
            f"{path} has a trial 2 already, and --trials 2 ends with 1\n"
            "Type --trials with 3 or more; only more trials can be added."
        )

    def test_the_same_options_are_fine(self, path: Path) -> None:
        end = looped_study(
            small(),
            path=path,
            strategy="evolution",
            seed=4,
            options={"population": 16, "parents": None},
            trials=4,
            resume=True,
        )
        assert end.trained == 1
        assert load_run(path).about.trials == 4

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

    @pytest.mark.parametrize(
        ("how", "said"),
        [
            ({"workers": 0}, "--workers 0: must be at least 1\nTry --workers auto."),
            ({"stack": 0}, "--stack 0: must be at least 1\nTry --stack auto."),
            (
                {"trial_timeout": 0.0},
                "--trial-timeout 0: must be more than 0 seconds\nTry --trial-timeout 600.",
            ),
        ],
        ids=lambda how: "" if isinstance(how, str) else next(iter(how)),
    )
    def test_ways_of_training_that_there_are_not(
        self, tmp_path: Path, how: dict[str, object], said: str
    ) -> None:
        with pytest.raises(UsageError) as refused:
            run_study(small(), path=tmp_path / "new", trials=3, **how)  # type: ignore[arg-type]
        assert str(refused.value) == said
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
