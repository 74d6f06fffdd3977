from __future__ import annotations

import copy
import random
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_wine
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from dltune.errors import DataError, DltuneError, ModelError, SweepError, TrainingError
from dltune.lr.curve import LrCurve, SweepEnd, exponential_rates
from dltune.lr.extend import DEFAULT_RANGES
from dltune.lr.own.model import sweep_own
from dltune.lr.own.training import OwnTraining
from dltune.lr.smooth import combine
from dltune.lr.suggest import suggest

Batch = tuple[torch.Tensor, torch.Tensor]
STEPS = 40


@pytest.fixture(scope="module")
def wines() -> Batch:
    """128 wines of 3 sorts, 13 standardised measurements."""
    features, sorts = load_wine(return_X_y=True)
    chosen = np.random.default_rng(0).permutation(len(features))[:128]
    inputs = (features[chosen] - features.mean(0)) / features.std(0)
    return torch.as_tensor(inputs, dtype=torch.float32), torch.as_tensor(sorts[chosen])


@pytest.fixture
def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(13, 16), nn.Tanh(), nn.Linear(16, 3))


def in_batches(pair: Batch, size: int) -> list[Batch]:
    return list(zip(pair[0].split(size), pair[1].split(size), strict=True))


def curves_of(
    model: Any,
    data: Any,
    *,
    loss: Any = F.cross_entropy,
    plan: dict[str, Any] | None = None,
    **training: Any,
) -> list[LrCurve]:
    planned = {"seeds": 1, "steps": STEPS} | (plan or {})
    return list(sweep_own(OwnTraining(model=model, loss=loss, **training), data, **planned).curves)


def curve_of(model: Any, data: Any, **more: Any) -> LrCurve:
    (curve,) = curves_of(model, data, **more)
    return curve


def by_hand(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    batches: list[Batch],
    *,
    low: float,
    high: float,
    ratios: tuple[float, ...] = (1.0,),
    clip_norm: float | None = None,
) -> list[float]:
    """The losses of a sweep in plain torch, of a model and an optimizer that it trains."""
    losses = []
    for step, rate in enumerate([*exponential_rates(low, high, STEPS), None]):
        inputs, targets = batches[step % len(batches)]
        optimizer.zero_grad()
        loss = F.cross_entropy(model(inputs), targets)
        loss.backward()
        losses.append(loss.item())
        if rate is None:
            return losses[1:]
        if clip_norm is not None:
            nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
        for group, ratio in zip(optimizer.param_groups, ratios, strict=True):
            group["lr"] = rate * ratio
        optimizer.step()
    raise AssertionError


def test_a_sweep_is_a_plain_training_at_rising_rates(wines: Batch, net: nn.Module) -> None:
    batches = in_batches(wines, 32)
    twin = copy.deepcopy(net)
    curve = curve_of(net, batches, optimizer=torch.optim.SGD, plan={"low": 1e-4, "high": 0.5})
    wanted = by_hand(twin, torch.optim.SGD(twin.parameters(), lr=1.0), batches, low=1e-4, high=0.5)
    assert curve.losses == pytest.approx(wanted, rel=1e-6)
    assert curve.rates == exponential_rates(1e-4, 0.5, STEPS)
    assert (curve.end, curve.optimizer) == (SweepEnd.RANGE, "sgd")
    assert curve.epochs == (STEPS + 1) / 4  # one look more than updates, four batches a pass


def test_settings_and_state_of_the_optimizer_are_taken_over(wines: Batch, net: nn.Module) -> None:
    """After some training: the sweep goes on from its momentum."""
    batches = in_batches(wines, 32)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9, nesterov=True)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1)  # puts a step on the object
    for inputs, targets in batches:
        optimizer.zero_grad()
        F.cross_entropy(net(inputs), targets).backward()
        optimizer.step()
    schedule.step()
    state = copy.deepcopy(optimizer.state_dict())
    curve = curve_of(net, batches, optimizer=optimizer, plan={"low": 1e-4, "high": 0.1})
    assert str(optimizer.state_dict()) == str(state)
    assert schedule.last_epoch == 1
    by_name = curve_of(net, batches, optimizer="nesterov", plan={"low": 1e-4, "high": 0.1})
    assert curve.losses[0] != by_name.losses[0]
    wanted = by_hand(net, optimizer, batches, low=1e-4, high=0.1)
    assert curve.losses == pytest.approx(wanted, rel=1e-6)


def test_groups_keep_the_ratios_of_their_rates(wines: Batch, net: nn.Module) -> None:
    batches = in_batches(wines, 32)
    twin = copy.deepcopy(net)

    def two_groups(model: nn.Module, body: float, head: float) -> torch.optim.Optimizer:
        first, _, last = model.children()
        groups = [
            {"params": first.parameters(), "lr": body},
            {"params": last.parameters(), "lr": head, "momentum": 0.5},
        ]
        return torch.optim.SGD(groups, lr=1.0)

    plan = {"low": 1e-4, "high": 0.5}
    curve = curve_of(net, batches, optimizer=two_groups(net, 0.001, 0.01), plan=plan)
    wanted = by_hand(
        twin, two_groups(twin, 1.0, 1.0), batches, low=1e-4, high=0.5, ratios=(0.1, 1.0)
    )
    assert curve.losses == pytest.approx(wanted, rel=1e-6)


def test_a_warm_up_from_0_leaves_the_ratios(wines: Batch, net: nn.Module) -> None:
    batches = in_batches(wines, 32)
    first, _, last = net.children()
    groups = [{"params": first.parameters(), "lr": 0.01}, {"params": last.parameters(), "lr": 0.1}]
    before, after = (torch.optim.SGD(copy.copy(groups), lr=1.0) for _ in range(2))
    torch.optim.lr_scheduler.LambdaLR(after, lambda epoch: 0.1 * epoch)
    assert [group["lr"] for group in after.param_groups] == [0.0, 0.0]
    plain, warmed = (curve_of(net, batches, optimizer=one) for one in (before, after))
    assert plain == warmed


def test_a_rate_in_a_tensor_is_swept_and_left(wines: Batch, net: nn.Module) -> None:
    rate = torch.tensor(0.25)
    optimizer = torch.optim.SGD(net.parameters(), lr=rate)
    batches = in_batches(wines, 32)
    plain = torch.optim.SGD(net.parameters(), lr=0.1)
    curve, wanted = (curve_of(net, batches, optimizer=one) for one in (optimizer, plain))
    assert curve.losses == pytest.approx(wanted.losses, rel=1e-3)
    assert rate.item() == 0.25


def test_accumulated_batches_are_a_big_batch(wines: Batch, net: nn.Module) -> None:
    net.double()
    pair = (wines[0].double(), wines[1])
    plan = {"low": 1e-3, "high": 1.0}
    small = curve_of(net, in_batches(pair, 8), accumulate=4, plan=plan)
    big = curve_of(net, in_batches(pair, 32), plan=plan)
    assert small.losses == pytest.approx(big.losses, rel=1e-9)
    assert (small.rates, small.epochs) == (big.rates, big.epochs)


def test_the_gradient_is_clipped(wines: Batch, net: nn.Module) -> None:
    batches = in_batches(wines, 32)
    twin = copy.deepcopy(net)
    plan = {"low": 1e-4, "high": 1.0}
    curve = curve_of(net, batches, optimizer=torch.optim.SGD, clip_norm=0.1, plan=plan)
    sgd = torch.optim.SGD(twin.parameters(), lr=1.0)
    wanted = by_hand(twin, sgd, batches, low=1e-4, high=1.0, clip_norm=0.1)
    assert curve.losses == pytest.approx(wanted, rel=1e-6)
    free = curve_of(net, batches, optimizer=torch.optim.SGD, plan=plan)
    by_value = curve_of(net, batches, optimizer=torch.optim.SGD, clip_value=1e-3, plan=plan)
    assert min(by_value.losses) > min(curve.losses) > min(free.losses)


def test_a_shifted_loss_gives_the_same_suggestion(wines: Batch, net: nn.Module) -> None:
    """Negative losses are as good as any."""
    pair = (wines[0].double(), wines[1])
    net.double()
    plan = {"seeds": 2, "steps": 200}
    plain = curves_of(net, pair, plan=plan)
    shifted = curves_of(net, pair, loss=lambda o, t: F.cross_entropy(o, t) - 10.0, plan=plan)
    for one, other in zip(plain, shifted, strict=True):
        assert other.rates == one.rates
        assert other.losses == pytest.approx([loss - 10.0 for loss in one.losses], abs=1e-6)
    assert max(shifted[0].losses[:50]) < 0
    assert suggest(plain).suggestion == suggest(shifted).suggestion is not None


def test_a_tiny_loss_gives_the_rate_that_gradient_descent_needs(
    wines: Batch, net: nn.Module
) -> None:
    """A loss 2^-20 times as large, about 1e-6, has the same course at rates 2^20 times as high."""
    factor = 2.0**-20
    plain = curves_of(
        net, wines, optimizer=torch.optim.SGD, plan={"steps": 200, "low": 1e-5, "high": 100.0}
    )
    tiny = curves_of(
        net,
        wines,
        loss=lambda o, t: factor * F.cross_entropy(o, t),
        optimizer=torch.optim.SGD,
        plan={"steps": 200, "low": 1e-5 / factor, "high": 100.0 / factor},
    )
    usual, other = suggest(plain).suggestion, suggest(tiny).suggestion
    assert usual is not None
    assert other == pytest.approx(usual / factor, rel=0.1)


def test_seeds_differ_in_batches_only_where_the_weights_are_given(
    wines: Batch, net: nn.Module
) -> None:
    first, second = curves_of(net, wines, plan={"seeds": 2})
    assert first.seed != second.seed
    assert first.losses != second.losses
    in_order = curves_of(net, in_batches(wines, 32), plan={"seeds": 2})
    assert in_order[0].losses == in_order[1].losses
    again = curves_of(net, wines, plan={"seeds": 2})
    other = curves_of(net, wines, plan={"seeds": 2, "seed": 1})
    assert again == [first, second]
    assert {one.seed for one in other}.isdisjoint({first.seed, second.seed})


def test_a_function_gives_every_seed_weights_of_its_own(wines: Batch) -> None:
    curves = curves_of(lambda: nn.Linear(13, 3), in_batches(wines, 32), plan={"seeds": 2})
    assert curves[0].initial_loss != curves[1].initial_loss


def test_a_function_that_reuses_a_part_does_no_harm(wines: Batch, net: nn.Module) -> None:
    before = copy.deepcopy(net.state_dict())
    curves = curves_of(
        lambda: nn.Sequential(net, nn.Linear(3, 3)), in_batches(wines, 32), plan={"seeds": 2}
    )
    assert len(curves) == 2
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


class Locked(nn.Linear):
    """A model that copy.deepcopy refuses."""

    def __init__(self) -> None:
        super().__init__(13, 3)
        self.lock = threading.Lock()


def test_what_cannot_be_copied_can_be_built(wines: Batch) -> None:
    batches = in_batches(wines, 32)
    assert len(curves_of(Locked, batches, plan={"seeds": 2})) == 2
    locked = Locked()
    with pytest.raises(ModelError) as caught:
        curves_of(locked, batches)
    assert str(caught.value) == (
        "copy.deepcopy of the Locked raised TypeError: cannot pickle '_thread.lock' object\n"
        "Pass a function that builds the model: lr_find(build_model, ...)."
    )
    with pytest.raises(ModelError, match="gives the same tensors every time"):
        curves_of(lambda: locked, batches)


class Streamed(IterableDataset[Batch]):
    """Batches without a length."""

    def __init__(self, batches: list[Batch]) -> None:
        self.batches = batches

    def __iter__(self) -> Iterator[Batch]:
        return iter(self.batches)


def test_every_kind_of_batches_gives_the_same_curve(wines: Batch, net: nn.Module) -> None:
    batches = in_batches(wines, 32)
    wanted = curve_of(net, batches)
    loaders = [
        DataLoader(TensorDataset(*wines), batch_size=32),
        DataLoader(Streamed(batches), batch_size=None),
        Streamed(batches),
        [list(batch) for batch in batches],
        [((inputs,), targets) for inputs, targets in batches],
        [({"input": inputs}, targets) for inputs, targets in batches],
    ]
    for loader in loaders:
        assert curve_of(net, loader) == wanted


def test_a_stream_that_is_not_gone_through_once_is_one_pass(wines: Batch, net: nn.Module) -> None:
    curve = curve_of(net, Streamed(in_batches(wines, 1)))
    assert (len(curve.losses), curve.epochs) == (STEPS, 1.0)


def test_a_pair_is_shuffled_and_whole_batches_are_taken(wines: Batch, net: nn.Module) -> None:
    sizes: list[int] = []
    orders: list[float] = []

    def forward(model: nn.Module, batch: Batch) -> torch.Tensor:
        sizes.append(len(batch[0]))
        orders.append(batch[0].sum().item())
        return F.cross_entropy(model(batch[0]), batch[1])

    curve = curve_of(net, wines, loss=None, forward=forward, plan={"batch_size": 50, "high": 1e-3})
    assert set(sizes) == {50}
    assert orders[0:2] != orders[2:4]
    assert curve.epochs == (STEPS + 1) / 2
    whole = curve_of(net, wines, plan={"batch_size": 1000, "high": 1e-3})
    assert whole.epochs == STEPS + 1


class TwoInputs(nn.Module):
    """A model of two inputs, which returns no tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(6, 3), nn.Linear(7, 3)

    def forward(self, left: torch.Tensor, right: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"logits": self.left(left) + self.right(right)}


def test_batches_of_several_inputs(wines: Batch) -> None:
    model = TwoInputs()
    cut = [(inputs[:, :6], inputs[:, 6:], targets) for inputs, targets in in_batches(wines, 32)]

    def loss(outputs: dict[str, torch.Tensor], targets: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(outputs["logits"], targets)

    as_tuple = curve_of(model, [((a, b), t) for a, b, t in cut], loss=loss)
    as_dict = curve_of(model, [({"right": b, "left": a}, t) for a, b, t in cut], loss=loss)
    own_way = curve_of(
        model,
        [{"left": a, "right": b, "labels": t, "id": "x"} for a, b, t in cut],
        loss=None,
        forward=lambda model, batch: loss(model(batch["left"], batch["right"]), batch["labels"]),
    )
    assert as_tuple == as_dict == own_way


def test_frozen_parts_and_modes(wines: Batch) -> None:
    """What is frozen stays frozen in the copy; batch norm in eval mode stays in it."""
    model = nn.Sequential(nn.Linear(13, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 3))
    model[0].requires_grad_(False)
    model[1].eval()
    seen: list[nn.Sequential] = []

    def forward(copied: nn.Sequential, batch: Batch) -> torch.Tensor:
        seen.append(copied)
        return F.cross_entropy(copied(batch[0]), batch[1])

    curve_of(model, wines, loss=None, forward=forward, plan={"high": 1e-2})
    trained = seen[-1]
    assert trained is not model
    assert torch.equal(trained[0].weight, model[0].weight)
    assert not torch.equal(trained[3].weight, model[3].weight)
    assert torch.equal(trained[1].running_mean, model[1].running_mean)
    assert [part.training for part in trained] == [True, False, True, True]
    model.eval()
    curve_of(model, wines, loss=None, forward=forward, plan={"high": 1e-2})
    assert all(part.training for part in seen[-1])
    assert not any(part.training for part in model)


def test_tied_weights_stay_tied(wines: Batch) -> None:
    model = nn.Sequential(nn.Linear(13, 13), nn.Tanh(), nn.Linear(13, 13), nn.Linear(13, 3))
    model[2].weight = model[0].weight
    seen: list[nn.Sequential] = []

    def forward(copied: nn.Sequential, batch: Batch) -> torch.Tensor:
        seen.append(copied)
        return F.cross_entropy(copied(batch[0]), batch[1])

    optimizer = torch.optim.Adam(model.parameters(), lr=1.0)
    curve_of(model, wines, loss=None, forward=forward, optimizer=optimizer, plan={"high": 1e-2})
    assert seen[-1][2].weight is seen[-1][0].weight
    assert seen[-1][0].weight is not model[0].weight


class Scaled(nn.Module):
    """A loss with a parameter and a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return F.cross_entropy(outputs * self.scale, targets)


def test_a_loss_with_parameters_is_trained_as_a_copy(wines: Batch, net: nn.Module) -> None:
    loss = Scaled()
    optimizer = torch.optim.SGD([*net.parameters(), *loss.parameters()], lr=0.1)
    with_scale = curve_of(net, in_batches(wines, 32), loss=loss, optimizer=optimizer)
    without = curve_of(net, in_batches(wines, 32), optimizer=torch.optim.SGD)
    assert with_scale.losses != without.losses
    assert (loss.scale.item(), loss.calls.item(), loss.scale.grad) == (1.0, 0.0, None)


@pytest.mark.parametrize("name", ["float64", "bfloat16"])
def test_other_precisions(wines: Batch, net: nn.Module, name: str) -> None:
    kind = getattr(torch, name)
    pair = (wines[0].to(kind), wines[1])
    curve = curve_of(net.to(kind), pair, loss=lambda o, t: F.cross_entropy(o.float(), t))
    assert len(set(curve.losses[:10])) == 10  # not rounded to the model's eight bits


@pytest.mark.parametrize(
    ("kind", "like"),
    [
        pytest.param(torch.optim.SGD, "sgd", id="sgd"),
        pytest.param(torch.optim.Adagrad, "adagrad", id="adagrad"),
        pytest.param(torch.optim.AdamW, "adamw", id="adamw"),
        pytest.param(torch.optim.RAdam, "adam", id="radam"),
        pytest.param(torch.optim.Adadelta, "adadelta", id="adadelta"),
        pytest.param("momentum", "momentum", id="by name"),
        pytest.param(
            lambda parameters: torch.optim.SGD([{"params": parameters, "lr": 0.5}]),
            "sgd",
            id="function",
        ),
    ],
)
def test_the_range_is_the_optimizers(wines: Batch, net: nn.Module, kind: Any, like: str) -> None:
    curve = curve_of(net, wines, optimizer=kind, plan={"steps": 100})
    assert (curve.low, curve.high) == DEFAULT_RANGES[like]
    assert suggest([curve]).suggestion is not None


def test_a_range_that_begins_too_high_is_extended(wines: Batch, net: nn.Module) -> None:
    """A loss a million times as large needs rates a million times as low."""
    training = OwnTraining(
        model=net, loss=lambda o, t: 1e6 * F.cross_entropy(o, t), optimizer=torch.optim.SGD
    )
    swept = sweep_own(training, wines, seeds=1)
    (note,) = [note for note in swept.notes if "swept again from" in note][:1]
    assert note.endswith("to 1e+02")
    assert swept.curves[0].low < DEFAULT_RANGES["sgd"][0]
    assert suggest(swept.curves).suggestion is not None


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (torch.optim.SGD, "sgd"),
        (torch.optim.ASGD, "sgd"),
        (lambda p: torch.optim.SGD(p, momentum=0.9), "momentum"),
        (lambda p: torch.optim.SGD(p, momentum=0.9, nesterov=True), "nesterov"),
        (torch.optim.Adam, "adam"),
        (torch.optim.AdamW, "adamw"),
        (type("Mine", (torch.optim.AdamW,), {}), "adamw"),
        (torch.optim.RAdam, "radam"),
        ("nadam", "nadam"),
    ],
)
def test_an_optimizer_has_the_name_of_its_kind(
    wines: Batch, net: nn.Module, kind: Any, name: str
) -> None:
    assert curve_of(net, wines, optimizer=kind, plan={"steps": 20}).optimizer == name


def test_the_range_can_be_given_at_either_end(wines: Batch, net: nn.Module) -> None:
    curve = curve_of(net, wines, plan={"low": 1e-4, "high": None, "steps": None})
    assert (curve.low, curve.high, curve.steps) == (1e-4, 10.0, 5 * 16 + 1)


def test_a_broken_first_batch_ends_the_sweep(wines: Batch, net: nn.Module) -> None:
    curve = curve_of(net, (wines[0] * float("nan"), wines[1]))
    assert (curve.end, curve.ended_by) == (SweepEnd.NON_FINITE, "non-finite loss")
    assert (curve.losses, curve.ended_at) == ((), None)


def test_a_broken_batch_is_told_from_a_blow_up(wines: Batch, net: nn.Module) -> None:
    """A NaN in the 30th batch, which the initial weights cannot digest either."""
    batches = in_batches((wines[0].repeat(10, 1), wines[1].repeat(10)), 32)
    fine = curve_of(net, batches)
    inputs = batches[29][0].clone()
    inputs[3, 5] = float("nan")
    batches[29] = (inputs, batches[29][1])
    broken = curve_of(net, batches)
    assert fine.losses
    assert (broken.end, broken.ended_by) == (SweepEnd.NON_FINITE, "non-finite loss")
    assert (broken.losses, broken.ended_at) == ((), None)
    with_rates = curve_of(
        net,
        in_batches(wines, 32),
        loss=lambda o, t: o.square().mean().exp().square(),
        optimizer=torch.optim.SGD,
    )
    assert with_rates.end is SweepEnd.NON_FINITE
    assert with_rates.losses
    assert with_rates.ended_at is not None


def test_detected_anomalies_end_the_sweep_too(wines: Batch, net: nn.Module) -> None:
    torch.autograd.set_detect_anomaly(True)
    try:
        curve = curve_of(net, (wines[0] * float("nan"), wines[1]))
        assert torch.is_anomaly_enabled()
    finally:
        torch.autograd.set_detect_anomaly(False)
    assert curve.end is SweepEnd.NON_FINITE


def test_gradients_are_on_wherever_it_is_called(wines: Batch, net: nn.Module) -> None:
    wanted = curve_of(net, wines)
    with torch.no_grad():
        assert curve_of(net, wines) == wanted
        assert not torch.is_grad_enabled()
    with torch.inference_mode():
        assert curve_of(net, wines) == wanted


def test_a_small_model_takes_one_thread_and_gives_the_others_back(
    wines: Batch, net: nn.Module
) -> None:
    threads: list[int] = []

    def loss(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        threads.append(torch.get_num_threads())
        if len(threads) > 30:
            raise ZeroDivisionError
        return F.cross_entropy(outputs, targets)

    outer = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with pytest.raises(ZeroDivisionError):
            curve_of(net, wines, loss=loss)
        assert set(threads) == {1}
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(outer)


class Doubling(nn.Module):
    """Changes its input, as a first layer with inplace=True does."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(13, 3)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.last(inputs.mul_(2.0))


def test_batches_are_not_changed(wines: Batch) -> None:
    batches = in_batches((wines[0].clone(), wines[1].clone()), 32)
    curve_of(Doubling(), batches)
    for (inputs, _), (wanted, _) in zip(batches, in_batches(wines, 32), strict=True):
        assert torch.equal(inputs, wanted)


class Drawing:
    """Batches whose order is drawn from generators of many kinds."""

    def __init__(self, batches: list[Batch]) -> None:
        self.batches = batches
        self.parts = {"torch": torch.Generator(), "rest": [np.random.default_rng(1)]}
        self.old = np.random.RandomState(2)
        self.python = random.Random(3)

    def __iter__(self) -> Iterator[Batch]:
        for _ in self.batches:
            yield self.batches[sum(self.draw()) % len(self.batches)]

    def draw(self) -> list[int]:
        first, second = self.parts["torch"], self.parts["rest"][0]
        return [
            int(torch.randint(9, (), generator=first)),
            int(second.integers(9)),
            int(self.old.randint(9)),
            self.python.randrange(9),
        ]


def test_generators_of_a_loader_are_seeded_and_put_back(wines: Batch, net: nn.Module) -> None:
    drawing, untouched = (Drawing(in_batches(wines, 32)) for _ in range(2))
    first, second = curves_of(net, drawing, plan={"seeds": 2})
    assert first.losses != second.losses
    assert [drawing.draw() for _ in range(9)] == [untouched.draw() for _ in range(9)]
    assert curve_of(net, drawing) == first  # wherever the generators stood


def not_a_scalar(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return F.cross_entropy(outputs, targets, reduction="none")


MEAN = "\nReturn a mean over the batch, as a tensor: (outputs - targets).square().mean()."
FORWARD = "\nPass forward=lambda model, batch: ..., which returns the loss, and loss=None."
LOADER = "\nPass a DataLoader, a list of batches (inputs, targets), or a pair of tensors (X, y)."
OPTIMIZER = '\nTry optimizer="adam", torch.optim.SGD, or an optimizer over your model.'

MISTAKES: list[Any] = [
    pytest.param(
        {"loss": not_a_scalar},
        ModelError,
        "the loss is a tensor of shape (64,) and type torch.float32: "
        "a scalar of floating point is needed" + MEAN,
        id="a loss for each example",
    ),
    pytest.param(
        {"loss": lambda o, t: F.cross_entropy(o, t).item()},
        ModelError,
        "the loss is a float: a scalar tensor is needed" + MEAN,
        id="a number",
    ),
    pytest.param(
        {"loss": lambda o, t: F.cross_entropy(o, t).detach()},
        ModelError,
        "the loss is a tensor without a gradient: it must depend on the model's parameters\n"
        "Leave out detach(), item() and no_grad() on the way to the loss.",
        id="detached",
    ),
    pytest.param(
        {"loss": None, "forward": lambda model, batch: None},
        ModelError,
        "forward returned a NoneType: a scalar tensor is needed" + MEAN,
        id="forward without a return",
    ),
    pytest.param(
        {"loss": None},
        ModelError,
        "loss and forward are both missing: one of them gives the loss\n"
        "Pass loss=torch.nn.functional.cross_entropy, or loss=None and "
        "forward=lambda model, batch: ...",
        id="no loss",
    ),
    pytest.param(
        {"forward": lambda model, batch: None},
        ModelError,
        "loss and forward are both given: one of them gives the loss\n"
        "Pass loss=torch.nn.functional.cross_entropy, or loss=None and "
        "forward=lambda model, batch: ...",
        id="two losses",
    ),
    pytest.param(
        {"model": 3},
        ModelError,
        "the model is a int: a torch.nn.Module is needed, or a function without arguments that "
        "builds one",
        id="no model",
    ),
    pytest.param(
        {"model": lambda: 3},
        ModelError,
        "the function that builds the model returned a int: a torch.nn.Module is needed",
        id="builds no model",
    ),
    pytest.param(
        {"model": nn.Linear(13, 3).requires_grad_(False)},
        ModelError,
        "the model has no trainable parameters: requires_grad is false for all, or there are none",
        id="frozen",
    ),
    pytest.param(
        {"optimizer": "adm"},
        TrainingError,
        "optimizer = 'adm' is not the name of an optimizer\nDid you mean 'adam'? Known are sgd, "
        "momentum, nesterov, adagrad, rmsprop, adadelta, adam, adamax, nadam, adamw.",
        id="name",
    ),
    pytest.param(
        {"optimizer": lambda parameters: None},
        TrainingError,
        "optimizer is or gives a NoneType: a torch.optim.Optimizer is needed" + OPTIMIZER,
        id="no optimizer",
    ),
    pytest.param(
        {"optimizer": torch.optim.SGD(nn.Linear(2, 2).parameters())},
        TrainingError,
        "optimizer: 2 of its 2 parameters are not among those of the model\n"
        "Pass an optimizer over model.parameters(), or a function of the parameters: "
        "optimizer=lambda parameters: torch.optim.SGD(parameters, momentum=0.9).",
        id="of another model",
    ),
    pytest.param(
        {"optimizer": torch.optim.LBFGS},
        TrainingError,
        "optimizer is LBFGS, whose step evaluates the loss many times: a sweep needs one "
        "evaluation an update" + OPTIMIZER,
        id="lbfgs",
    ),
    pytest.param(
        {"accumulate": 0},
        TrainingError,
        "accumulate = 0: an update takes at least 1 batch\nTry accumulate=1.",
        id="accumulate",
    ),
    pytest.param(
        {"clip_norm": 0.0},
        TrainingError,
        "clip_norm = 0.0: must be greater than 0, or None\nTry clip_norm=1.0.",
        id="clip_norm",
    ),
    pytest.param(
        {"plan": {"seeds": 0}},
        SweepError,
        "seeds = 0: at least 1 sweep is needed\nTry seeds=5.",
        id="seeds",
    ),
    pytest.param(
        {"plan": {"low": 1.0, "high": 0.1}},
        SweepError,
        "the sweep goes from learning rate 1 to 0.1: 0 < lowest < highest must hold, both finite\n"
        "Try low=1e-6, high=10, steps=100.",
        id="range",
    ),
    pytest.param(
        {"plan": {"steps": 5}},
        SweepError,
        "a sweep of 5 steps has too few points for a slope: at least 20 are needed\n"
        "Try low=1e-6, high=10, steps=100.",
        id="steps",
    ),
    pytest.param(
        {"plan": {"batch_size": 0}},
        DataError,
        "batch_size = 0: must be at least 1\nTry batch_size=64.",
        id="batch_size",
    ),
    pytest.param(
        {"data": [], "plan": {"batch_size": 8}},
        DataError,
        "batch_size = 8, but the data are a list, which decides that itself\n"
        "Leave batch_size out: it is for a pair of tensors (X, y).",
        id="batch_size of a list",
    ),
    pytest.param({"data": []}, DataError, "the data gave no batch" + LOADER, id="no batch"),
    pytest.param(
        {"data": iter([])},
        DataError,
        "the data are a list_iterator, which can be gone through only once: a sweep starts again "
        "for every seed\nPass the DataLoader itself, or list(batches).",
        id="iterator",
    ),
    pytest.param(
        {"data": (one for one in ())},
        DataError,
        "the data are a generator, which can be gone through only once: a sweep starts again "
        "for every seed\nPass the DataLoader itself, or list(batches).",
        id="generator",
    ),
    pytest.param(
        {"data": TensorDataset(torch.ones(2, 13))},
        DataError,
        "the data are a TensorDataset, which gives examples: batches are needed\n"
        "Pass DataLoader(dataset, batch_size=64, shuffle=True).",
        id="data set",
    ),
    pytest.param(
        {"data": torch.ones(2, 13)},
        DataError,
        "the data are a Tensor: batches are needed" + LOADER,
        id="tensor",
    ),
    pytest.param(
        {"data": (np.ones((2, 13)), np.ones(2))},
        DataError,
        "the data are NumPy arrays: a pair must be two tensors\n"
        "Pass (torch.as_tensor(X, dtype=torch.float32), torch.as_tensor(y)).",
        id="arrays",
    ),
    pytest.param(
        {"data": (torch.ones(2, 13), torch.ones(3))},
        DataError,
        "the data are tensors of shapes (2, 13) and (3,): both must have the same number of rows, "
        "at least one",
        id="rows",
    ),
    pytest.param(
        {"data": [{"x": torch.ones(2, 13), "y": torch.ones(2)}]},
        DataError,
        "a batch is a dict of 2: (inputs, targets) is needed" + FORWARD,
        id="dictionary",
    ),
    pytest.param(
        {"data": [(torch.ones(2, 6), torch.ones(2, 7), torch.ones(2))]},
        DataError,
        "a batch is a tuple of 3: (inputs, targets) is needed" + FORWARD,
        id="triple",
    ),
]


@pytest.mark.parametrize(("change", "kind", "message"), MISTAKES)
def test_mistakes_are_told_with_what_to_type(
    wines: Batch,
    net: nn.Module,
    change: dict[str, Any],
    kind: type[DltuneError],
    message: str,
) -> None:
    arguments = {"model": net, "data": wines} | change
    with pytest.raises(kind) as caught:
        curve_of(arguments.pop("model"), arguments.pop("data"), **arguments)
    assert str(caught.value) == message


def once(batches: list[Batch]) -> Any:
    """Something that is empty when it is gone through again, and no iterator."""

    class Once:
        left = iter(batches)

        def __iter__(self) -> Iterator[Batch]:
            yield from self.left

    return Once()


def test_data_that_run_dry_are_told(wines: Batch, net: nn.Module) -> None:
    with pytest.raises(DataError) as caught:
        curve_of(net, once(in_batches(wines, 32)))
    assert str(caught.value) == (
        "the data gave 4 batches, and none when gone through again\n"
        "Pass something that starts again at every `for`, such as list(batches)."
    )


def penalty_on(model: nn.Module) -> Callable[[Any, Any], torch.Tensor]:
    return lambda o, t: (
        F.cross_entropy(o, t) + 0.01 * sum(w.square().sum() for w in model.parameters())
    )


def test_a_loss_on_the_model_outside_is_refused_and_leaves_no_gradient(wines: Batch) -> None:
    model = nn.Sequential(nn.BatchNorm1d(13), nn.Linear(13, 3))
    before = copy.deepcopy(model.state_dict())
    wanted = (
        " that is not the copy's: the sweep trains a copy of the model, and leaves the model alone"
        "\nUse the model that forward=lambda model, batch: ... is given, or make the loss an "
        "nn.Module that holds the parameter."
    )
    for loss, forward in (
        (penalty_on(model), None),
        (None, lambda _, batch: F.cross_entropy(model(batch[0]), batch[1])),
    ):
        with pytest.raises(ModelError) as caught:
            curve_of(model, wines, loss=loss, forward=forward)
        assert str(caught.value).startswith("the loss depends on a parameter of shape (")
        assert str(caught.value).endswith(wanted)
    assert all(weight.grad is None for weight in model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_loss_without_the_updated_parameters_is_refused(wines: Batch, net: nn.Module) -> None:
    first, _, last = net.children()
    last.register_parameter("spare", nn.Parameter(torch.ones(1)))
    with pytest.raises(ModelError) as caught:
        curve_of(net, wines, optimizer=torch.optim.SGD([last.spare], lr=0.1))
    assert first.weight.grad is None
    assert str(caught.value) == (
        "the loss depends on none of the parameters that the optimizer updates\n"
        "Compute it with the model that `forward` is given, and without detach()."
    )


def test_lazy_parameters_are_refused(wines: Batch) -> None:
    with pytest.raises(ModelError) as caught:
        curve_of(nn.LazyLinear(3), wines)
    assert str(caught.value) == (
        "the model has lazy parameters, whose shapes are not known yet\n"
        "Pass one batch through it first: model(inputs)."
    )


def test_memory_that_runs_out_is_told(wines: Batch, net: nn.Module) -> None:
    def greedy(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return torch.ones(2**60, dtype=torch.uint8).float().mean() + outputs.mean()

    with pytest.raises(SweepError) as caught:
        curve_of(net, wines, loss=greedy)
    assert str(caught.value) == (
        "the sweep ran out of memory: it trains a copy of the model next to the model\n"
        "Try smaller batches with accumulate=4: less memory, as many examples an update."
    )


def test_sparse_gradients_work() -> None:
    words = torch.randint(0, 50, (64, 4), generator=torch.Generator().manual_seed(0))
    model = nn.Sequential(nn.EmbeddingBag(50, 8, sparse=True), nn.Linear(8, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    curve = curve_of(model, (words, words[:, 0] % 2), optimizer=optimizer)
    assert curve.losses


def test_curves_can_be_read_together(wines: Batch, net: nn.Module) -> None:
    curves = curves_of(net, wines, plan={"seeds": 3, "steps": 100})
    assert len(combine(curves).losses) == max(len(curve.losses) for curve in curves)
    assert suggest(curves).suggestion is not None
