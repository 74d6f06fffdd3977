"""Every optimizer of the recipe against torch's own class, written out by hand."""

from __future__ import annotations

import copy
import subprocess
import sys
from collections.abc import Callable

import pytest
import torch
from pydantic import TypeAdapter
from torch import nn

from dltune.recipe.schema import OptimConfig
from dltune.training.optimizers import (
    CLASSES,
    FlatParameters,
    build_optimizer,
    load_slots,
    set_rate,
    slots_of,
)

CPU = torch.device("cpu")
optim = torch.optim

# The recipe's table, and the same optimizer as a torch user would write it (plain for-loop form).
CASES: dict[str, tuple[dict[str, object], Callable[..., torch.optim.Optimizer]]] = {
    "sgd": (
        {"weight_decay": 0.1},
        lambda p: optim.SGD(p, lr=0.05, weight_decay=0.1, foreach=False),
    ),
    "momentum": (
        {"momentum": 0.8, "dampening": 0.2},
        lambda p: optim.SGD(p, lr=0.05, momentum=0.8, dampening=0.2, foreach=False),
    ),
    "nesterov": (
        {"momentum": 0.7},
        lambda p: optim.SGD(p, lr=0.05, momentum=0.7, nesterov=True, foreach=False),
    ),
    "adagrad": (
        {"lr_decay": 0.1, "initial_accumulator_value": 0.2, "eps": 1e-6},
        lambda p: optim.Adagrad(
            p, lr=0.05, lr_decay=0.1, initial_accumulator_value=0.2, eps=1e-6, foreach=False
        ),
    ),
    "rmsprop": (
        {"alpha": 0.9, "momentum": 0.5, "centered": True, "eps": 1e-5},
        lambda p: optim.RMSprop(
            p, lr=0.05, alpha=0.9, momentum=0.5, centered=True, eps=1e-5, foreach=False
        ),
    ),
    "adadelta": (
        {"rho": 0.8, "eps": 1e-4},
        lambda p: optim.Adadelta(p, lr=0.05, rho=0.8, eps=1e-4, foreach=False),
    ),
    "adam": (
        {"betas": [0.8, 0.95], "eps": 1e-6, "amsgrad": True, "weight_decay": 0.01},
        lambda p: optim.Adam(
            p, lr=0.05, betas=(0.8, 0.95), eps=1e-6, amsgrad=True, weight_decay=0.01, foreach=False
        ),
    ),
    "adamax": (
        {"betas": [0.8, 0.95]},
        lambda p: optim.Adamax(p, lr=0.05, betas=(0.8, 0.95), foreach=False),
    ),
    "nadam": (
        {"momentum_decay": 0.01},
        lambda p: optim.NAdam(p, lr=0.05, momentum_decay=0.01, foreach=False),
    ),
    "adamw": (
        {"weight_decay": 0.3},
        lambda p: optim.AdamW(p, lr=0.05, weight_decay=0.3, foreach=False),
    ),
}


def build(name: str, parameters: list[torch.nn.Parameter]) -> torch.optim.Optimizer:
    table = {"name": name, "lr": 0.05, **CASES[name][0]}
    return build_optimizer(TypeAdapter(OptimConfig).validate_python(table), parameters, device=CPU)


def fresh() -> list[torch.nn.Parameter]:
    generator = torch.Generator().manual_seed(0)
    return [
        torch.nn.Parameter(torch.randn(shape, generator=generator, dtype=torch.float64))
        for shape in [(4, 3), (4,)]
    ]


def descend(optimizer: torch.optim.Optimizer, parameters: list[torch.nn.Parameter]) -> None:
    for _ in range(30):
        optimizer.zero_grad()
        sum((w.square() * 0.5 + w.sin()).sum() for w in parameters).backward()
        optimizer.step()


@pytest.mark.parametrize("name", sorted(CASES))
def test_thirty_updates_equal_torch(name: str) -> None:
    ours, theirs = fresh(), fresh()
    descend(build(name, ours), ours)
    descend(CASES[name][1](theirs), theirs)
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-9, atol=1e-12)


def test_every_optimizer_of_the_recipe_is_here() -> None:
    assert set(CASES) == set(CLASSES)


@pytest.mark.parametrize("name", sorted(CASES))
def test_default_hyperparameters_are_torchs(name: str) -> None:
    ours = build_optimizer(
        TypeAdapter(OptimConfig).validate_python({"name": name}), fresh(), device=CPU
    )
    theirs = CLASSES[name](fresh())
    own_choice = {"fused", "foreach", "momentum", "nesterov"}  # how it is computed; what it is
    for key in set(ours.defaults) - own_choice | ({"momentum"} if name == "rmsprop" else set()):
        assert ours.defaults[key] == theirs.defaults[key], key


def test_set_rate_reaches_betas_and_momentum() -> None:
    adam, momentum, sgd = build("adam", fresh()), build("momentum", fresh()), build("sgd", fresh())
    for optimizer in (adam, momentum, sgd):
        set_rate(optimizer, 0.7, 0.9)
        assert optimizer.param_groups[0]["lr"] == 0.7
    assert adam.param_groups[0]["betas"] == (0.9, 0.95)
    assert momentum.param_groups[0]["momentum"] == 0.9
    assert sgd.param_groups[0]["momentum"] == 0  # plain descent stays plain


def test_a_momentum_that_touched_zero_rises_again() -> None:
    momentum = build("momentum", fresh())
    set_rate(momentum, 0.7, 0.0)
    set_rate(momentum, 0.7, 0.5)
    assert momentum.param_groups[0]["momentum"] == 0.5


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@pytest.mark.parametrize("name", sorted(CASES))
def test_thirty_updates_equal_torch_on_cuda(name: str) -> None:
    device = torch.device("cuda")
    ours = [torch.nn.Parameter(w.detach().to(device)) for w in fresh()]
    theirs = fresh()
    table = {"name": name, "lr": 0.05, **CASES[name][0]}
    optimizer = build_optimizer(
        TypeAdapter(OptimConfig).validate_python(table), ours, device=device
    )
    descend(optimizer, ours)
    descend(CASES[name][1](theirs), theirs)
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine.cpu(), other, rtol=1e-7, atol=1e-9)


@pytest.mark.slow
def test_no_optimizer_imports_torchs_compiler() -> None:
    code = (
        "import sys, torch\n"
        "from pydantic import TypeAdapter\n"
        "from dltune.recipe.schema import OptimConfig\n"
        "from dltune.training.optimizers import CLASSES, build_optimizer\n"
        "for name in CLASSES:\n"
        "    weight = torch.nn.Parameter(torch.ones(2))\n"
        "    optim = TypeAdapter(OptimConfig).validate_python({'name': name})\n"
        "    optimizer = build_optimizer(optim, [weight], device=torch.device('cpu'))\n"
        "    for _ in range(2):\n"
        "        weight.grad = torch.ones(2)\n"
        "        optimizer.step()\n"
        "print('torch._dynamo' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def make_net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.PReLU(), nn.Linear(4, 2)).double()


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_updates_of_one_vector_equal_those_of_separate_tensors(name: str) -> None:
    flat_model, model = make_net(), make_net()
    batch = torch.randn(6, 5, dtype=torch.float64)
    config = TypeAdapter(OptimConfig).validate_python(
        {"name": name, "lr": 0.01, "weight_decay": 0.1}
    )
    flat = FlatParameters(list(flat_model.parameters()))
    optimizers = [
        build_optimizer(config, [flat.vector], device=CPU),
        build_optimizer(config, model.parameters(), device=CPU),
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
    model = make_net()
    flat = FlatParameters(list(model.parameters()))
    weights = {name: torch.ones_like(value) for name, value in model.state_dict().items()}
    model.load_state_dict(copy.deepcopy(weights))
    assert torch.equal(flat.vector, torch.ones_like(flat.vector))


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        # After one update with gradient 1 and one with 2, lr 0.1, by torch's formulas. What begins
        # anew does so at zero, but for SGD's velocity, which begins with an undamped gradient.
        ({"name": "momentum", "momentum": 0.0}, {"momentum": 0.5, "dampening": 0.5}, -0.3),
        ({"name": "momentum", "momentum": 0.9}, {"momentum": 0.0}, -0.3),
        ({"name": "rmsprop", "alpha": 0.0}, {"momentum": 0.5}, -0.2),
        ({"name": "rmsprop", "alpha": 0.0, "momentum": 0.5}, {"momentum": 0.0}, -0.2),
        # 1 / sqrt(0.5 1), then 2 / sqrt(0.5 0.5 + 0.5 4 - 1), since the mean is 0.5 0 + 0.5 2.
        ({"name": "rmsprop", "alpha": 0.5}, {"centered": True}, -0.1 * (2**0.5 + 2 / 1.25**0.5)),
        ({"name": "adam", "betas": [0.0, 0.0]}, {"amsgrad": True}, -0.2),
    ],
)
def test_state_that_new_settings_ask_for_or_do_not(
    before: dict[str, object], after: dict[str, object], expected: float
) -> None:
    weight = {"w": nn.Parameter(torch.zeros(1, dtype=torch.float64))}
    slots: dict[str, dict[str, torch.Tensor]] = {}
    for gradient, settings in [(1.0, before), (2.0, before | after)]:
        config = TypeAdapter(OptimConfig).validate_python({**settings, "lr": 0.1})
        optimizer = build_optimizer(config, weight.values(), device=CPU)
        load_slots(optimizer, list(weight.values()), weight, slots)
        weight["w"].grad = torch.full((1,), gradient, dtype=torch.float64)
        optimizer.step()
        slots = slots_of(optimizer, list(weight.values()), weight)
    assert weight["w"].item() == pytest.approx(expected, rel=1e-6)
