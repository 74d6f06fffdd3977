"""The learning rate for every value of another key."""

from __future__ import annotations

from pathlib import Path

import pytest

from dltune.errors import DataError
from dltune.lr.find import Loaded, find_lr, load
from dltune.lr.over import OverRow, find_over
from dltune.lr.validation.plan import describe_plan
from dltune.recipe.files import parse_recipe
from dltune.recipe.schema import Config

IRIS = 'data.source = "sklearn:iris"\nmodel.hidden = [8]\ntrain.device = "cpu"\n'
HERE = Path()


def configs(key: str, *values: str, more: str = "") -> list[tuple[str, Config]]:
    return [
        (value, parse_recipe(f"{IRIS}{more}\n{key} = {value}\n", folder=HERE).config())
        for value in values
    ]


def over(key: str, *values: str, more: str = "", **others: object) -> list[OverRow]:
    plan = {"seeds": 1, "steps": 60, **others}
    return find_over(key, configs(key, *values, more=more), folder=HERE, **plan)


def test_each_row_is_what_its_config_gives_alone() -> None:
    rows = over("train.batch_size", "8", "32")
    assert [row.value for row in rows] == ["8", "32"]
    for row, (_, config) in zip(rows, configs("train.batch_size", "8", "32"), strict=True):
        alone = find_lr(config, folder=HERE, seeds=1, steps=60)
        assert row.result.curves == alone.curves
        assert row.result.rate == alone.rate


def test_the_data_may_be_given() -> None:
    """Once for all values that share them; of what is not given the folder has the data."""
    asked: list[int] = []

    def given(config: Config) -> Loaded | None:
        asked.append(config.data.seed)
        return load(config, folder=HERE) if config.data.seed else None

    values = ("data.seed", "1", "1", "0")
    both = zip(over(*values, load=given), over(*values), strict=True)
    for with_given, without in both:
        assert with_given.result.curves == without.result.curves
        assert with_given.result.notes == without.result.notes
    assert asked == [1, 0]


def test_a_penalty_lowers_the_edge_as_theory_has_it() -> None:
    """Gradient descent is unstable above 2 / l2; a sweep sees that some updates later."""
    rows = over("regularize.l2", "10.0", "100.0", more='optim.name = "sgd"', steps=300)
    edges = [row.result.curves[0].rates[-1] for row in rows]
    for edge, l2 in zip(edges, (10.0, 100.0), strict=True):
        assert 2.0 / l2 < edge < 6.0 * 2.0 / l2


def test_values_of_the_data_section_load_their_own_data() -> None:
    rows = over("data.seed", "0", "1", "0")
    notes = [row.result.notes[1] for row in rows]
    assert [note.rpartition(", ")[2] for note in notes] == ["seed 0)", "seed 1)", "seed 0)"]
    assert rows[0].result.curves == rows[2].result.curves
    assert rows[0].result.curves != rows[1].result.curves


@pytest.mark.parametrize(
    ("key", "values", "validate", "validated"),
    [
        pytest.param("train.batch_size", ["16"], False, False, id="not asked for"),
        pytest.param("train.batch_size", ["16"], True, True, id="asked for"),
        pytest.param("train.batch_size", ["16"], None, True, id="cheap"),
        pytest.param("schedule.name", ['"cosine"'], False, True, id="a sweep does not see it"),
    ],
)
def test_whether_rows_are_validated(
    key: str, values: list[str], validate: bool | None, validated: bool
) -> None:
    (row,) = over(key, *values, more="train.epochs = 2", validate=validate)
    assert (row.result.validation is not None) is validated


def test_what_is_said_names_the_value() -> None:
    said: list[str] = []
    rows = over(
        "model.dropout", "0.0", "0.5", more="train.epochs = 2", validate=True, say=said.append
    )
    expected = []
    for row in rows:
        assert row.result.plan is not None
        expected.append(f"model.dropout {row.value}: {describe_plan(row.result.plan, 2)}")
    assert said == expected


def test_watch_is_told_of_every_row() -> None:
    seen: list[tuple[str, float, float]] = []
    over("model.dropout", "0.0", "0.5", high=1e-3, watch=lambda *what: seen.append(what))
    assert seen == [("sweep", number, 60) for number in range(1, 61)] * 2


def test_range_and_seeds_are_passed_on() -> None:
    (row,) = over("train.batch_size", "16", low=1e-3, high=1e-1, steps=25, seeds=2)
    assert [(one.low, one.high, one.steps) for one in row.result.curves] == [(1e-3, 1e-1, 25)] * 2


def test_mistakes_pass_through() -> None:
    broken = parse_recipe('data.source = "sklearn:irish"', folder=HERE).config()
    with pytest.raises(DataError, match="iris"):
        find_over("train.seed", [("0", broken)], folder=HERE, seeds=1)
