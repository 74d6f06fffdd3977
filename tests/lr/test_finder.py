"""What sweeps and validation of one config share."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch

from dltune.data.device import DeviceData, Tensors
from dltune.errors import ModelError, SweepError
from dltune.lr.extend import SweepRange
from dltune.lr.finder import Finder
from dltune.lr.sweep import sweep_seeds
from dltune.lr.validation.plan import LADDER, ValidationPlan
from dltune.recipe.schema import Config
from tests.lr.configs import make_config

HERE = Path()
SMALL = {"hidden": [8]}
START = SweepRange(low=1e-4, high=1.0, steps=40, fixed_low=True, fixed_high=True, fixed_steps=True)


def found_by(config: Config, data: DeviceData, **others: Any) -> Finder:
    return Finder(config, data, others.get("folder", HERE), others.get("watch"))


@pytest.mark.parametrize(
    ("model", "batch", "steps"),
    [
        pytest.param({"hidden": [4]}, 64, 50, id="mlp"),
        # 64 * 400 + 400 + 400 * 10 + 10 = 30,010 values: 6 * 30,010 * 22 = 3.96 million operations
        # an update, and 4.14 million with one example more.
        pytest.param({"hidden": [400]}, 22, 50, id="just small"),
        pytest.param({"hidden": [400]}, 23, 25, id="not small"),
        pytest.param({"name": "cnn", "filters": [2]}, 64, 25, id="cnn"),
    ],
)
def test_steps_a_decade_by_what_an_update_costs(
    digits: DeviceData, model: dict[str, Any], batch: int, steps: int
) -> None:
    data = digits
    if model.get("name") == "cnn":
        images = Tensors(
            features=digits.train.features.reshape(-1, 1, 8, 8), targets=digits.train.targets
        )
        data = dataclasses.replace(digits, inputs=(1, 8, 8), train=images)
    made = make_config(model=model, train={"batch_size": batch})
    assert found_by(made, data).steps_per_decade() == steps


def test_steps_a_decade_of_an_own_model(wine: DeviceData, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(
        "from torch import nn\n\n"
        "def build(inputs, outputs):\n    return nn.Linear(inputs[0], outputs)\n"
    )
    made = make_config(model={"factory": "own.py:build"})
    assert found_by(made, wine, folder=tmp_path).steps_per_decade() == 16


def test_one_curve_a_seed(wine: DeviceData) -> None:
    config = make_config(model=SMALL, train={"seed": 4})
    curves, notes = found_by(config, wine).sweep(START, 3)
    assert [curve.seed for curve in curves] == sweep_seeds(4, 3)
    assert len({curve.losses for curve in curves}) == 3
    assert notes == []


def test_updates_are_counted_once_for_each_seed(wine: DeviceData) -> None:
    """Those of sweeps that were too narrow included."""
    finder = found_by(make_config(model=SMALL), wine)
    finder.sweep(START, 3)
    assert finder.updates == 3 * 40
    finder = found_by(make_config(model=SMALL), wine)
    narrow = SweepRange(low=1e-6, high=1e-2, steps=40, fixed_low=True, fixed_steps=True)
    curves, notes = finder.sweep(narrow, 2)
    assert curves[0].high > 1e-2
    assert len(notes) >= 1
    assert finder.updates >= 2 * 2 * 40 - 20  # an end that blows up is shorter


def test_one_seed_is_swept_as_one_of_several(wine: DeviceData) -> None:
    """Alone by torch's optimizers, several as a stack."""
    config = make_config(model=SMALL, train={"precision": "float64"})
    (alone,), _ = found_by(config, wine).sweep(START, 1)
    several, _ = found_by(config, wine).sweep(START, 2)
    assert several[0].losses == pytest.approx(alone.losses, rel=1e-7)


OWN = """
import torch

class Own(torch.nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.layer = torch.nn.Linear(inputs[0], outputs)

    def forward(self, x):
        {line}
        return self.layer(x)

def build(inputs, outputs):
    return Own(inputs, outputs)
"""


def own(folder: Path, name: str, line: str, **train: Any) -> Config:
    (folder / f"{name}.py").write_text(OWN.replace("{line}", line))
    return make_config(model={"factory": f"{name}.py:build"}, train=train)


def test_a_users_model_that_cannot_be_stacked_is_swept_one_by_one(
    wine: DeviceData, tmp_path: Path
) -> None:
    """With the same numbers."""
    config = own(tmp_path, "plain", "pass", precision="float64")
    looped = own(tmp_path, "asks", "assert float(x.detach().sum()) < 1e9", precision="float64")
    stacked_curves, _ = found_by(config, wine, folder=tmp_path).sweep(START, 2)
    looped_curves, _ = found_by(looped, wine, folder=tmp_path).sweep(START, 2)
    for mine, other in zip(stacked_curves, looped_curves, strict=True):
        assert mine.losses == pytest.approx(other.losses, rel=1e-9)


def test_a_broken_model_is_named_before_any_sweep(wine: DeviceData, tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("def build(inputs, outputs):\n    return 1 / 0\n")
    config = make_config(model={"factory": "broken.py:build"})
    with pytest.raises(ModelError, match="division by zero"):
        found_by(config, wine, folder=tmp_path)


def test_a_model_that_fails_on_the_data_is_named(wine: DeviceData, tmp_path: Path) -> None:
    config = own(tmp_path, "fails", "if self.training: raise ValueError('not these')")
    with pytest.raises(ModelError) as refused:
        found_by(config, wine, folder=tmp_path).sweep(START, 2)
    assert refused.value.found == (
        "the model of 'fails.py:build' raised ValueError in the sweep: not these "
        f"({tmp_path / 'fails.py'}, line 10)"
    )


def test_memory_that_runs_out_is_an_error_that_says_what_to_do(
    wine: DeviceData, tmp_path: Path
) -> None:
    """Four exabytes are more than there are."""
    config = own(tmp_path, "large", "if self.training: torch.empty(2**60)", batch_size=24)
    with pytest.raises(SweepError) as refused:
        found_by(config, wine, folder=tmp_path).sweep(START, 1)
    assert str(refused.value) == (
        "the sweep ran out of memory with train.batch_size = 24\n"
        "Try --set train.batch_size=16 --set train.accumulate=4: less memory, "
        "the same number of examples an update."
    )


def test_watch_is_told_what_is_done(wine: DeviceData) -> None:
    seen: list[tuple[str, float, float]] = []
    config = make_config(model=SMALL, train={"epochs": 2})
    finder = found_by(config, wine, watch=lambda *what: seen.append(what))
    finder.sweep(START, 2)
    assert seen == [("sweep", number, 40) for number in range(1, 41)]
    seen.clear()
    plan = ValidationPlan(rungs=LADDER[0], row_cost=0.1)
    found = finder.validate(0.01, None, plan, edge=None)
    assert {(stage, total) for stage, _, total in seen} == {("validation", plan.trainings)}
    assert seen[-1][1] == pytest.approx(found.trainings)


def test_the_recipes_own_rate_is_a_candidate(wine: DeviceData) -> None:
    """In the place of one that is nearly the same, if there is one."""
    config = make_config(model=SMALL, train={"epochs": 2})
    finder = found_by(config, wine)
    found = finder.validate(0.01, 0.0102, ValidationPlan(rungs=LADDER[0], row_cost=0.1), edge=None)
    rates = [one.rate for one in found.candidates]
    assert [one.rate for one in found.candidates if one.own] == [0.0102]
    assert 0.01 not in rates
    assert rates == sorted(set(rates))


def test_the_plan_keeps_to_the_budget(wine: DeviceData) -> None:
    finder = found_by(make_config(model=SMALL), wine)
    costs = [finder.plan(budget).cost for budget in (0.5, 2.0, 8.0)]
    assert costs == sorted(costs)
    assert costs[1] <= 2.0
    assert costs[2] <= 8.0
    assert finder.is_cheap(finder.plan(2.0))


def test_nothing_of_the_callers_random_state_is_used(wine: DeviceData) -> None:
    config = make_config(model=SMALL | {"dropout": 0.3})
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first, _ = found_by(config, wine).sweep(START, 2)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert found_by(config, wine).sweep(START, 2)[0] == first


@pytest.mark.parametrize(
    ("step", "beyond"),
    [pytest.param(1, False, id="one seed at the end"), pytest.param(3, True, id="two seeds")],
)
def test_beyond_the_edge_one_training_may_be_lucky(
    wine: DeviceData, step: int, beyond: bool
) -> None:
    """Around 0.01 the first round goes up to 10^(3/4) times it, beyond the edge at 0.02."""
    finder = found_by(make_config(model=SMALL, train={"epochs": 2}), wine)
    plan = ValidationPlan(rungs=LADDER[step], row_cost=0.1)
    found = finder.validate(0.01, None, plan, edge=0.02)
    assert (found.candidates[-1].rate > 0.02) is beyond
