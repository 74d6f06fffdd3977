from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.model_selection import train_test_split

from dltune.data.dataset import Dataset
from dltune.data.raw import NumericColumn, RawData
from dltune.data.splits import split_rows
from dltune.data.targets import Targets
from dltune.recipe.schema import DataConfig, SplitConfig


def split(labels: np.ndarray, *, task: str = "classification", **config: object):
    """Rows by split of examples with these labels."""
    column = NumericColumn(name="y", values=labels.astype(np.float64))
    raw = RawData(name="t", origin="t", features=(column,), targets=(column,))
    names = tuple(str(label) for label in range(int(labels.max()) + 1))
    values = labels if task == "classification" else labels[:, None].astype(np.float64)
    targets = Targets(task=task, values=values, class_names=names, notes=())
    return split_rows(raw, targets, DataConfig(source="t", **config))


def identities(dataset: Dataset) -> dict[str, list[float]]:
    """The first feature of every example, which tells them apart, by split."""
    names = ("train", "dev", "test", "train_dev")
    splits = {name: getattr(dataset, name) for name in names}
    return {name: s.features[:, 0].tolist() for name, s in splits.items() if s is not None}


@settings(max_examples=80, deadline=None)
@given(
    count=st.integers(40, 400),
    classes=st.integers(2, 4),
    dev=st.floats(0.1, 0.3),
    test=st.floats(0.1, 0.3),
    train_dev=st.sampled_from([0.0, 0.1, 0.2]),
    seed=st.integers(0, 2**32 - 1),
)
def test_splits_share_out_all_rows(count, classes, dev, test, train_dev, seed):
    labels = np.arange(count) % classes
    config = SplitConfig(dev=dev, test=test, train_dev=train_dev)
    rows, _ = split(labels, split=config, seed=seed)
    assert sorted(np.concatenate(list(rows.values())).tolist()) == list(range(count))
    assert len(rows["dev"]) == round(dev * count)
    assert len(rows["test"]) == round(test * count)
    assert len(rows.get("train-dev", ())) == round(train_dev * count)
    for members in rows.values():
        expected = np.bincount(labels, minlength=classes) * len(members) / count
        # Every cut rounds to a whole example, and a later one starts from what is left.
        np.testing.assert_allclose(
            np.bincount(labels[members], minlength=classes), expected, atol=3
        )


def test_stratified_shares_are_exact_where_they_can_be(load):
    dataset = load(source="sklearn:iris")
    for examples, each in ((dataset.train, 30), (dataset.dev, 10), (dataset.test, 10)):
        assert np.bincount(examples.targets).tolist() == [each] * 3


def test_without_stratification_the_shares_are_left_to_chance(load):
    dataset = load(source="sklearn:iris", split={"stratify": False})
    assert np.bincount(dataset.dev.targets).tolist() != [10] * 3
    assert dataset.notes[1] == "iris: 150 examples; train 90, dev 30, test 30 (seed 0)"


@settings(max_examples=200, deadline=None)
@given(
    labels=st.lists(st.integers(0, 4), min_size=20, max_size=120),
    share=st.floats(0.0, 1.0),
    stratify=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_the_rows_are_scikit_learns(labels, share, stratify, seed):
    """Studies have been started on them, and others compare on them."""
    codes = np.array(labels)
    members = np.bincount(codes)
    present = np.count_nonzero(members)
    assume(members[members > 0].min() >= 2)
    smallest, largest = (present, len(codes) - present) if stratify else (1, len(codes) - 1)
    count = smallest + round(share * (largest - smallest))
    config = SplitConfig(dev=count / len(codes), test=0.0, stratify=stratify)
    rows, _ = split(codes, split=config, seed=seed)
    train, dev = train_test_split(
        np.arange(len(codes)),
        test_size=count,
        random_state=seed,
        stratify=codes if stratify else None,
    )
    assert rows["train"].tolist() == train.tolist()
    assert rows["dev"].tolist() == dev.tolist()


def test_the_same_split_twice_and_another_for_another_seed(load, table):
    first, again = load(table(), normalize="none"), load(table(), normalize="none")
    other = load(table(), normalize="none", seed=1)
    assert identities(first) == identities(again)
    assert set(identities(first)["test"]) != set(identities(other)["test"])


@pytest.mark.parametrize(
    ("shares", "kept"),
    [
        pytest.param({"train_dev": 0.1}, ("dev", "test"), id="train-dev"),
        pytest.param({"dev": 0.3}, ("test",), id="dev"),
    ],
)
def test_a_split_does_not_change_with_those_cut_later(load, table, shares, kept):
    before = identities(load(table(), normalize="none"))
    after = identities(load(table(), normalize="none", split=shares))
    for name in kept:
        assert before[name] == after[name]


def test_sizes_are_said(load, table):
    dataset = load(table(1300), split={"dev": 0.1, "test": 0.05, "train_dev": 0.02}, seed=3)
    assert dataset.notes[1] == (
        "t: 1,300 examples; train 1,079, dev 130, test 65, train-dev 26 (seed 3)"
    )


def test_shares_of_0_make_no_split(load, table):
    dataset = load(table(), split={"test": 0.0})
    assert dataset.test is None
    assert dataset.train_dev is None
    assert [len(dataset.train), len(dataset.dev)] == [32, 8]


NO_STRATIFY = "--set data.split.stratify=false."


@pytest.mark.parametrize(
    ("labels", "config", "text"),
    [
        pytest.param(
            np.r_[np.arange(40) % 2, 2],
            {},
            "t: the class '2' has too few examples for a stratified split: 1 is left when the test "
            f"set is cut, and 2 are needed\nAdd examples, take the class out, or try {NO_STRATIFY}",
            id="class of one",
        ),
        pytest.param(
            np.arange(40) % 10,
            {},
            "t: a test set of 8 cannot hold an example of each of 10 classes, as a stratified "
            f"split must\nGive it a larger share, or try {NO_STRATIFY}",
            id="test smaller than the classes",
        ),
        pytest.param(
            np.arange(40) % 10,
            {"split": SplitConfig(dev=0.5, test=0.3)},
            "t: a training set of 8 cannot hold an example of each of 10 classes, as a stratified "
            f"split must\nGive it a larger share, or try {NO_STRATIFY}",
            id="train smaller than the classes",
        ),
        pytest.param(
            np.arange(40) % 2,
            {"split": SplitConfig(dev=0.01)},
            "t: the dev set is empty: its share of 40 examples is less than half an example\n"
            "Try --set data.split.dev=0.025.",
            id="empty dev",
        ),
        pytest.param(
            np.arange(3) % 2,
            {"split": SplitConfig(dev=0.45, test=0.5)},
            "t: 3 examples leave none to train on after test 2, dev 1\n"
            "Give smaller shares in data.split, or more examples.",
            id="empty train",
        ),
        pytest.param(
            np.arange(40) % 2,
            {"seed": 2**32},
            "data.seed = 4294967296: must be at most 4294967295\nTry --set data.seed=0.",
            id="seed",
        ),
    ],
)
def test_splits_that_cannot_be_made(labels, config, text):
    from dltune.errors import DataError

    with pytest.raises(DataError) as caught:
        split(labels, **config)
    assert str(caught.value) == text


def test_advised_shares_make_splits(load, refuse, table):
    for rows in (2, 3):
        content = table(rows, y=lambda row: row / 3)
        error = refuse(content, split={"dev": 0.1, "test": 0.1})
        if rows == 2:  # no shares leave one to train on
            assert error.endswith("\nGive more examples.")
        else:
            assert error.endswith("\nTry --set data.split.test=0.334 --set data.split.dev=0.334.")
            again = refuse(content, split={"dev": 0.334, "test": 0.334})
            assert again == (
                "t.csv: the target 'y' is constant in the 1 training examples\nGive more examples."
            )


def test_a_class_of_one_without_stratification(load):
    labels = np.r_[np.arange(10) % 2, 2]
    x = np.arange(11.0)[:, None]

    def write(path):
        np.savez(path, X_train=x[:8], y_train=labels[:8], X_dev=x[8:], y_dev=labels[8:])

    dataset = load(write, name="a.npz", split={"test": 0.0}, task="classification")
    assert dataset.class_names == ("0", "1", "2")
    assert "classes in dev of which no example is in train: '2'" in dataset.notes
