from __future__ import annotations

import numpy as np
import pytest

CHANGE = "; to change it: --set data.task="


@pytest.mark.parametrize(
    ("rows", "cell", "task", "found"),
    [
        pytest.param(
            40,
            lambda row: row * 1.5,
            "regression",
            f"40 distinct numbers, not all whole{CHANGE}classification",
            id="fractions",
        ),
        pytest.param(
            40,
            lambda row: row % 2 + 0.5,
            "regression",
            f"2 distinct numbers, not all whole{CHANGE}classification",
            id="few fractions",
        ),
        pytest.param(
            40,
            lambda row: row % 3,
            "classification",
            f"3 distinct whole numbers in 40 rows{CHANGE}regression",
            id="few whole numbers",
        ),
        pytest.param(
            40,
            lambda row: f"{row % 3}.0",
            "classification",
            f"3 distinct whole numbers in 40 rows{CHANGE}regression",
            id="whole numbers with a point",
        ),
        pytest.param(
            100,
            lambda row: row % 20,
            "classification",
            f"20 distinct whole numbers in 100 rows{CHANGE}regression",
            id="20 values, 5 times each",
        ),
        pytest.param(
            99,
            lambda row: row % 20,
            "regression",
            f"20 distinct whole numbers in 99 rows{CHANGE}classification",
            id="20 values, not 5 times each",
        ),
        pytest.param(
            210,
            lambda row: row % 21,
            "regression",
            f"21 distinct whole numbers in 210 rows{CHANGE}classification",
            id="21 values",
        ),
        pytest.param(
            40,
            lambda row: "ab"[row % 2],
            "classification",
            "2 distinct values that are no numbers",
            id="texts",
        ),
    ],
)
def test_task_is_inferred_and_said(load, table, rows, cell, task, found):
    dataset = load(table(rows, y=cell), split={"stratify": False})
    assert dataset.task == task
    assert dataset.notes[0] == f"task: {task}, inferred from 'y': {found}"


def test_a_task_that_is_set_is_not_inferred(load, table):
    dataset = load(table(y=lambda row: row % 3), task="regression")
    assert dataset.task == "regression"
    assert not any(note.startswith("task:") for note in dataset.notes)


def test_several_targets_are_a_regression(load):
    targets = np.random.default_rng(0).normal(size=(40, 3))
    dataset = load(lambda path: np.savez(path, X=targets, y=targets), name="a.npz")
    assert (dataset.task, dataset.outputs) == ("regression", 3)
    assert dataset.notes[0] == "task: regression, inferred from 3 targets"


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        pytest.param(["10", "9", "2"], ("2", "9", "10"), id="numbers by value"),
        pytest.param(["b", "a", "C"], ("C", "a", "b"), id="texts by letter"),
        pytest.param(["1.5", "0.5", "-1"], ("-1", "0.5", "1.5"), id="fractions by value"),
    ],
)
def test_classes_are_numbered_in_order(load, table, labels, names):
    dataset = load(
        table(60, a=lambda row: row % 3, y=lambda row: labels[row % 3]),
        task="classification",
        normalize="none",
    )
    assert dataset.class_names == names
    assert dataset.outputs == 3
    for split in (dataset.train, dataset.dev, dataset.test):
        written = [labels[int(value)] for value in split.features[:, 0]]
        assert [names[label] for label in split.targets] == written


def test_targets_are_scaled_by_the_training_set(load, table):
    raw = load(table(), normalize_target="none")
    scaled = load(table())
    assert raw.target_mean.tolist() == [0.0]
    assert raw.target_scale.tolist() == [1.0]
    np.testing.assert_allclose(scaled.target_mean, raw.train.targets.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(scaled.target_scale, raw.train.targets.std(axis=0), rtol=1e-6)
    assert scaled.train.targets.dtype == np.float32
    np.testing.assert_allclose(scaled.train.targets.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(scaled.train.targets.std(axis=0), 1, rtol=1e-6)
    for split in ("train", "dev", "test"):
        back = getattr(scaled, split).targets * scaled.target_scale + scaled.target_mean
        np.testing.assert_allclose(back, getattr(raw, split).targets, rtol=1e-5, atol=1e-5)


def test_classes_have_no_scale(load, table):
    dataset = load(table(y=lambda row: row % 2))
    assert dataset.target_mean is None
    assert dataset.target_scale is None


@pytest.mark.parametrize(
    ("cell", "task", "text"),
    [
        pytest.param(
            lambda row: "red",
            None,
            "the target 'y' has one class only ('red' in all 40 rows); a classification needs "
            "two\nCheck data.target, or add examples of another class.",
            id="one class",
        ),
        pytest.param(
            lambda row: 3,
            "classification",
            "the target 'y' has one class only ('3' in all 40 rows); a classification needs "
            "two\nCheck data.target, or add examples of another class.",
            id="one number as a class",
        ),
        pytest.param(
            lambda row: 3.5,
            None,
            "the target 'y' is 3.5 in all 40 rows: there is nothing to predict\nCheck data.target.",
            id="constant",
        ),
        pytest.param(
            lambda row: 3,
            None,
            "the target 'y' is 3 in all 40 rows: there is nothing to predict\nCheck data.target.",
            id="constant whole number",
        ),
        pytest.param(
            lambda row: "ab"[row % 2],
            "regression",
            "the target 'y' holds texts ('a' on line 2), and a regression needs numbers\n"
            "Try --set data.task=classification.",
            id="texts in a regression",
        ),
        pytest.param(
            lambda row: row + 0.5,
            "classification",
            "the target 'y' has 40 classes in 40 rows, so that most occur once\n"
            "Check data.target; for quantities: --set data.task=regression.",
            id="quantities in a classification",
        ),
        pytest.param(
            lambda row: f"name {row}",
            None,
            "the target 'y' has 40 classes in 40 rows, so that most occur once\nCheck data.target.",
            id="names",
        ),
    ],
)
def test_targets_that_cannot_be_learned(refuse, table, cell, task, text):
    assert refuse(table(y=cell), task=task) == f"t.csv: {text}"


def test_several_targets_are_no_classes(refuse):
    targets = np.random.default_rng(0).normal(size=(40, 3))

    def write(path):
        np.savez(path, X=targets, y=targets)

    assert refuse(write, name="a.npz", task="classification") == (
        "data.task = 'classification': a.npz has 3 targets an example; a classification needs one "
        "label\nTry --set data.task=regression."
    )


def test_target_that_is_constant_in_train_only(refuse):
    x, constant, varied = np.zeros((20, 1)), np.full(20, 0.5), np.arange(20) / 3

    def write(path):
        np.savez(path, X_train=x, y_train=constant, X_dev=x, y_dev=varied)

    assert refuse(write, name="a.npz", split={"test": 0.0}) == (
        "a.npz: the target 'y' is constant in the 20 training examples\n"
        "Give a training set whose targets differ."
    )


def test_a_target_that_chance_made_constant_in_train(refuse, table):
    content = table(4, y=lambda row: 1.5 if row < 3 else 2.5)
    assert refuse(content, seed=1, split={"test": 0.0, "dev": 0.3}) == (
        "t.csv: the target 'y' is constant in the 3 training examples\n"
        "Use another --set data.seed=2, or more examples."
    )


def test_targets_that_no_key_names(refuse):
    def write(y):
        return lambda path: np.savez(path, X=np.eye(40), y=y)

    assert refuse(write(np.full(40, np.nan)), name="a.npz") == (
        "a.npz, column 'y': no value in any of its 40 rows\nGive another y."
    )
    assert refuse(write(np.full(40, 3.5)), name="a.npz") == (
        "a.npz: the target 'y' is 3.5 in all 40 rows: there is nothing to predict\nCheck y."
    )
    assert refuse(write(np.array(["2024-01-01"] * 40)), name="a.npz").endswith("\nGive another y.")
