from __future__ import annotations

import dataclasses
import importlib.util
from pathlib import Path

import numpy as np
import pytest

from dltune.data.dataset import Examples
from dltune.data.load import load_data
from dltune.recipe.schema import DataConfig

HOUSING = Path(__file__).parents[2] / "recipes" / "data"


def make_housing():
    spec = importlib.util.spec_from_file_location("make_housing", HOUSING / "make_housing.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_script_makes_the_housing_file_byte_by_byte():
    assert make_housing().make_csv().encode() == (HOUSING / "housing.csv").read_bytes()


def test_the_noise_in_housing_is_what_the_script_says():
    module = make_housing()
    rows = module.make_rows()
    noise = np.array([np.log(row[-1] / module.price(*row[:-1])) for row in rows])
    assert noise.mean() == pytest.approx(0, abs=4 * module.NOISE / np.sqrt(len(rows)))
    assert noise.std() == pytest.approx(module.NOISE, rel=0.1)


def test_housing():
    dataset = load_data(DataConfig(source="housing.csv", target="price"), folder=HOUSING)
    assert dataset.notes == (
        "task: regression, inferred from 'price': 1,070 distinct numbers, not all whole; to change "
        "it: --set data.task=classification",
        "housing: 1,200 examples; train 720, dev 240, test 240 (seed 0)",
        "categorical: heating (4 categories), district (6 categories), condition (4 categories)",
    )
    assert dataset.name == "housing"
    assert dataset.input_shape == (5 + 5 + 7 + 5,)
    assert dataset.outputs == 1


@pytest.mark.parametrize("source", ["sklearn:digits", "sklearn:wine", "sklearn:linnerud"])
def test_what_the_other_rooms_rely_on(load, source):
    dataset = load(source=source, split={"train_dev": 0.1})
    for examples in (dataset.train, dataset.dev, dataset.test, dataset.train_dev):
        assert examples.features.dtype == np.float32
        assert examples.features.shape[1:] == dataset.input_shape
        # torch.from_numpy shares memory with arrays, and warns of those that are not writable.
        assert examples.features.flags.c_contiguous
        assert examples.features.flags.writeable
        assert examples.targets.flags.writeable
        if dataset.task == "classification":
            assert examples.targets.dtype == np.int64
            assert examples.targets.ndim == 1
            assert examples.targets.max() < dataset.outputs == len(dataset.class_names)
        else:
            assert examples.targets.dtype == np.float32
            assert examples.targets.shape[1:] == (dataset.outputs,)


def test_the_same_twice(load):
    first, again = load(source="sklearn:wine"), load(source="sklearn:wine")
    np.testing.assert_array_equal(first.train.features, again.train.features)
    np.testing.assert_array_equal(first.test.targets, again.test.targets)


def test_a_dataset_is_frozen(load):
    dataset = load(source="sklearn:wine")
    with pytest.raises(dataclasses.FrozenInstanceError):
        dataset.name = "other"


def test_examples_check_their_lengths():
    with pytest.raises(ValueError, match="2 features but 3 targets"):
        Examples(features=np.zeros((2, 1), np.float32), targets=np.zeros(3, np.int64))
