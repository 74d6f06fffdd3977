"""One trial's learner against the same training written out by hand in plain torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from dltune.data.device import DeviceData
from dltune.errors import ModelError
from dltune.training.learner import Learner
from tests.training.configs import make_config


def train_by_hand(learner: Learner, data: DeviceData, *, epochs: int, l2: float) -> nn.Module:
    """Plain torch: Adam in its for-loop form, clipping, cosine decay, two batches an update."""
    config = learner.config
    model = nn.Sequential(
        nn.Flatten(),
        nn.Linear(13, 8),
        nn.BatchNorm1d(8),
        nn.ReLU(),
        nn.Identity(),  # where dropout stands
        nn.Linear(8, 3),
    )
    model[1] = nn.Linear(13, 8, bias=False)
    model.load_state_dict(learner.weights())
    twin = Learner(config, seed=5, data=data, folder=Path())  # for its order of batches
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01, foreach=False)
    updates = epochs * learner.updates_per_epoch
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=updates)
    for _ in range(epochs):
        for batches in twin.update_batches():
            optimizer.zero_grad()
            for rows in batches:
                outputs = model(data.train.features[rows])
                loss = nn.functional.cross_entropy(outputs, data.train.targets[rows])
                (loss / len(batches)).backward()
            for weight in (model[1].weight, model[5].weight):
                weight.grad += l2 * weight.detach()
            nn.utils.clip_grad_norm_(model.parameters(), 0.5)
            optimizer.step()
            scheduler.step()
    return model


def test_training_equals_plain_torch(wine: DeviceData) -> None:
    config = make_config(
        model={"hidden": [8], "batch_norm": True},
        optim={"name": "adam", "lr": 0.01},
        schedule={"name": "cosine"},
        regularize={"l2": 0.01, "clip_norm": 0.5},
        train={"epochs": 4, "batch_size": 16, "accumulate": 2},
    )
    learner = Learner(config, seed=5, data=wine, folder=Path())
    by_hand = train_by_hand(learner, wine, epochs=4, l2=0.01)
    for _ in range(4):
        learner.run_epoch()
    for name, value in by_hand.state_dict().items():
        torch.testing.assert_close(learner.weights()[name], value, rtol=1e-4, atol=1e-6)


def test_initial_weights_and_order_depend_on_the_seed_alone(wine: DeviceData) -> None:
    config = make_config(model={"dropout": 0.5})
    learners = [Learner(config, seed=s, data=wine, folder=Path()) for s in (1, 1, 2)]
    torch.manual_seed(99)  # the caller's random state is nobody's business
    same, again, other = ([w.clone() for w in le.parameters] for le in learners)
    assert all(torch.equal(a, b) for a, b in zip(same, again, strict=True))
    assert not torch.equal(same[0], other[0])


def test_the_callers_random_state_is_untouched(wine: DeviceData) -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    learner = Learner(make_config(model={"dropout": 0.5}), seed=1, data=wine, folder=Path())
    learner.run_epoch()
    learner.measure_train()
    assert torch.equal(before, torch.get_rng_state())


def test_last_update_is_described_by_its_definitions(wine: DeviceData) -> None:
    whole = {"batch_size": "full", "epochs": 1}
    config = make_config(optim={"name": "sgd", "lr": 0.1}, train=whole)
    learner = Learner(config, seed=1, data=wine, folder=Path())
    before = learner.weights()
    update = learner.run_epoch()
    after = learner.weights()
    change = torch.cat([(after[k] - before[k]).flatten() for k in before]).norm().item()
    size = torch.cat([before[k].flatten() for k in before]).norm().item()
    assert update.lr == [0.1]
    # plain descent: the change is lr times the gradient
    assert update.grad_norm == [pytest.approx(change / 0.1, rel=1e-4)]
    assert update.update_ratio == [pytest.approx(change / size, rel=1e-4)]


def test_gradient_norm_is_that_before_clipping(wine: DeviceData) -> None:
    def grad_norm(**regularize: float) -> list[float]:
        config = make_config(regularize=regularize, train={"batch_size": "full", "epochs": 1})
        return Learner(config, seed=1, data=wine, folder=Path()).run_epoch().grad_norm

    assert grad_norm(clip_norm=1e-3) == pytest.approx(grad_norm())


def test_max_norm_holds_after_every_update(wine: DeviceData) -> None:
    settings = {"max_norm": 0.3}
    config = make_config(regularize=settings, optim={"name": "sgd", "lr": 1.0}, train={"epochs": 1})
    learner = Learner(config, seed=1, data=wine, folder=Path())
    learner.run_epoch()
    for weight in learner.parameters:
        if weight.ndim == 2:
            assert weight.norm(dim=1).max().item() == pytest.approx(0.3, rel=1e-5)


def test_accumulated_batches_of_unequal_size_equal_one_large_batch(wine: DeviceData) -> None:
    """106 examples in batches of 40 are 40, 40 and 26; each example counts alike."""
    accumulated = make_config(train={"batch_size": 40, "accumulate": 3, "epochs": 1})
    learner = Learner(accumulated, seed=1, data=wine, folder=Path())
    (batches,) = learner.update_batches()
    assert [len(batch) for batch in batches] == [40, 40, 26]
    loss = learner.gradients(batches)
    gradients = [weight.grad.clone() for weight in learner.parameters if weight.grad is not None]
    whole_loss = learner.gradients([torch.cat(batches)])
    torch.testing.assert_close(loss, whole_loss)
    for gradient, weight in zip(gradients, learner.parameters, strict=True):
        torch.testing.assert_close(gradient, weight.grad)


@pytest.mark.parametrize("model", [{"hidden": [4]}, {"name": "cnn", "filters": [2], "hidden": []}])
def test_batch_norm_needs_more_than_one_example(digits: DeviceData, model: dict[str, Any]) -> None:
    single = {"batch_size": 1, "epochs": 1}
    config = make_config(model=model | {"batch_norm": True}, train=single)
    with pytest.raises(ModelError) as refused:
        Learner(config, seed=1, data=digits, folder=Path())
    assert str(refused.value) == (
        "model.batch_norm = true, but a batch has one example (train.batch_size): batch norm "
        "divides by the spread of a batch\n"
        "Try --set train.batch_size=32, or --set model.batch_norm=false."
    )
    Learner(make_config(model=model, train=single), seed=1, data=digits, folder=Path())
