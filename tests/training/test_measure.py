"""Measuring: eval mode, whole splits in chunks, dead rectifier units."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import dltune.training.measure as module
from dltune.data.device import Tensors
from dltune.training.measure import DeadUnits, measure_model


def test_measures_in_eval_mode_and_by_chunks_alike(monkeypatch) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Dropout(0.9), nn.Linear(8, 2))
    split = Tensors(features=torch.randn(50, 3), targets=torch.randint(2, (50,)))
    model.eval()
    outputs = model(split.features)
    expected_loss = F.cross_entropy(outputs, split.targets).item()
    wrong = int((outputs.argmax(dim=1) != split.targets).sum())
    for batch, least in ((8192, 128), (7, 1)):
        monkeypatch.setitem(module.LEAST_CHUNK, "cpu", least)
        model.train()
        measured = measure_model(
            model, split, loss=F.cross_entropy, task="classification", batch=batch
        )
        torch.testing.assert_close(measured.loss, expected_loss)
        assert measured.error == wrong / 50


def test_dead_units_of_dense_and_convolution_layers() -> None:
    linear = nn.Linear(2, 4)
    with torch.no_grad():
        linear.weight.zero_()
        linear.bias.copy_(torch.tensor([-1.0, -1.0, 1.0, 1.0]))  # half of the units never fire
    conv = nn.Conv2d(1, 2, 1)
    with torch.no_grad():
        conv.weight.zero_()
        conv.bias.copy_(torch.tensor([-1.0, 1.0]))
    for layer, batch in [(linear, torch.zeros(3, 2)), (conv, torch.zeros(3, 1, 4, 4))]:
        model = nn.Sequential(layer, nn.ReLU())
        dead = DeadUnits(model)
        with dead.watching():
            model(batch)
        assert dead.share() == 0.5


def test_a_unit_that_fires_in_any_batch_is_alive() -> None:
    model = nn.ReLU()
    dead = DeadUnits(model)
    with dead.watching():
        model(torch.tensor([[1.0, -1.0, -1.0]]))
        model(torch.tensor([[-1.0, 1.0, -1.0]]))
    assert dead.share() == pytest.approx(1 / 3)
    model(torch.tensor([[1.0, 1.0, 1.0]]))  # not watched any more
    assert dead.share() == pytest.approx(1 / 3)


def test_no_rectifier_no_share() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Tanh())
    dead = DeadUnits(model)
    with dead.watching():
        model(torch.zeros(1, 2))
    assert dead.share() is None
