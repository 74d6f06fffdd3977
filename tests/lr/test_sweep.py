from __future__ import annotations

import dataclasses
import math
import random
import signal
from collections.abc import Sequence
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
from dltune.lr.sweep import sweep, sweep_seeds
from dltune.recipe.schema import Config
from dltune.training.history import Trial
from dltune.training.learner import Learner
from dltune.training.loop import train_cohort
from tests.lr.configs import make_config, make_trials

LINEAR = {"hidden": []}
SMALL = {"hidden": [16]}
SGD = {"name": "sgd"}


def sweep_all(data: DeviceData, trials: Sequence[Trial], **plan: Any) -> list[LrCurve]:
    plan = {"folder": Path(), "low": 1e-6, "high": 1e2, "steps": 200} | plan
    return sweep(trials, data=data, **plan)


def run(data: DeviceData, made: Config, *, seed: int = 0, **plan: Any) -> LrCurve:
    (curve,) = sweep_all(data, make_trials(made, seed=seed), **plan)
    return curve


@pytest.mark.parametrize("steps", [100, 200, 400])
def test_the_edge_of_a_quadratic_is_where_theory_has_it(diabetes: DeviceData, steps: int) -> None:
    """Gradient descent on a quadratic diverges above 2 / (largest eigenvalue of its Hessian).

    A sweep is seen to diverge only after some updates, never before: between once and four times
    that rate.
    """
    made = make_config(
        model=LINEAR, optim=SGD, train={"batch_size": "full"}, objective={"loss": "mse"}
    )
    features = diabetes.train.features.double()
    inputs = torch.cat([features, torch.ones(len(features), 1)], dim=1)
    hessian = 2.0 * inputs.T @ inputs / len(inputs)
    edge = 2.0 / torch.linalg.eigvalsh(hessian).max().item()
    curve = run(diabetes, made, steps=steps)
    found = suggest([curve])
    assert curve.end is SweepEnd.DIVERGED
    assert found.status is LrStatus.OK
    assert found.edge is not None
    assert found.suggestion is not None
    assert edge <= found.edge <= 4.0 * edge
    assert found.suggestion < edge


def test_a_loss_belongs_to_the_rate_of_the_update_before_it(wine: DeviceData) -> None:
    """The same updates by hand, in plain torch."""
    made = make_config(model=LINEAR, optim=SGD, train={"batch_size": 32})
    curve = run(wine, made, low=1e-3, high=1e-1, steps=20)
    learner = Learner(made, seed=0, data=wine, folder=Path())
    weight, bias = (w.detach().clone().requires_grad_() for w in learner.parameters)
    rates, losses = exponential_rates(1e-3, 1e-1, 20), []
    while len(losses) < 21:
        for (batch,) in learner.update_batches():
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
    made = make_config(model={"hidden": [16], "dropout": 0.5})
    first, again, other = (run(wine, made, seed=seed, high=10.0) for seed in (3, 3, 4))
    assert first == again
    assert first.losses != other.losses


def test_epochs_repeat_and_are_counted(wine: DeviceData) -> None:
    """106 examples in batches of 32 are 4 updates; 20 updates and a last look are 21."""
    curve = run(wine, make_config(train={"batch_size": 32}), high=1e-3, steps=20)
    assert len(wine.train) == 106
    assert curve.epochs == pytest.approx(21 / 4)
    accumulated = run(
        wine, make_config(train={"batch_size": 16, "accumulate": 4}), high=1e-3, steps=20
    )
    assert accumulated.epochs == pytest.approx(21 / 2)
    assert len(accumulated.rates) == len(accumulated.losses) == 20


def test_clipping_holds_in_the_sweep(wine: DeviceData) -> None:
    """Gradients clipped to almost nothing move nothing at these rates."""
    free = run(wine, make_config(model=SMALL, optim=SGD), high=1.0)
    clipped = run(
        wine, make_config(model=SMALL, optim=SGD, regularize={"clip_norm": 1e-9}), high=1.0
    )
    assert suggest([free]).drop == pytest.approx(1.0, abs=0.4)
    assert suggest([clipped]).status is LrStatus.FLAT


def test_penalties_hold_in_the_sweep(wine: DeviceData) -> None:
    """An L2 penalty of 100 turns gradient descent unstable above 2 / 100."""
    plain = run(wine, make_config(model=SMALL, optim=SGD))
    heavy = run(wine, make_config(model=SMALL, optim=SGD, regularize={"l2": 100.0}))
    assert plain.ended_at is not None
    assert heavy.ended_at is not None
    assert plain.ended_at > 1.0
    assert heavy.end is SweepEnd.DIVERGED
    assert 0.02 < heavy.ended_at < 0.2


def test_non_finite_data_ends_the_sweep_before_the_first_update(wine: DeviceData) -> None:
    features = wine.train.features.clone()
    features[:, 0] = math.nan
    broken = dataclasses.replace(wine, train=Tensors(features=features, targets=wine.train.targets))
    curve = run(broken, make_config())
    assert (curve.end, curve.ended_by) == (SweepEnd.NON_FINITE, "non-finite loss")
    assert (curve.rates, curve.losses, curve.ended_at) == ((), (), None)
    assert math.isnan(curve.initial_loss)
    assert suggest([curve]).status is LrStatus.NON_FINITE


def test_parameters_that_overflow_end_the_sweep(wine: DeviceData) -> None:
    curve = run(wine, make_config(model=SMALL, optim=SGD), low=1e36, high=1e45, steps=20)
    assert curve.end is SweepEnd.NON_FINITE
    assert curve.ended_by in ("non-finite parameter", "non-finite loss", "non-finite gradient")
    assert all(map(math.isfinite, curve.losses))
    assert len(curve.losses) < 10
    found = suggest([curve])
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
    return make_config(model={"factory": "noisy.py:build"})


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
        "the model of 'noisy.py:build' raised RuntimeError in the sweep: no more "
        f"({tmp_path / 'noisy.py'}, line 15)"
    )


def test_the_first_seed_is_the_recipes_and_the_others_stay() -> None:
    assert sweep_seeds(12, 1) == [12]
    ten = sweep_seeds(12, 10)
    assert len(set(ten)) == 10
    assert sweep_seeds(12, 4) == ten[:4]
    assert not set(sweep_seeds(13, 10)) & set(ten)
    assert all(0 <= seed < 2**63 for seed in ten)


def test_the_range_is_checked_before_a_model_is_built(wine: DeviceData) -> None:
    with pytest.raises(SweepError, match="0 < lowest < highest must hold"):
        run(wine, make_config(), low=1.0, high=0.1)


def test_watch_is_told_every_update(wine: DeviceData) -> None:
    seen: list[tuple[str, float, float]] = []
    run(wine, make_config(model=SMALL), high=1e-3, steps=25, watch=lambda *what: seen.append(what))
    assert seen == [("sweep", update, 25) for update in range(1, 26)]


def test_the_baseline_is_the_loss_of_the_shares_of_the_classes(wine: DeviceData) -> None:
    """The entropy of the train split's classes, whatever the model."""
    shares = np.bincount(wine.train.targets.numpy()) / len(wine.train)
    curve = run(wine, make_config(model=SMALL), high=1e-3, steps=20)
    assert curve.baseline == pytest.approx(-(shares * np.log(shares)).sum(), rel=1e-6)


def test_the_baseline_of_a_regression_is_the_variance(diabetes: DeviceData) -> None:
    curve = run(diabetes, make_config(model=SMALL), high=1e-3, steps=20)
    assert curve.baseline == pytest.approx(diabetes.train.targets.var(correction=0).item())


# A stack, against the same sweeps one by one.

DOUBLE = {"precision": "float64", "batch_size": 32}
OPTIMIZERS = (
    "sgd",
    "momentum",
    "nesterov",
    "adagrad",
    "rmsprop",
    "adadelta",
    "adam",
    "adamax",
    "nadam",
    "adamw",
)


def assert_alike(stacked: Sequence[LrCurve], alone: Sequence[LrCurve], *, relative: float) -> None:
    """Everything but the losses is the same; the higher the rate, the more rounding is blown up."""
    for mine, other in zip(stacked, alone, strict=True):
        assert mine.losses == pytest.approx(other.losses, rel=relative), mine.optimizer
        assert mine.initial_loss == pytest.approx(other.initial_loss, rel=1e-12)
        assert dataclasses.replace(mine, losses=(), initial_loss=0.0) == dataclasses.replace(
            other, losses=(), initial_loss=0.0
        )


CASES = {
    "mlp": {"model": {"hidden": [8]}},
    "mlp with dropout and batch norm": {
        "model": {"hidden": [8, 6], "dropout": 0.3, "batch_norm": True}
    },
    "accumulated": {"model": {"hidden": [8]}, "train": {"accumulate": 2, "batch_size": 16}},
    "clipped by norm": {"model": {"hidden": [8]}, "regularize": {"clip_norm": 0.1}},
    "clipped by value": {"model": {"hidden": [8]}, "regularize": {"clip_value": 0.01}},
    "penalized": {"model": {"hidden": [8]}, "regularize": {"l1": 1e-3, "l2": 1e-2}},
    "smoothed": {"model": {"hidden": [8]}, "regularize": {"label_smoothing": 0.1}},
}


def of_every_optimizer(case: dict[str, Any]) -> list[Trial]:
    train = DOUBLE | case.get("train", {})
    return make_trials(
        *[make_config(**{**case, "train": train, "optim": {"name": one}}) for one in OPTIMIZERS]
    )


@pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))
def test_a_stack_is_its_sweeps_one_by_one(wine: DeviceData, case: dict[str, Any]) -> None:
    """In float64, ten optimizers and ten seeds in one stack; higher rates blow rounding up."""
    trials = of_every_optimizer(case)
    plan = {"low": 1e-4, "high": 0.2, "steps": 50}
    alone = sweep_all(wine, trials, **plan)
    assert_alike(sweep_all(wine, trials, stacked=True, **plan), alone, relative=1e-9)
    assert [curve.optimizer for curve in alone] == list(OPTIMIZERS)
    assert [curve.seed for curve in alone] == [trial.seed for trial in trials]
    assert len({curve.losses for curve in alone}) == len(trials)


def test_a_stack_of_convolutions_is_its_sweeps_one_by_one(digits: DeviceData) -> None:
    model = {"name": "cnn", "filters": [3], "hidden": [6], "batch_norm": True}
    trials = of_every_optimizer({"model": model, "train": {"batch_size": 16}})
    plan = {"low": 1e-4, "high": 0.1, "steps": 30}
    alone = sweep_all(digits, trials, **plan)
    assert_alike(sweep_all(digits, trials, stacked=True, **plan), alone, relative=1e-9)


def test_a_stacked_regression_is_its_sweeps_one_by_one(diabetes: DeviceData) -> None:
    trials = of_every_optimizer({"model": {"hidden": [8]}, "objective": {"loss": "huber"}})
    plan = {"low": 1e-4, "high": 0.1, "steps": 30}
    alone = sweep_all(diabetes, trials, **plan)
    assert_alike(sweep_all(diabetes, trials, stacked=True, **plan), alone, relative=1e-9)


OWN = """
import torch

class Residual(torch.nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.first = torch.nn.Linear(inputs[0], inputs[0])
        self.norm = torch.nn.LayerNorm(inputs[0])
        self.second = torch.nn.Linear(inputs[0], outputs)

    def forward(self, x):
        return self.second(self.norm(x + torch.tanh(self.first(x))))

def build(inputs, outputs):
    return Residual(inputs, outputs)
"""


def test_a_stack_of_a_users_own_is_its_sweeps_one_by_one(wine: DeviceData, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(OWN)
    trials = of_every_optimizer({"model": {"factory": "own.py:build"}})
    plan = {"low": 1e-4, "high": 0.1, "steps": 40, "folder": tmp_path}
    alone = sweep_all(wine, trials, **plan)
    assert_alike(sweep_all(wine, trials, stacked=True, **plan), alone, relative=1e-9)


def test_rows_end_each_in_their_time_and_harm_nobody(wine: DeviceData) -> None:
    """A penalty turns descent unstable above 2 / l2; what is left of such a row becomes NaN."""
    penalties = (0.0, 1e3, 10.0)
    trials = make_trials(
        *[
            make_config(model=SMALL, optim=SGD, train=DOUBLE, regularize={"l2": l2})
            for l2 in penalties
        ]
    )
    seen: list[tuple[str, float, float]] = []
    plan = {"low": 1e-3, "high": 1e9, "steps": 400}
    stacked = sweep_all(wine, trials, stacked=True, watch=lambda *what: seen.append(what), **plan)
    alone = sweep_all(wine, trials, **plan)
    lengths = [len(curve.losses) for curve in stacked]
    assert lengths[1] < lengths[2] < lengths[0] < 400
    # No update after the last one has ended; until then, all are told of.
    assert seen == [("sweep", update, 400) for update in range(1, lengths[0] + 1)]
    for mine, other in zip(stacked, alone, strict=True):
        assert (mine.end, mine.ended_by, mine.ended_at) == (
            other.end,
            other.ended_by,
            other.ended_at,
        )
        assert mine.epochs == other.epochs
        # The last few are those of a loss that doubles with every update, rounding included.
        assert mine.losses[:-10] == pytest.approx(other.losses[:-10], rel=1e-6)


@pytest.mark.parametrize("stacked", [False, True])
def test_a_stack_of_one_broken_row_goes_on(wine: DeviceData, stacked: bool) -> None:
    """In float32 a step of 1e38 leaves no finite number; Adam's neighbour ends by its loss."""
    optims = (SGD, {"name": "sgd", "weight_decay": 1e30})
    trials = make_trials(*[make_config(model=SMALL, optim=one) for one in optims])
    usual, broken = sweep_all(wine, trials, stacked=stacked, high=1.0)
    assert usual.end is SweepEnd.RANGE
    assert broken.end is SweepEnd.NON_FINITE
    assert all(map(math.isfinite, broken.losses))
    assert len(broken.losses) < 5
    assert suggest([broken]).status is LrStatus.SHORT


def test_watch_is_told_every_update_in_each_sweep_anew(wine: DeviceData) -> None:
    seen: list[tuple[str, float, float]] = []
    trials = make_trials(*[make_config(model=SMALL)] * 2)
    sweep_all(wine, trials, high=1e-3, steps=20, watch=lambda *what: seen.append(what))
    assert seen == [("sweep", update, 20) for update in range(1, 21)] * 2


# Nothing of the caller's changes, and nothing of a training's does.


def interrupt(stage: str, updates: float, steps: float) -> None:
    if updates == 3:
        signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("model", [SMALL | {"dropout": 0.5}, None], ids=["built-in", "own"])
@pytest.mark.parametrize("stacked", [False, True])
def test_random_states_are_untouched_after_an_interrupt(
    wine: DeviceData, tmp_path: Path, stacked: bool, model: dict[str, Any] | None
) -> None:
    (tmp_path / "own.py").write_text(OWN)
    made = make_config(model=model or {"factory": "own.py:build"})
    before, threads = states(), torch.get_num_threads()
    with pytest.raises(KeyboardInterrupt):
        sweep_all(wine, make_trials(made, made), stacked=stacked, folder=tmp_path, watch=interrupt)
    assert states() == before
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize("stacked", [False, True])
@pytest.mark.parametrize("optimizer", ["momentum", "nesterov", "rmsprop", "adam", "nadam"])
def test_the_schedule_of_the_momentum_plays_no_part(
    wine: DeviceData, optimizer: str, stacked: bool
) -> None:
    """One-cycle moves the momentum, or the first beta, against the rate."""
    plain, cycle = (
        sweep_all(
            wine,
            make_trials(
                *[make_config(model=SMALL, optim={"name": optimizer}, schedule={"name": name})] * 2
            ),
            stacked=stacked,
            low=1e-4,
            high=0.1,
            steps=30,
        )
        for name in ("constant", "one-cycle")
    )
    assert plain == cycle


RECORDS = """
import torch

class Recorded(torch.nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.layer = torch.nn.Linear(inputs[0], outputs)
        self.first = True

    def forward(self, x):
        if self.training:
            with open({path!r}, "a") as file:
                if self.first:
                    print(self.layer.weight.tolist(), file=file)
                print(x.tolist(), file=file)
            self.first = False
        return self.layer(x)

def build(inputs, outputs):
    return Recorded(inputs, outputs)
"""


def test_weights_and_batches_are_those_of_a_training(wine: DeviceData, tmp_path: Path) -> None:
    """What a model sees, written down by itself: nine epochs, batch by batch."""
    seen = tmp_path / "seen.txt"
    (tmp_path / "own.py").write_text(RECORDS.replace("{path!r}", repr(str(seen))))
    train = {"batch_size": 32, "epochs": 9}
    trials = make_trials(make_config(model={"factory": "own.py:build"}, train=train), seed=3)
    for _ in train_cohort(trials, wine, folder=tmp_path):
        pass
    of_training = seen.read_text().splitlines()
    seen.unlink()
    sweep_all(wine, trials, folder=tmp_path, high=1e-3, steps=35)
    of_sweep = seen.read_text().splitlines()
    assert len(of_training) == 1 + 9 * 4
    assert of_sweep == of_training


@pytest.mark.parametrize("stacked", [False, True])
def test_the_first_loss_is_that_of_a_training_with_one_update(
    wine: DeviceData, stacked: bool
) -> None:
    """All examples in a batch: the loss after the update at the lowest rate."""
    made = make_config(model=SMALL, optim={"lr": 0.01}, train={"batch_size": "full", "epochs": 1})
    trials = make_trials(made, made)
    curves = sweep_all(wine, trials, stacked=stacked, low=0.01, high=0.1, steps=20)
    (epoch,) = train_cohort(trials, wine, folder=Path(), stacked=stacked)
    for curve, record in zip(curves, epoch.records, strict=True):
        assert curve.losses[0] == pytest.approx(record.train_loss, rel=1e-6)
