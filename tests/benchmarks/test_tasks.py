"""Both sides of a comparison train the same: the same data, the same models, the same space."""

from __future__ import annotations

import importlib
import json
import time
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch
from torch import nn

from benchmarks.tasks import TASKS, Task, tasks_named
from dltune.data.dataset import Dataset
from dltune.data.load import load_data
from dltune.models.build import build_model
from dltune.models.dropout import Dropout
from dltune.recipe.files import load_recipe
from dltune.recipe.schema import Config

DROPOUT = 0.25

every_task = pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)


def config_of(task: Task, folder: Path) -> Config:
    recipe = load_recipe(task.write_recipe(folder), overrides=[f"model.dropout={DROPOUT}"])
    return recipe.config(recipe.space.from_unit([0.5] * len(recipe.space)))


def both(task: Task, folder: Path) -> tuple[Dataset, nn.Module, nn.Module]:
    """The data, dltune's model and the peers'."""
    config = config_of(task, folder)
    data = load_data(config.data, folder=folder)
    ours = build_model(config.model, inputs=data.input_shape, outputs=data.outputs, folder=folder)
    return data, ours, importlib.import_module("task").build_model(task.name, DROPOUT)


def in_words(model: nn.Module) -> list[str]:
    """The layers that do something, and what kind of dropout with which share."""
    words = []
    for layer in model.children():
        if isinstance(layer, Dropout):
            words.append(f"Dropout{'2d' if layer.channels else ''} {layer.p}")
        elif isinstance(layer, nn.Dropout | nn.Dropout2d):
            words.append(f"{type(layer).__name__} {layer.p}")
        elif not isinstance(layer, nn.Flatten):
            words.append(type(layer).__name__)
    return words


@every_task
def test_the_recipe_searches_three_ranges_with_adam(task: Task, tmp_path: Path) -> None:
    recipe = load_recipe(task.write_recipe(tmp_path))
    found = {one.path: (one.range.low, one.range.high) for one in recipe.space.dimensions}
    assert found == {
        "model.dropout": (0.0, 0.5),
        "optim.lr": (1e-4, 1e-1),
        "optim.weight_decay": (1e-6, 1e-2),
    }
    config = config_of(task, tmp_path)
    assert (config.optim.name, config.train.epochs, config.train.batch_size) == ("adam", 10, 64)


def parameters_of_perceptron(units: int) -> int:
    return 64 * units + units + units * units + units + units * 10 + 10


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("mlp-32", parameters_of_perceptron(32)),
        ("mlp-128", parameters_of_perceptron(128)),
        ("mlp-512", parameters_of_perceptron(512)),
        # conv 16: 3*3*1*16+16, conv 32: 3*3*16*32+32, dense: 32*2*2*64+64, out: 64*10+10
        ("cnn", 160 + 4640 + 8256 + 650),
    ],
)
def test_parameter_counts(name: str, parameters: int, tmp_path: Path) -> None:
    _, *models = both(TASKS[name], tmp_path)
    assert [sum(w.numel() for w in model.parameters()) for model in models] == [parameters] * 2


@every_task
def test_models_have_the_same_layers(task: Task, tmp_path: Path) -> None:
    _, ours, peers = both(task, tmp_path)
    assert in_words(ours) == in_words(peers)
    assert f"Dropout {DROPOUT}" in in_words(ours)


@every_task
def test_models_with_the_same_weights_are_the_same_function(task: Task, tmp_path: Path) -> None:
    data, ours, peers = both(task, tmp_path)
    peers.load_state_dict(dict(zip(peers.state_dict(), ours.state_dict().values(), strict=True)))
    features = torch.from_numpy(data.dev.features)
    as_theirs = features if task.name == "cnn" else features.flatten(1)
    torch.testing.assert_close(ours.eval()(features), peers.eval()(as_theirs))


@every_task
def test_peers_train_on_what_dltune_trains_on(task: Task, tmp_path: Path) -> None:
    data = load_data(config_of(task, tmp_path).data, folder=tmp_path)
    train_x, train_y, dev_x, dev_y = importlib.import_module("task").load_tensors(task.name)
    assert (len(train_y), len(dev_y)) == (1079, 359)
    torch.testing.assert_close(
        torch.from_numpy(data.train.features).reshape(train_x.shape), train_x
    )
    torch.testing.assert_close(torch.from_numpy(data.dev.features).reshape(dev_x.shape), dev_x)
    assert data.train.targets.tolist() == train_y.tolist()
    assert data.dev.targets.tolist() == dev_y.tolist()


def run(peer: str, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr("sys.argv", [peer, *arguments])
    importlib.import_module(peer).main()


@pytest.mark.parametrize("model", ["mlp-32", "cnn"])
def test_the_plain_peer_trains(
    model: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = time.time()
    run("optuna_dataloader", monkeypatch, "--model", model, "--trials", "2", "--epochs", "2")
    outcome: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert before < outcome["ready"] < outcome["done"] < time.time()
    assert outcome["warm"] == 1
    assert len(outcome["dev_errors"]) == 2
    assert min(outcome["dev_errors"]) < 0.5  # of ten classes


def test_the_experts_peer_trains(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["peer", "--model", "mlp-32", "--epochs", "2"])
    peer, task = map(importlib.import_module, ("optuna_processes", "task"))
    trial = optuna.trial.FixedTrial({"lr": 1e-2, "weight_decay": 1e-6, "dropout": 0.0})
    error = peer.train_trial(trial, task.load_tensors("mlp-32"), task.read_options(""))
    assert error < 0.2


def test_an_unknown_model_is_named() -> None:
    with pytest.raises(
        ValueError,
        match=r"^no model is called 'mlp': there are mlp-32, mlp-128, mlp-512, cnn$",
    ):
        tasks_named("cnn,mlp")
