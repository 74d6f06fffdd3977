from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from dltune.errors import DataError
from dltune.lr.find import DEFAULT_RANGES, find_lr, middle_config
from dltune.lr.suggest import LrStatus
from dltune.recipe.files import parse_recipe
from dltune.recipe.schema import Config, OptimConfig

IRIS = 'data.source = "sklearn:iris"\nmodel.hidden = [16]\ntrain.device = "cpu"\n'
HERE = Path()


def config(*lines: str) -> Config:
    return parse_recipe(IRIS + "\n".join(lines), folder=HERE).config()


def test_every_optimizer_has_a_range_around_its_default() -> None:
    union, _ = get_args(OptimConfig)
    kinds = [get_args(option)[0] for option in get_args(union)]
    assert {kind().name for kind in kinds} == set(DEFAULT_RANGES)
    for kind in kinds:
        low, high = DEFAULT_RANGES[kind().name]
        assert 10 * low < kind().lr < high / 10


@pytest.mark.parametrize("optimizer", sorted(DEFAULT_RANGES))
def test_every_optimizer_finds_a_rate_on_iris(optimizer: str) -> None:
    found = find_lr(config(f'optim.name = "{optimizer}"'), folder=HERE).suggestion
    assert found.status is LrStatus.OK, found.reason
    assert found.suggestion is not None
    assert found.minimum is not None
    assert found.suggestion <= found.minimum


def test_rate_and_schedule_of_the_config_play_no_part() -> None:
    plain = find_lr(config(), folder=HERE)
    other = find_lr(
        config("optim.lr = 7.0", 'schedule.name = "one-cycle"', "train.epochs = 1"), folder=HERE
    )
    assert plain.curve == other.curve
    assert plain.suggestion.suggestion == other.suggestion.suggestion


def test_the_seed_is_that_of_the_recipe() -> None:
    first, second = (find_lr(config(f"train.seed = {seed}"), folder=HERE) for seed in (0, 1))
    assert (first.seed, second.seed) == (0, 1)
    assert first.curve.losses != second.curve.losses


def test_the_range_can_be_given_at_either_end() -> None:
    curve = find_lr(config(), folder=HERE, low=1e-4, steps=60).curve
    assert (curve.low, curve.high, curve.steps) == (1e-4, 10.0, 60)


def test_mistakes_of_the_data_pass_through() -> None:
    broken = parse_recipe('data.source = "sklearn:irish"', folder=HERE).config()
    with pytest.raises(DataError, match="iris"):
        find_lr(broken, folder=HERE)


def test_the_middle_of_every_range_but_the_rate() -> None:
    recipe = parse_recipe(
        IRIS + "optim.lr = { log = [1e-4, 1e-2] }\n"
        "model.dropout = { uniform = [0.0, 0.5] }\n"
        "train.batch_size = { choice = [16, 32, 64] }\n",
        folder=HERE,
    )
    made, chosen = middle_config(recipe)
    assert chosen == {"model.dropout": 0.25, "train.batch_size": 32}
    assert (made.model.dropout, made.train.batch_size) == (0.25, 32)


def test_a_recipe_without_ranges_is_taken_as_it_is() -> None:
    recipe = parse_recipe(IRIS, folder=HERE)
    assert middle_config(recipe) == (recipe.config(), {})
