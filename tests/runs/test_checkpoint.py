"""The weights of the best trial: what is written is read back, and nothing in it is run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from dltune.data.dataset import Dataset, Examples
from dltune.data.device import to_device
from dltune.errors import RunFolderError
from dltune.recipe.files import load_recipe
from dltune.recipe.schema import Config, DataConfig
from dltune.runs.checkpoint import BestWeights, pack_checkpoint, read_checkpoint
from dltune.training.history import Trial, TrialRecord, TrialState
from dltune.training.loop import train_cohort

CONFIG = Config(data=DataConfig(source="sklearn:wine"))
TRIAL = TrialRecord(number=3, seed=7, state=TrialState.COMPLETE, objective=0.1, best_epoch=2)

TIED = """\
import torch
from torch import nn

class Tied(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.encode = nn.Linear(inputs, 4, bias=False)
        self.decode = nn.Linear(inputs, 4, bias=False)
        self.decode.weight = self.encode.weight
        self.head = nn.Linear(4, outputs)
        self.register_buffer("passes", torch.zeros((), dtype=torch.int64))
    def forward(self, x):
        return self.head(torch.tanh(self.encode(x)) + self.decode(x))

def build(inputs, outputs):
    return Tied(*inputs, outputs)
"""


def written(folder: Path, weights: Mapping[str, Any]) -> Path:
    """A run folder's weights, written as a search writes them."""
    (folder / "checkpoints").mkdir(parents=True)
    best = BestWeights(folder)
    best.write(3, pack_checkpoint(TRIAL, CONFIG, weights))
    best.choose(3, is_new=True)
    return folder


@pytest.mark.parametrize(
    "dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16, torch.int64, torch.bool]
)
def test_tensors_come_back_as_they_were(tmp_path: Path, dtype: torch.dtype) -> None:
    weights = {
        "matrix": torch.arange(6).reshape(2, 3).to(dtype),
        "transposed": torch.arange(6).reshape(2, 3).to(dtype).t(),
        "scalar": torch.tensor(1, dtype=dtype),
        "empty": torch.zeros(0, 3, dtype=dtype),
    }
    found = read_checkpoint(written(tmp_path, weights))
    assert (found.trial, found.epoch, found.seed, found.config) == (3, 2, 7, CONFIG)
    assert set(found.weights) == set(weights)
    for name, tensor in weights.items():
        assert found.weights[name].dtype == dtype
        assert torch.equal(found.weights[name], tensor)


def test_the_two_files_say_their_format(tmp_path: Path) -> None:
    folder = written(tmp_path, {"weight": torch.ones(2)}) / "checkpoints"
    assert sorted(file.name for file in folder.iterdir()) == ["best.json", "best.safetensors"]
    assert json.loads((folder / "best.json").read_text())["format"] == 1
    assert load_file(folder / "best.safetensors")["weight"].tolist() == [1.0, 1.0]


def test_a_tensor_with_two_names_is_stored_once(tmp_path: Path) -> None:
    shared = torch.ones(4, 5)
    found = read_checkpoint(written(tmp_path, {"first": shared, "second": shared}))
    assert list(load_file(tmp_path / "checkpoints" / "best.safetensors")) == ["first"]
    assert found.weights["second"] is found.weights["first"]


@pytest.mark.parametrize("stacked", [False, True], ids=["looped", "stacked"])
def test_tied_weights_of_a_training_are_stored_once_and_loaded(
    tmp_path: Path, stacked: bool
) -> None:
    (tmp_path / "net.py").write_text(TIED)
    (tmp_path / "recipe.toml").write_text(
        'data.source = "sklearn:wine"\nmodel.factory = "net.py:build"\n'
        'train.epochs = 2\ntrain.device = "cpu"\n'
    )
    config = load_recipe(tmp_path / "recipe.toml").config()
    features = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    split = Examples(features=features, targets=(features.sum(axis=1) > 0).astype(np.int64))
    data = to_device(
        Dataset(
            name="sums", task="classification", train=split, dev=split, test=None, train_dev=None,
            outputs=2,
        ),
        torch.device("cpu"),
    )  # fmt: skip
    trials = [Trial(number=number, config=config, seed=number) for number in range(2)]
    training = train_cohort(trials, data, folder=tmp_path, stacked=stacked)
    outcomes = {one.record.number: one for epoch in training for one in epoch.ended}
    outcome = outcomes[1]
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    best = BestWeights(run)
    best.write(1, pack_checkpoint(outcome.record, config, outcome.weights))
    best.choose(1, is_new=True)

    stored = load_file(run / "checkpoints" / "best.safetensors")
    assert sorted(stored) == ["encode.weight", "head.bias", "head.weight", "passes"]
    found = read_checkpoint(run)
    assert found.weights["decode.weight"] is found.weights["encode.weight"]
    names: dict[str, Any] = {}
    exec(TIED, names)  # the model as its file makes it
    model: nn.Module = names["build"]((3,), 2)
    model.load_state_dict(found.weights)
    model.eval()
    wrong = model(data.dev.features).argmax(dim=1) != data.dev.targets
    assert outcome.record.dev_error == pytest.approx(wrong.float().mean().item())


def test_what_a_module_adds_to_its_state_is_kept_if_json_can_say_it(tmp_path: Path) -> None:
    extra = {"seen": 12, "names": ["a", "b"]}
    found = read_checkpoint(written(tmp_path, {"weight": torch.ones(1), "_extra_state": extra}))
    assert found.weights["_extra_state"] == extra


@pytest.mark.parametrize(
    "value", [(1, 2), object(), float("nan"), torch.eye(3).to_sparse()], ids=str
)
def test_what_cannot_be_stored_is_told_when_it_is_read(tmp_path: Path, value: object) -> None:
    written(tmp_path, {"weight": torch.ones(1), "net._extra_state": value})
    with pytest.raises(RunFolderError) as refused:
        read_checkpoint(tmp_path)
    assert str(refused.value) == (
        f"{tmp_path / 'checkpoints' / 'best.json'}: net._extra_state of the model could not be "
        "stored\nLet get_extra_state return numbers, texts, lists or dicts of such."
    )


class TestErrors:
    @pytest.mark.parametrize("name", ["best.safetensors", "best.json"])
    def test_no_weights(self, tmp_path: Path, name: str) -> None:
        written(tmp_path, {"weight": torch.ones(1)})
        file = tmp_path / "checkpoints" / name
        file.unlink()
        with pytest.raises(RunFolderError) as refused:
            read_checkpoint(tmp_path)
        assert str(refused.value) == (
            f"{file}: not found, so {tmp_path} keeps no weights\n"
            f"Train it again: dltune train {tmp_path}/best.toml."
        )

    @pytest.mark.parametrize("name", ["best.safetensors", "best.json"])
    @pytest.mark.parametrize(
        "content", [b"", b"\x80\x04K\x01.", b"[1]", b"\xff" * 40], ids=["0", "pickle", "list", "ff"]
    )
    def test_damaged(self, tmp_path: Path, name: str, content: bytes) -> None:
        written(tmp_path, {"weight": torch.ones(1)})
        (tmp_path / "checkpoints" / name).write_bytes(content)
        with pytest.raises(RunFolderError) as refused:
            read_checkpoint(tmp_path)
        assert refused.value.found.startswith(f"{tmp_path / 'checkpoints' / 'best.json'}: damaged")

    def test_files_of_two_trials(self, tmp_path: Path) -> None:
        """A kill between the two renamings leaves this; opening the folder puts it right."""
        written(tmp_path, {"weight": torch.ones(1)})
        about = tmp_path / "checkpoints" / "best.json"
        about.write_text(about.read_text().replace('"trial": 3', '"trial": 4'))
        with pytest.raises(RunFolderError) as refused:
            read_checkpoint(tmp_path)
        assert refused.value.found == (
            f"{tmp_path / 'checkpoints' / 'best.safetensors'} and best.json are of two trials"
        )
        best = BestWeights(tmp_path)
        best.write(4, pack_checkpoint(TRIAL, CONFIG, {"weight": torch.zeros(1)}))
        (tmp_path / "checkpoints" / "trial-4.safetensors").replace(
            tmp_path / "checkpoints" / "best.safetensors"
        )
        best.choose(4, is_new=False)
        assert read_checkpoint(tmp_path).weights["weight"].tolist() == [0.0]
