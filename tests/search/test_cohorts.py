"""Which trials may be one stack, and how they are shared out."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dltune.search.cohorts import group_by_shape, shape_key, shape_words, split
from tests.search.executors.trials import config, trial

FREE = [
    ["optim.name=sgd", "optim.lr=0.5"],
    ["optim.weight_decay=0.1"],
    ["schedule.name=cosine"],
    ["regularize.l1=0.1", "regularize.clip_norm=1.0", "regularize.early_stop=3"],
    ["regularize.label_smoothing=0.1"],
    ["model.dropout=0.5"],
    ["model.dropout=[0.1, 0.2]"],
    ["train.seed=7", "train.epochs=9"],
    ["objective.target_error=0.1", "objective.huber_delta=2.0"],
]
BOUND = [
    ["model.hidden=[8, 9]"],
    ["model.activation=gelu"],
    ["model.batch_norm=true"],
    ["model.name=cnn"],
    ["train.batch_size=64"],
    ["train.accumulate=2"],
    ["data.normalize=none"],
    ["data.seed=1"],
    ["objective.metric=dev_loss"],
    ["objective.loss=mse"],
]
BASE = ["model.hidden=[8, 8]"]


@pytest.mark.parametrize("overrides", FREE, ids=" ".join)
def test_rows_of_a_stack_may_differ_in(overrides: list[str]) -> None:
    assert shape_key(config(*BASE, *overrides)) == shape_key(config(*BASE))


@pytest.mark.parametrize("overrides", BOUND, ids=" ".join)
def test_rows_of_a_stack_are_alike_in(overrides: list[str]) -> None:
    base = [] if overrides == ["model.name=cnn"] else BASE
    assert shape_key(config(*base, *overrides)) != shape_key(config(*BASE))


def test_arguments_of_a_factory_are_not_in_the_key_but_the_factory_is() -> None:
    def key(*overrides: str) -> str:
        return shape_key(config('model.factory="net.py:build"', *overrides))

    assert key("model.width=3") == key("model.width=4") == key()
    assert key('model.factory="net.py:other"') != key()


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["model.hidden=[64, 32]"], "mlp 64-32, batch 32"),
        (["model.hidden=[]", 'train.batch_size="full"'], "mlp linear, batch full"),
        (["model.name=cnn", "model.filters=[4]", "model.hidden=[5]"], "cnn 4-5, batch 32"),
        (['model.factory="net.py:build"'], "net.py:build, batch 32"),
    ],
)
def test_a_shape_in_words(overrides: list[str], words: str) -> None:
    assert shape_words(config(*overrides)) == words


def test_groups_are_in_order_of_their_first_trial() -> None:
    wide, narrow = "model.hidden=[9]", "model.hidden=[8]"
    trials = [trial(5, wide), trial(2, narrow), trial(0, wide), trial(3, narrow), trial(1, wide)]
    groups = group_by_shape(trials)
    assert [[one.number for one in group.trials] for group in groups] == [[0, 1, 5], [2, 3]]
    assert [group.config.model.hidden for group in groups] == [[9], [8]]  # type: ignore[union-attr]


@given(count=st.integers(0, 300), stack=st.integers(1, 80), workers=st.integers(1, 9))
def test_cohorts_are_near_equal_and_busy_every_worker(count: int, stack: int, workers: int) -> None:
    trials = [trial(0)] * count
    cohorts = split(trials, stack, workers)
    sizes = [len(cohort) for cohort in cohorts]
    assert sum(sizes) == count
    assert max(sizes, default=0) <= stack
    assert max(sizes, default=0) - min(sizes, default=0) <= 1
    assert len(sizes) == min(count, math.ceil(math.ceil(count / stack) / workers) * workers)


def test_cohorts_keep_the_order() -> None:
    trials = [trial(number) for number in range(7)]
    numbers = [[one.number for one in cohort] for cohort in split(trials, 3, 2)]
    assert numbers == [[0, 1], [2, 3], [4, 5], [6]]
