from __future__ import annotations

import copy
import dataclasses
import json
import pickle
import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
import torch
from sklearn.datasets import load_wine
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, RandomSampler, TensorDataset

import dltune
from dltune.errors import ModelError
from dltune.lr.curve import LrCurve
from dltune.lr.suggest import ALGORITHM

Batch = tuple[torch.Tensor, torch.Tensor]
Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
Meanwhile = Callable[[nn.Module, torch.optim.Optimizer, Any], None]


@pytest.fixture(scope="module")
def wines() -> Batch:
    """178 wines of 3 sorts, 13 standardised measurements."""
    features, sorts = load_wine(return_X_y=True)
    inputs = (features - features.mean(0)) / features.std(0)
    return torch.as_tensor(inputs, dtype=torch.float32), torch.as_tensor(sorts)


@pytest.fixture(autouse=True)
def same_start() -> Iterator[None]:
    """Every test starts with the same random states, and leaves them as it found them."""
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
    yield
    random.setstate(states[0])
    np.random.set_state(states[1])
    torch.set_rng_state(states[2])


def net() -> nn.Module:
    return nn.Sequential(
        nn.Linear(13, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 3)
    )


# --- what it leaves alone ------------------------------------------------------------------------


class Noisy(TensorDataset):
    """Examples with noise from each of the global generators and from one of its own."""

    def __init__(self, *tensors: torch.Tensor) -> None:
        super().__init__(*tensors)
        self.own = np.random.default_rng(5)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, ...]:
        noise = random.gauss(0, 0.1) + np.random.normal() * 0.1 + self.own.normal() * 0.1
        inputs, target = super().__getitem__(index)
        return inputs + noise, target


def plain_loader(wines: Batch) -> Any:
    return DataLoader(TensorDataset(*wines), batch_size=32, shuffle=True)


def own_generator(wines: Batch) -> Any:
    generator = torch.Generator().manual_seed(3)
    return DataLoader(TensorDataset(*wines), batch_size=32, shuffle=True, generator=generator)


def own_sampler(wines: Batch) -> Any:
    data = TensorDataset(*wines)
    sampler = RandomSampler(data, generator=torch.Generator().manual_seed(3))
    return DataLoader(data, batch_size=32, sampler=sampler, num_workers=0)


def noisy_loader(wines: Batch) -> Any:
    return DataLoader(Noisy(*wines), batch_size=32, shuffle=True)


def states_of(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Everything of a training that has a value, as bytes or plain values."""
    return {
        "weights": {name: value.clone() for name, value in model.state_dict().items()},
        "gradients": [None if p.grad is None else p.grad.clone() for p in model.parameters()],
        "asked": [p.requires_grad for p in model.parameters()],
        "modes": [module.training for module in model.modules()],
        "optimizer": copy.deepcopy(optimizer.state_dict()),
        "python": random.getstate(),
        "numpy": pickle.dumps(np.random.get_state()),
        "torch": torch.get_rng_state(),
        "threads": torch.get_num_threads(),
    }


def assert_same(one: Any, other: Any) -> None:
    """Equal to the last bit."""
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other)
    elif isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_same(one[key], other[key])
    elif isinstance(one, list | tuple):
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            assert_same(a, b)
    else:
        assert one == other


def fit(make_loader: Callable[[Batch], Any], wines: Batch, meanwhile: Meanwhile) -> dict[str, Any]:
    """Three epochs with Adam and a schedule; what comes in between stands before each of them.

    In the middle of an epoch too, with a gradient that has not been used yet.
    """
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
    model, loader = net(), make_loader(wines)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=3)
    for _ in range(3):
        meanwhile(model, optimizer, loader)
        for number, (inputs, targets) in enumerate(loader):
            optimizer.zero_grad()
            F.cross_entropy(model(inputs), targets).backward()
            if number == 2:
                meanwhile(model, optimizer, loader)
            optimizer.step()
        schedule.step()
    return states_of(model, optimizer)


def nothing(model: nn.Module, optimizer: torch.optim.Optimizer, loader: Any) -> None:
    pass


def found(model: nn.Module, optimizer: torch.optim.Optimizer, loader: Any) -> None:
    before = states_of(model, optimizer)
    assert dltune.lr_find(
        model, F.cross_entropy, loader, optimizer=optimizer, seeds=2, steps=20
    ).curves
    assert_same(states_of(model, optimizer), before)


class Stops:
    """A loss that raises after some calls, and plays with everything global before."""

    def __init__(self, error: BaseException) -> None:
        self.error = error
        self.calls = 0

    def __call__(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        random.random(), np.random.random(), torch.rand(1)
        if self.calls == 9:
            raise self.error
        return F.cross_entropy(outputs, targets)


def broken_off(error: BaseException) -> Meanwhile:
    def try_it(model: nn.Module, optimizer: torch.optim.Optimizer, loader: Any) -> None:
        before = states_of(model, optimizer)
        with pytest.raises(type(error)) as caught:
            dltune.lr_find(model, Stops(error), loader, optimizer=optimizer, seeds=2)
        assert caught.value is error
        assert_same(states_of(model, optimizer), before)

    return try_it


@pytest.mark.parametrize(
    "make_loader",
    [plain_loader, own_generator, own_sampler, noisy_loader],
    ids=lambda f: f.__name__,
)
@pytest.mark.parametrize(
    "meanwhile",
    [
        pytest.param(found, id="found"),
        pytest.param(broken_off(ZeroDivisionError("in the loss")), id="exception"),
        pytest.param(broken_off(KeyboardInterrupt()), id="ctrl-c"),
    ],
)
def test_a_training_is_the_same_to_the_last_bit(
    wines: Batch, make_loader: Callable[[Batch], Any], meanwhile: Meanwhile
) -> None:
    assert_same(fit(make_loader, wines, meanwhile), fit(make_loader, wines, nothing))


def test_a_fitted_model_can_be_asked_for_a_rate_in_evaluation_mode(wines: Batch) -> None:
    model = net().eval()
    model[0].requires_grad_(False)
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    before = states_of(model, optimizer)
    dltune.lr_find(model, F.cross_entropy, wines, optimizer=optimizer, seeds=1, steps=20)
    dltune.lr_find(model, F.cross_entropy, wines, optimizer="sgd", seeds=1, steps=20)
    assert_same(states_of(model, optimizer), before)


def test_a_live_iterator_goes_on_as_before(wines: Batch) -> None:
    def two_and_rest(meanwhile: Callable[[Any], None]) -> list[torch.Tensor]:
        loader = own_generator(wines)
        batches = iter(loader)
        first = [next(batches)[1] for _ in range(2)]
        meanwhile(loader)
        return [*first, *(targets for _, targets in batches), *(targets for _, targets in loader)]

    def asked(loader: Any) -> None:
        dltune.lr_find(net(), F.cross_entropy, loader, seeds=1, steps=20)

    assert_same(two_and_rest(asked), two_and_rest(lambda loader: None))


class Counting(DataLoader[Any]):
    """A loader that keeps something of each pass, as one with persistent workers does."""

    passes = 0

    def __iter__(self) -> Any:
        self.passes += 1
        return super().__iter__()


def test_what_a_loader_keeps_from_pass_to_pass_stays(wines: Batch) -> None:
    loader = Counting(TensorDataset(*wines), batch_size=64)
    list(loader)
    dltune.lr_find(net(), F.cross_entropy, loader, seeds=1, steps=20)
    assert loader.passes == 1


# --- what it finds -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def wine_finding(wines: Batch) -> dltune.LrFinding:
    torch.manual_seed(0)
    return dltune.lr_find(net, F.cross_entropy, wines, optimizer=torch.optim.AdamW, seeds=3)


def test_the_finding(wine_finding: dltune.LrFinding) -> None:
    one = wine_finding
    assert one.status == "ok"
    assert one.suggestion is not None
    assert one.minimum is not None
    assert one.steepest is not None
    assert 1e-3 <= one.suggestion <= one.minimum
    assert one.band is not None
    assert one.band[0] <= one.band[1]
    assert one.reason
    assert (one.advice, one.algorithm) == ("", ALGORITHM)
    assert len(one.curves) == 3
    assert all(isinstance(curve, LrCurve) for curve in one.curves)
    assert type(one.curve.rates) is type(one.curve.losses) is tuple
    assert len(one.curve.rates) == len(one.curve.losses) > 50
    assert one.peak is not None
    assert one.search_range is not None
    assert one.curve.optimizer == "adamw"


def test_the_suggestion_trains(wines: Batch, wine_finding: dltune.LrFinding) -> None:
    def loss_after(rate: float) -> float:
        torch.manual_seed(1)
        model = net()
        optimizer = torch.optim.AdamW(model.parameters(), lr=rate)
        for _ in range(10):
            for inputs, targets in plain_loader(wines):
                optimizer.zero_grad()
                F.cross_entropy(model(inputs), targets).backward()
                optimizer.step()
        with torch.no_grad():
            return F.cross_entropy(model.eval()(wines[0]), wines[1]).item()

    assert wine_finding.suggestion is not None
    best = loss_after(wine_finding.suggestion)
    assert best < 0.1 < loss_after(wine_finding.suggestion / 100)
    assert best < loss_after(1.0)


def test_the_finding_is_frozen_and_says_little(wine_finding: dltune.LrFinding) -> None:
    assert wine_finding.suggestion is not None
    with pytest.raises(dataclasses.FrozenInstanceError):
        wine_finding.suggestion = 1.0  # type: ignore[misc]
    assert repr(wine_finding) == (
        f"LrFinding(suggestion={wine_finding.suggestion!r}, band={wine_finding.band!r}, "
        "status='ok', seeds=3)"
    )
    again = pickle.loads(pickle.dumps(wine_finding))
    assert again.curves == wine_finding.curves
    assert repr(again) == repr(wine_finding)


def test_its_text_is_what_the_terminal_shows(wine_finding: dltune.LrFinding) -> None:
    text = str(wine_finding)
    assert "learning rate" in text
    assert "L suggestion" in text
    assert wine_finding.reason.partition(";")[0] in " ".join(text.split())


def test_it_goes_through_json(wine_finding: dltune.LrFinding) -> None:
    document = json.loads(wine_finding.to_json())
    assert document == wine_finding.to_dict()
    assert document["suggestion"] == wine_finding.suggestion
    assert document["band"] == list(wine_finding.band or ())
    assert document["status"] == "ok"
    assert type(wine_finding.to_dict()["status"]) is str
    assert document["curve"]["losses"] == list(wine_finding.curve.losses)
    assert [curve["seed"] for curve in document["curves"]] == [
        curve.seed for curve in wine_finding.curves
    ]
    assert wine_finding.to_json(indent=2).startswith('{\n  "algorithm": "')


def test_a_plot_does_not_touch_pyplot(wine_finding: dltune.LrFinding, tmp_path: Path) -> None:
    settings = dict(matplotlib.rcParams)
    figure = wine_finding.plot()
    assert figure is not None
    (axes,) = figure.axes
    assert (axes.get_xscale(), axes.get_xlabel()) == ("log", "learning rate")
    assert wine_finding.plot(tmp_path / "curve.png") is None
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")
    wine_finding.plot(str(tmp_path / "other.png"))
    assert (tmp_path / "other.png").exists()
    assert dict(matplotlib.rcParams) == settings
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or pyplot.get_fignums() == []


def test_without_an_answer_there_is_a_status(wines: Batch) -> None:
    broken = dltune.lr_find(net(), F.cross_entropy, (wines[0] * float("nan"), wines[1]), seeds=2)
    assert (broken.suggestion, broken.band, broken.status) == (None, None, "non-finite")
    assert broken.reason == (
        "non-finite loss before the first update: look for NaN or infinity in the data, "
        "or in what the model does with it"
    )
    document = json.loads(broken.to_json())
    assert document["curve"]["initial_loss"] is None
    assert document["curves"][0]["losses"] == []
    assert broken.plot() is not None
    assert broken.reason.partition(":")[0] in " ".join(str(broken).split())


def test_one_broken_example_is_found_whenever_it_comes(wines: Batch) -> None:
    """It is in the first batch of no seed, and would look like an edge at a rate of its own."""
    inputs = wines[0].repeat(20, 1)
    inputs[1234, 5] = float("nan")
    pair = (inputs, wines[1].repeat(20))
    one = dltune.lr_find(net(), F.cross_entropy, pair, batch_size=32, seeds=2)
    assert one.status == "non-finite"
    assert one.suggestion is None


def test_a_refusal_advises_in_arguments(wines: Batch) -> None:
    one = dltune.lr_find(net(), F.cross_entropy, wines, low=1e-6, high=1e-3, seeds=2)
    assert one.status == "falling"
    assert one.advice == "high=0.1"


def test_negative_losses_and_devices(wines: Batch) -> None:
    plain = dltune.lr_find(net, F.cross_entropy, wines, seeds=2, device="cpu")
    shifted = dltune.lr_find(
        net, lambda o, t: F.cross_entropy(o, t) - 10.0, wines, seeds=2, device=torch.device("cpu")
    )
    assert shifted.status == "ok"
    assert shifted.suggestion == pytest.approx(plain.suggestion, rel=0.2)
    assert shifted.curve.initial_loss < -8


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_model_can_be_swept_on_another_device(wines: Batch) -> None:
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    F.cross_entropy(model(wines[0]), wines[1]).backward()
    optimizer.step()
    before = states_of(model, optimizer), torch.cuda.get_rng_state()
    one = dltune.lr_find(model, F.cross_entropy, wines, optimizer=optimizer, device="cuda")
    assert one.status == "ok"
    assert_same((states_of(model, optimizer), torch.cuda.get_rng_state()), before)


def test_mistakes_are_dltunes_own_errors(wines: Batch) -> None:
    with pytest.raises(ModelError, match=r"^loss and forward are both missing"):
        dltune.lr_find(net(), None, wines)


def test_what_a_model_raises_comes_through(wines: Batch) -> None:
    with pytest.raises(RuntimeError, match="mat1 and mat2 shapes cannot be multiplied"):
        dltune.lr_find(nn.Linear(12, 3), F.cross_entropy, wines)


# --- the shop window -----------------------------------------------------------------------------


def test_public_names_are_listed_and_others_are_refused() -> None:
    assert set(dltune.__all__) <= set(dir(dltune))
    with pytest.raises(AttributeError, match="module 'dltune' has no attribute 'lr_fin'"):
        dltune.lr_fin  # noqa: B018
