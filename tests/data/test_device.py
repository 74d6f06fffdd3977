from __future__ import annotations

import numpy as np
import pytest
import torch

from dltune.data.device import check_precision, resolve_device, to_device
from dltune.errors import DataError, TrainingError
from dltune.recipe.schema import TrainConfig

CPU = torch.device("cpu")
X = np.random.default_rng(0).normal(size=(40, 3))


def archive(y):
    return lambda path: np.savez(path, X=X, y=y)


def test_a_target_constant_to_float32_is_refused(load):
    """Beside 1e9 float32 rounds to multiples of 64."""
    dataset = load(archive(1e9 + X[:, 0]), name="a.npz", normalize_target="none")
    with pytest.raises(DataError) as refused:
        to_device(dataset, CPU)
    assert str(refused.value) == (
        "a: the target is constant in the train split of 24 examples: 1 - R^2 is not defined "
        "there\nfloat32 does not tell its values apart: --set data.normalize_target=zscore."
    )
    scaled = load(archive(1e9 + X[:, 0]), name="a.npz", normalize_target="zscore")
    assert to_device(scaled, CPU).train.targets.std() > 0.9


def test_a_target_constant_in_a_small_split_is_refused(load):
    y = np.where(np.arange(40) == 0, 1.0, 0.5)
    dataset = load(archive(y), name="a.npz", task="regression")
    with pytest.raises(DataError) as refused:
        to_device(dataset, CPU)
    assert str(refused.value) == (
        "a: the target is constant in the dev split of 8 examples: 1 - R^2 is not defined there\n"
        "Try a larger share, such as --set data.split.dev=0.3."
    )


def test_a_share_is_not_advised_for_a_split_that_is_given(load):
    y = np.arange(40) / 3

    def write(path):
        np.savez(path, X_train=X, y_train=y, X_dev=X, y_dev=np.full(40, 0.5))

    with pytest.raises(DataError) as refused:
        to_device(load(write, name="a.npz"), CPU)
    assert str(refused.value) == (
        "a: the target is constant in the dev split of 40 examples: 1 - R^2 is not defined there\n"
        "Give a dev set whose targets differ."
    )


def test_a_share_is_not_advised_that_leaves_nothing_to_train_on(load):
    y = np.where(np.arange(40) == 0, 1.0, 0.5)
    dataset = load(
        archive(y), name="a.npz", task="regression", split={"dev": 0.4, "test": 0.4}, seed=7
    )
    with pytest.raises(DataError) as refused:
        to_device(dataset, CPU)
    assert str(refused.value).endswith("\nGive more examples.")


def test_only_apples_gpu_lacks_float64(monkeypatch):
    for kind in ("cpu", "cuda", "mps"):
        for precision in ("float32", "bfloat16"):
            check_precision(precision, kind=kind)
    for kind in ("cpu", "cuda"):
        check_precision("float64", kind=kind)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert resolve_device(TrainConfig()).type == "mps"
    for device in ("auto", "mps"):
        with pytest.raises(
            TrainingError, match=r"^train.precision = 'float64': .*\n.*--device cpu"
        ):
            resolve_device(TrainConfig(device=device, precision="float64"))
    assert resolve_device(TrainConfig(device="cpu", precision="float64")).type == "cpu"
