from __future__ import annotations

import dataclasses
import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from dltune.data.device import DeviceData, Tensors
from dltune.errors import ModelError, SweepError
from dltune.lr.curve import LrCurve, SweepEnd, exponential_rates
from dltune.lr.suggest import LrStatus, suggest
from dltune.lr.sweep import sweep
from dltune.recipe.schema import Config
from dltune.training.learner import Learner

LINEAR = {"hidden": []}
SMALL = {"hidden": [16]}


def config(**sections: dict[str, Any]) -> Config:
    return Config.model_validate({"data": {"source": "sklearn:wine"}, **sections})


def run(data: DeviceData, made: Config, **plan: Any) -> LrCurve:
    plan = {"seed": 0, "folder": Path(), "low": 1e-6, "high": 1e2, "steps": 200} | plan
    return sweep(made, data=data, **plan)


@pytest.mark.parametrize("steps", [100, 200, 400])
def test_the_edge_of_a_quadratic_is_where_theory_has_it(diabetes: DeviceData, steps: int) -> None:
    """Gradient descent on a quadratic diverges above 2 / (largest eigenvalue of its Hessian).

    A sweep is seen to diverge only after some updates, never before: between once and four times
    that rate.
    """
    made = config(
        model=LINEAR, optim={"name": "sgd"}, train={"batch_size": "full"}, objective={"loss": "mse"}
    )
    features = diabetes.train.features.double()
    inputs = torch.cat([features, torch.ones(len(features), 1)], dim=1)
    hessian = 2.0 * inputs.T @ inputs / len(inputs)
    edge = 2.0 / torch.linalg.eigvalsh(hessian).max().item()
    curve = run(diabetes, made, steps=steps)
    found = suggest(curve)
    assert curve.end is SweepEnd.DIVERGED
    assert found.status is LrStatus.OK
    assert found.edge is not None
    assert found.suggestion is not None
    assert edge <= found.edge <= 4.0 * edge
    assert found.suggestion < edge


def test_a_loss_belongs_to_the_rate_of_the_update_before_it(wine: DeviceData) -> None:
    """The same updates by hand, in plain torch."""
    made = config(model=LINEAR, optim={"name": "sgd"}, train={"batch_size": 32})
    curve = run(wine, made, low=1e-3, high=1e-1, steps=20)
    learner = Learner(made, seed=0, data=wine, folder=Path())
    weight, bias = (w.detach().clone().requires_grad_() for w in learner.parameters)
    rates, losses = exponential_rates(1e-3, 1e-1, 20), []
    while len(losses) < 21:
        for (batch,) in learner.update_batches().epoch():
            outputs = wine.train.features[batch] @ weight.T + bias
            loss = F.cross_entropy(outputs, wine.train.targets[batch])
            gradients = torch.autograd.grad(loss, [weight, bias])
            losses.append(loss.item())
            if len(losses) == 21:
                break
            with torch.no_grad():
                for w, gradient in zip((weight, bias), gradients, strict=True):
                    w -= rates[len(losses) - 1] * gradient
    assert curve.initial_loss == pytest.approx(losses[0], rel=1e-5)
    assert curve.losses == pytest.approx(losses[1:], rel=1e-4)
    assert curve.rates == rates
    assert curve.end is SweepEnd.RANGE
    assert curve.ended_at == 1e-1


def test_the_same_seed_gives_the_same_curve(wine: DeviceData) -> None:
    made = config(model={"hidden": [16], "dropout": 0.5})
    first, again, other = (run(wine, made, seed=seed, high=10.0) for seed in (3, 3, 4))
    assert first == again
    assert first.losses != other.losses


def test_epochs_repeat_and_are_counted(wine: DeviceData) -> None:
    """106 examples in batches of 32 are 4 updates; 20 updates and a last look are 21."""
    curve = run(wine, config(train={"batch_size": 32}), high=1e-3, steps=20)
    assert len(wine.train) == 106
    assert curve.epochs == pytest.approx(21 / 4)
    accumulated = run(wine, config(train={"batch_size": 16, "accumulate": 4}), high=1e-3, steps=20)
    assert accumulated.epochs == pytest.approx(21 / 2)
    assert len(accumulated.rates) == len(accumulated.losses) == 20


def test_clipping_holds_in_the_sweep(wine: DeviceData) -> None:
    """Gradients clipped to almost nothing move nothing at these rates."""
    optim = {"name": "sgd"}
    free = run(wine, config(model=SMALL, optim=optim), high=1.0)
    clipped = run(wine, config(model=SMALL, optim=optim, regularize={"clip_norm": 1e-9}), high=1.0)
    assert suggest(free).drop == pytest.approx(1.0, abs=0.4)
    assert suggest(clipped).status is LrStatus.FLAT


def test_penalties_hold_in_the_sweep(wine: DeviceData) -> None:
    """An L2 penalty of 100 turns gradient descent unstable above 2 / 100."""
    optim = {"name": "sgd"}
    plain = run(wine, config(model=SMALL, optim=optim))
    heavy = run(wine, config(model=SMALL, optim=optim, regularize={"l2": 100.0}))
    assert plain.ended_at is not None
    assert heavy.ended_at is not None
    assert plain.ended_at > 1.0
    assert heavy.end is SweepEnd.DIVERGED
    assert 0.02 < heavy.ended_at < 0.2


def test_non_finite_data_ends_the_sweep_before_the_first_update(wine: DeviceData) -> None:
    features = wine.train.features.clone()
    features[:, 0] = math.nan
    broken = dataclasses.replace(wine, train=Tensors(features=features, targets=wine.train.targets))
    curve = run(broken, config())
    assert (curve.end, curve.ended_by) == (SweepEnd.NON_FINITE, "non-finite loss")
    assert (curve.rates, curve.losses, curve.ended_at) == ((), (), None)
    assert math.isnan(curve.initial_loss)
    assert suggest(curve).status is LrStatus.NON_FINITE


def test_parameters_that_overflow_end_the_sweep(wine: DeviceData) -> None:
    curve = run(wine, config(model=SMALL, optim={"name": "sgd"}), low=1e36, high=1e45, steps=20)
    assert curve.end is SweepEnd.NON_FINITE
    assert curve.ended_by in ("non-finite parameter", "non-finite loss", "non-finite gradient")
    assert all(map(math.isfinite, curve.losses))
    assert len(curve.losses) < 10
    found = suggest(curve)
    assert found.status is LrStatus.SHORT
    assert found.suggestion is None


def states() -> tuple[Any, ...]:
    kind, keys, *rest = np.random.get_state()
    return random.getstate(), kind, keys.tolist(), rest, torch.get_rng_state().tolist()


FACTORY = """
import random
import numpy
import torch

class Noisy(torch.nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.layer = torch.nn.Linear(inputs[0], outputs)
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        if {fails} and self.calls > 5:
            raise RuntimeError("no more\\nsecond line")
        return self.layer(x) + random.random() + numpy.random.rand() + torch.rand(1)

def build(inputs, outputs):
    return Noisy(inputs, outputs)
"""


def noisy(folder: Path, *, fails: bool) -> Config:
    (folder / "noisy.py").write_text(FACTORY.replace("{fails}", str(fails)))
    return config(model={"factory": "noisy.py:build"})


def test_a_sweep_leaves_every_random_state_as_it_was(wine: DeviceData, tmp_path: Path) -> None:
    made = noisy(tmp_path, fails=False)
    before = states()
    first = run(wine, made, folder=tmp_path, high=1e-2)
    assert states() == before
    random.seed(5)
    np.random.seed(5)
    torch.manual_seed(5)
    before = states()
    again = run(wine, made, folder=tmp_path, high=1e-2)
    assert states() == before
    assert again == first  # nor do they change the sweep


def test_also_after_an_exception(wine: DeviceData, tmp_path: Path) -> None:
    made = noisy(tmp_path, fails=True)
    before = states()
    with pytest.raises(ModelError) as refused:
        run(wine, made, folder=tmp_path)
    assert states() == before
    assert refused.value.found == (
        "the model of 'noisy.py:build' raised RuntimeError in the sweep: no more"
    )


def test_the_range_is_checked_before_a_model_is_built(wine: DeviceData) -> None:
    with pytest.raises(SweepError, match="0 < lowest < highest must hold"):
        run(wine, config(), low=1.0, high=0.1)


def test_watch_is_told_every_update(wine: DeviceData) -> None:
    seen: list[int] = []
    run(wine, config(model=SMALL), high=1e-3, steps=25, watch=seen.append)
    assert seen == list(range(1, 26))
