"""Parameters as one vector: the same storage, the same updates."""

from __future__ import annotations

import copy

import pytest
import torch
from pydantic import TypeAdapter
from torch import nn

from dltune.recipe.schema import OptimConfig
from dltune.training.flat import FlatParameters
from dltune.training.optimizers import CLASSES, build_optimizer

CPU = torch.device("cpu")


def make_model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.PReLU(), nn.Linear(4, 2)).double()


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_updates_equal_those_of_separate_tensors(name: str) -> None:
    flat_model, model = make_model(), make_model()
    batch = torch.randn(6, 5, dtype=torch.float64)
    optim = TypeAdapter(OptimConfig).validate_python(
        {"name": name, "lr": 0.01, "weight_decay": 0.1}
    )
    flat = FlatParameters(list(flat_model.parameters()))
    optimizers = [
        build_optimizer(optim, [flat.vector], device=CPU),
        build_optimizer(optim, model.parameters(), device=CPU),
    ]
    for _ in range(10):
        for one in (flat_model, model):
            one.zero_grad()
            one(batch).square().mean().backward()
        flat.gather_gradients()
        for optimizer in optimizers:
            optimizer.step()
    for mine, other in zip(flat_model.parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-12, atol=1e-14)


def test_loading_weights_goes_through_to_the_vector() -> None:
    model = make_model()
    flat = FlatParameters(list(model.parameters()))
    weights = {name: torch.ones_like(value) for name, value in model.state_dict().items()}
    model.load_state_dict(copy.deepcopy(weights))
    assert torch.equal(flat.vector, torch.ones_like(flat.vector))
