"""The peers of the learning-rate finder train the task that dltune trains, and do answer."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch.optim.optimizer import register_optimizer_step_pre_hook

from dltune.data.device import DeviceData, to_device
from dltune.data.load import load_data
from dltune.training.batches import BatchOrder
from dltune.training.learner import Learner
from dltune.training.losses import build_loss

FOLDER = Path(__file__).parents[2] / "benchmarks" / "lr_find"  # of data.py and nets.py

TASKS = {
    "linear": ("wine", "linear", "momentum", 16, "constant"),
    "norm": ("friedman", "norm 32-32", "adamw", 64, "cosine"),
    "cnn": ("digits", "cnn 8", "sgd", 64, "cosine"),
    "transformer": ("tones", "transformer 16", "adam", 64, "constant"),
    "rmsprop": ("diabetes", "mlp 16", "rmsprop", "full", "constant"),
}

every_task = pytest.mark.parametrize("case", TASKS.values(), ids=TASKS)
few_tasks = pytest.mark.parametrize(
    "case", [TASKS[name] for name in ("linear", "norm")], ids=["linear", "norm"]
)

Case = tuple[str, str, str, int | str, str]
Import = Callable[[str], ModuleType]


def task_of(case: Case, lr_find: Import) -> Any:
    data, model, optimizer, batch_size, schedule = case
    return lr_find("tasks").Task(
        half="tuning",
        data=data,
        model=model,
        optimizer=optimizer,
        batch_size=batch_size,
        epochs=2,
        schedule=schedule,
    )


def data_of(task: Any) -> DeviceData:
    return to_device(load_data(task.config().data, folder=FOLDER), torch.device("cpu"))


def needs(*packages: str) -> None:
    """Skip the test where one of them is missing."""
    for package in packages:
        missing = f"{package} is not installed: pip install -c constraints.txt -e '.[benchmark]'"
        pytest.importorskip(package, reason=missing)


@every_task
def test_the_updates_are_those_of_dltune(case: Case, lr_find: Import) -> None:
    task, plain = task_of(case, lr_find), lr_find("peers.plain")
    config, data = task.config(0.01), data_of(task)
    learner = Learner(config, seed=0, data=data, folder=FOLDER)
    model = plain.fresh_model(config, data, seed=7)
    learner.load(model.state_dict())
    optimizer = plain.plain_optimizer(config, model.parameters())
    loss = plain.loss_of(data)
    order = BatchOrder(config.train, len(data.train), seed=3, device=data.device)
    for _, (batch,) in zip(range(4), order.epoch(), strict=False):
        optimizer.zero_grad()
        plain_loss = loss(model(data.train.features[batch]), data.train.targets[batch])
        plain_loss.backward()
        optimizer.step()
        assert learner.gradients([batch]).item() == pytest.approx(plain_loss.item(), rel=1e-4)
        learner.apply(0.01)


@every_task
def test_the_seed_decides_weights_and_order(case: Case, lr_find: Import) -> None:
    task, plain = task_of(case, lr_find), lr_find("peers.plain")
    config, data = task.config(), data_of(task)

    def beginning(seed: int) -> list[torch.Tensor]:
        loader = plain.train_loader(config, data)
        model = plain.fresh_model(config, data, seed)
        return [*model.state_dict().values(), next(iter(loader))[0]]

    first, again, other = beginning(0), beginning(0), beginning(1)
    assert all(map(torch.equal, first, again))
    assert not torch.equal(first[-1], other[-1])
    assert not all(map(torch.equal, first[:-1], other[:-1]))


@every_task
def test_a_loader_has_the_batches_of_dltune(case: Case, lr_find: Import) -> None:
    task, plain = task_of(case, lr_find), lr_find("peers.plain")
    config, data = task.config(), data_of(task)
    order = BatchOrder(config.train, len(data.train), seed=0, device=data.device)
    sizes = [len(features) for features, _ in plain.train_loader(config, data)]
    assert sizes == [len(batch) for (batch,) in order.epoch()]


def settings(group: dict[str, Any]) -> dict[str, Any]:
    """A parameter group's hyperparameters."""
    return {k: v for k, v in group.items() if k not in ("params", "fused", "foreach")}


@every_task
def test_the_optimizer_has_the_hyperparameters_of_dltune(case: Case, lr_find: Import) -> None:
    task, plain = task_of(case, lr_find), lr_find("peers.plain")
    config, data = task.config(0.02), data_of(task)
    model = plain.fresh_model(config, data, seed=0)
    found = plain.plain_optimizer(config, model.parameters()).param_groups[0]
    learner = Learner(config, seed=0, data=data, folder=FOLDER)
    ours = learner._optimizer.param_groups[0]
    assert settings(found) == settings(ours)
    assert found["lr"] == 0.02


def test_a_single_last_example_is_left_out(lr_find: Import) -> None:
    task, plain = task_of(TASKS["linear"], lr_find), lr_find("peers.plain")
    data = data_of(task)
    config = task.config()
    size = len(data.train) - 1
    config = config.model_copy(
        update={"train": config.train.model_copy(update={"batch_size": size})}
    )
    assert [len(x) for x, _ in plain.train_loader(config, data)] == [size]


@pytest.mark.parametrize(
    ("optimizer", "rate"),
    [("sgd", 0.1), ("momentum", 0.01), ("rmsprop", 1e-3), ("adam", 1e-3), ("adamw", 1e-3)],
)
def test_the_fixed_default(optimizer: str, rate: float, lr_find: Import) -> None:
    task = task_of(("wine", "linear", optimizer, 16, "constant"), lr_find)
    assert lr_find("peers.fixed").fixed_default(task.config()) == rate


def test_an_exception_is_a_result(lr_find: Import) -> None:
    result = lr_find("peers.result")

    def find() -> dict[str, float | None]:
        weight = torch.nn.Parameter(torch.ones(1))
        weight.grad = torch.ones(1)
        torch.optim.SGD([weight], lr=0.1).step()
        raise RuntimeError("too few points")

    found = result.run_finder(find, rules=["one", "two"])
    assert (found.rates, found.updates, found.error) == (
        {"one": None, "two": None},
        1,
        "RuntimeError",
    )


def test_nothing_is_printed_or_drawn(lr_find: Import, capsys: pytest.CaptureFixture[str]) -> None:
    result = lr_find("peers.result")
    before = torch.random.get_rng_state()

    def find() -> dict[str, float | None]:
        print("to stdout")
        print("to stderr", file=sys.stderr)
        return {"one": float(torch.rand(1))}

    assert 0.0 <= result.run_finder(find, rules=["one"]).rates["one"] < 1.0
    assert capsys.readouterr() == ("", "")
    assert torch.equal(torch.random.get_rng_state(), before)


FINDERS = {
    "fastai_rules": ("fastai.basics", 4, 100),
    "lightning_rule": ("lightning", 1, 100),
    "torch_lr_finder_rule": ("torch_lr_finder", 1, 100),
}


@few_tasks
@pytest.mark.parametrize("name", FINDERS)
def test_a_finder_finds_a_rate_twice(name: str, case: Case, lr_find: Import) -> None:
    package, rules, most = FINDERS[name]
    needs(package)
    task = task_of(case, lr_find)
    config, data = task.config(), data_of(task)
    find = getattr(lr_find(f"peers.{name}"), name)
    first, again = find(config, data, seed=0), find(config, data, seed=0)
    assert not first.error
    assert len(first.rates) == rules
    assert all(rate is not None and 1e-8 <= rate <= 10.0 for rate in first.rates.values())
    assert 0 < first.updates <= most
    assert first.seconds > 0
    assert again.rates == first.rates


@few_tasks
@pytest.mark.parametrize("name", FINDERS)
def test_a_finder_sweeps_the_recipe_s_optimizer(name: str, case: Case, lr_find: Import) -> None:
    needs(FINDERS[name][0])
    task = task_of(case, lr_find)
    config, data = task.config(), data_of(task)
    plain = lr_find("peers.plain")
    model = plain.fresh_model(config, data, seed=0)
    (expected,) = map(settings, plain.plain_optimizer(config, model.parameters()).param_groups)
    groups = []

    def see(optimizer: torch.optim.Optimizer, *_: Any) -> None:
        groups.append([dict(settings(group)) for group in optimizer.param_groups])

    hook = register_optimizer_step_pre_hook(see)
    try:
        found = getattr(lr_find(f"peers.{name}"), name)(config, data, seed=0)
    finally:
        hook.remove()
    assert len(groups) == found.updates
    rates = [group.pop("lr") for (group,) in groups]
    assert rates == sorted(rates)
    assert rates[0] <= 1e-7 < 0.1 < rates[-1]
    for (group,) in groups:
        group.pop("initial_lr", None)  # of a scheduler
        assert {"lr": expected["lr"], **group} == expected


def test_a_rule_of_fastai_that_raises_takes_no_other_with_it(
    lr_find: Import, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs("fastai.basics")
    task, module = task_of(TASKS["linear"], lr_find), lr_find("peers.fastai_rules")

    def valley(*_: Any) -> None:
        raise IndexError

    rules = tuple(valley if one.__name__ == "valley" else one for one in module.SUGGEST)
    monkeypatch.setattr(module, "SUGGEST", rules)
    found = module.fastai_rules(task.config(), data_of(task), seed=0)
    missing = [name for name, rate in found.rates.items() if rate is None]
    assert (missing, found.error) == (["fastai valley"], "valley IndexError")


@few_tasks
@pytest.mark.parametrize("name", ["train_prodigy", "train_schedule_free"])
def test_a_rate_free_optimizer_trains_the_whole_task(
    name: str, case: Case, lr_find: Import
) -> None:
    needs("prodigyopt", "schedulefree")
    task = task_of(case, lr_find)
    config, data = task.config(), data_of(task)
    learner = Learner(config, seed=0, data=data, folder=FOLDER)
    found = getattr(lr_find("peers.rate_free"), name)(config, data, seed=0)
    assert found.error == ""
    assert found.updates == learner.updates
    assert found.best <= found.final < math.inf
    loss = build_loss(config, task=data.task)
    model = lr_find("peers.plain").fresh_model(config, data, seed=0).eval()
    untrained = loss(model(data.dev.features), data.dev.targets).item()
    assert found.best < 2 * untrained
