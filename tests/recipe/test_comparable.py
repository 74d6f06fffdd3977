"""Which settings trials may differ in: every key of the schema is decided on, and why holds."""

from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np
import pytest

from dltune.data.load import load_data
from dltune.errors import UsageError
from dltune.recipe.comparable import (
    BEARINGS,
    bearing_of,
    check_comparable,
    clashes,
    may_vary,
    ways_out,
)
from dltune.recipe.files import parse_recipe
from dltune.recipe.recipe import Recipe
from dltune.recipe.replay import SECTION as REPLAY
from dltune.recipe.schema import DataConfig, SplitConfig
from dltune.recipe.schema_keys import is_table_path, known_paths

# Sections that are one decision; in the others, each key has a line of its own.
WHOLE = ("model", "optim", "schedule", "regularize", "train")
BY_LOSS = ["objective.metric=dev_loss"]


def recipe(*overrides: str, text: str = 'data.source = "a.csv"\ndata.target = "t"') -> Recipe:
    return parse_recipe(text, folder=".", overrides=overrides)


def keys(made: Recipe) -> list[str]:
    return [one.key for one in clashes(made)]


@pytest.mark.parametrize("path", [path for path in known_paths() if not is_table_path(path)])
def test_every_setting_is_decided_on(path: str) -> None:
    assert bearing_of(path).because
    if path.partition(".")[0] not in WHOLE:
        assert path in BEARINGS


@pytest.mark.parametrize("key", ["schedule.name", "schedule.patience", "train.on_divergence"])
def test_trials_may_react_to_their_histories_each_in_its_way(key: str) -> None:
    assert may_vary(key, "dev_loss")


def test_no_line_is_about_a_setting_that_there_is_not() -> None:
    assert set(BEARINGS) - set(WHOLE) <= {*known_paths(), REPLAY}


def test_a_section_that_is_not_decided_on_is_told() -> None:
    with pytest.raises(KeyError):
        bearing_of("verify.epochs")


@pytest.mark.parametrize(
    ("key", "typed"),
    [
        ("data.source", '{choice = ["a.csv", "b.csv"]}'),
        ("data.target", '{choice = ["t", "2"]}'),
        ("data.task", '{choice = ["regression", "classification"]}'),
        ("data.seed", "{int = [0, 9]}"),
        ("data.split.dev", "{uniform = [0.1, 0.3]}"),
        ("data.split.test", "{choice = [0.1, 0.3]}"),
        ("data.split.stratify", "{choice = [true, false]}"),
        ("data.categorical", '{choice = [[], ["t"]]}'),
        ("train.seed", "{int = [0, 9]}"),
        ("objective.metric", '{choice = ["dev_loss", "dev_error"]}'),
    ],
)
@pytest.mark.parametrize("metric", ["dev_error", "dev_loss"])
def test_what_must_never_differ(key: str, typed: str, metric: str) -> None:
    made = recipe(f"objective.metric={metric}", f"{key}={typed}")
    assert keys(made) == [key]
    assert keys(recipe(f"objective.metric={metric}", f"{key}={typed}", *typed_again(made))) == []


def typed_again(made: Recipe) -> list[str]:
    """What the advice has typed, as a shell would hand it on."""
    words = shlex.split(" ".join(ways_out(made)))
    assert words[::2] == ["--set"] * (len(words) // 2)
    return words[1::2]


@pytest.mark.parametrize(
    "typed",
    [
        "objective.huber_delta={choice = [1.0, 0.001]}",
        'objective.loss={choice = ["mse", "mae"]}',
        'data.normalize_target={choice = ["zscore", "none"]}',
        "data.split.train-dev={uniform = [0.0, 0.2]}",
        "data.split.train_dev={uniform = [0.0, 0.2]}",
    ],
)
def test_what_must_not_differ_where_losses_are_compared(typed: str) -> None:
    key, before = typed.partition("=")[0], ["objective.loss=huber"]
    with pytest.raises(UsageError) as refused:
        check_comparable(recipe(*before, *BY_LOSS, typed))
    found, hint = str(refused.value).split("\n")
    in_schema = key.replace("_dev", "-dev")
    assert found == f"{in_schema} is a range: dev losses in different units cannot be compared"
    assert hint.startswith("Rank by the error with --set objective.metric=dev_error, or fix it ")
    assert keys(recipe(*before, *BY_LOSS, typed, "objective.metric=dev_error")) == []
    fixed = typed_again(recipe(*before, *BY_LOSS, typed))
    assert fixed[0].startswith(key)
    assert keys(recipe(*before, *BY_LOSS, typed, *fixed)) == []


@pytest.mark.parametrize(
    "typed",
    [
        "optim.lr={log = [1e-3, 1.0]}",
        "regularize.label_smoothing={uniform = [0.0, 0.2]}",
        "regularize.l2={log = [1e-5, 1e-1]}",
        "model.hidden=[{int = [4, 64]}]",
        "train.precision={choice = ['float32', 'float64']}",
        "data.drop={choice = [[], ['a']]}",
        "data.categorical={choice = [[], ['a']]}",
        "data.normalize={choice = ['zscore', 'minmax']}",
        "objective.huber_delta={choice = [1.0, 0.001]}",  # without huber's loss
        "data.seed={choice = [3]}",
    ],
)
def test_what_may_differ(typed: str) -> None:
    check_comparable(recipe(*BY_LOSS, typed))


class TestTables:
    def test_options_that_differ_in_what_does_no_harm(self) -> None:
        made = recipe("optim={choice=[{name='sgd'}, {name='adam', lr={log=[1e-3, 1e-1]}}]}")
        assert keys(made) == []

    def test_the_key_is_fixed_where_the_options_stay_apart(self) -> None:
        made = recipe("data.split={choice=[{dev=0.2, train-dev=0.1}, {dev=0.3}]}")
        assert [one.found for one in clashes(made)] == [
            "data.split.dev differs between the options of data.split: trials measured on "
            "different examples cannot be compared"
        ]
        assert ways_out(made) == ["--set data.split.dev=0.2"]

    def test_the_first_option_stays_where_they_would_become_one(self) -> None:
        made = recipe("data.split={choice=[{dev=0.2, test=0.2}, {dev=0.3, test=0.1}]}")
        assert keys(made) == ["data.split.dev", "data.split.test"]
        assert ways_out(made) == [
            "--set data.split.dev=0.2",
            "--set 'data.split={dev = 0.2, test = 0.2}'",
        ]

    def test_a_range_within_an_option(self) -> None:
        typed = "data.split={choice=[{dev=0.2}, {dev=0.2, test={uniform=[0.1, 0.2]}}]}"
        assert keys(recipe(typed)) == ["data.split.test"]
        assert keys(recipe(typed, *typed_again(recipe(typed)))) == []


def test_several_mistakes_are_told_at_once() -> None:
    with pytest.raises(UsageError) as refused:
        check_comparable(
            recipe(*BY_LOSS, "data.seed={int=[0, 3]}", "objective.loss={choice=['mae','mse']}")
        )
    assert str(refused.value) == (
        "data.seed is a range: trials measured on different examples cannot be compared\n"
        "objective.loss is a range: dev losses in different units cannot be compared\n"
        "Fix them with --set data.seed=0 --set objective.loss=mae."
    )


def test_list_items_have_the_bearing_of_their_list() -> None:
    assert may_vary("model.hidden.0", "dev_loss")
    assert not may_vary("data.split.train_dev", "dev_loss")
    assert may_vary("data.split.train_dev", "dev_error")


class TestReasons:
    """What the table says about data, seen on data."""

    def dev(self, tmp_path: Path, **split: float) -> np.ndarray:
        rows = "\n".join(f"{n},{n * n}.5" for n in range(50))
        (tmp_path / "a.csv").write_text(f"x,t\n{rows}\n")
        config = DataConfig(
            source="a.csv", target="t", normalize="none", split=SplitConfig(**split)
        )
        return load_data(config, folder=tmp_path).dev.features

    def test_a_train_dev_split_leaves_dev_as_it_is(self, tmp_path: Path) -> None:
        assert np.array_equal(self.dev(tmp_path), self.dev(tmp_path, train_dev=0.2))

    def test_another_test_split_leaves_other_examples_for_dev(self, tmp_path: Path) -> None:
        assert not np.array_equal(self.dev(tmp_path), self.dev(tmp_path, test=0.1))

    def test_a_target_among_the_categories_makes_another_task(self, tmp_path: Path) -> None:
        rows = "\n".join(f"{n},{n % 3}" for n in range(60))
        (tmp_path / "a.csv").write_text(f"x,t\n{rows}\n".replace(",0", ",0.5"))
        one = DataConfig(source="a.csv", target="t")
        other = one.model_copy(update={"categorical": ["t"]})
        tasks = [load_data(config, folder=tmp_path).task for config in (one, other)]
        assert tasks == ["regression", "classification"]
