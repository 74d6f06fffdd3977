"""Which arguments of a user's factory give models that may share a stack."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dltune.data.device import DeviceData, Tensors
from dltune.training.stacked.kinds import ENOUGH_TO_TELL, kinds
from tests.training.configs import make_config
from tests.training.stacked.own_arguments import ACT, DO_NOT_ACT, KEPT
from tests.training.stacked.own_nets import INPUTS, OUTPUTS, STACKABLE

BUILDERS = """
import torch
from torch import nn
from tests.training.stacked import own_arguments, own_nets

def by_argument(inputs, outputs, case, argument):
    return own_arguments.FACTORIES[case](argument)

def by_kind(inputs, outputs, kind, label):
    return own_nets.STACKABLE[kind]()

def scaled_and_started(inputs, outputs, scale, gain):
    module = own_nets.Scaled(scale)
    nn.init.normal_(module.head.weight, std=gain)
    return module

def dropped(inputs, outputs, share, label=""):
    return nn.Sequential(nn.Linear(*inputs, outputs), nn.Dropout(share))

def raises(inputs, outputs, when, label):
    class Raises(own_nets.Linear):
        def forward(self, x):
            if self.training or when == "built":
                raise ValueError("no, thanks")
            return self.head(x)
    return Raises()

def words(inputs, outputs, label):
    return nn.Sequential(Whole(), nn.Embedding(5, 2), nn.Flatten(), nn.Linear(2 * 8, outputs))

class Whole(nn.Module):
    def forward(self, x):
        return x.long()
"""


def make_data(features: torch.Tensor) -> DeviceData:
    split = Tensors(features=features, targets=torch.arange(len(features)) % OUTPUTS)
    return DeviceData(
        device=torch.device("cpu"),
        task="classification",
        inputs=(INPUTS,),
        outputs=OUTPUTS,
        train=split,
        dev=split,
        test=None,
        train_dev=None,
    )


DATA = make_data(torch.randn(40, INPUTS, generator=torch.Generator().manual_seed(0)))


def told(
    folder: Path,
    function: str,
    *sets: dict[str, Any],
    data: DeviceData = DATA,
    precision: str = "float32",
) -> list[str | None]:
    """The kinds of a factory's models, by its sets of arguments."""
    (folder / "nets.py").write_text(BUILDERS)
    configs = [
        make_config(
            model={"factory": f"nets.py:{function}", **arguments},
            train={"precision": precision, "device": "cpu"},
        )
        for arguments in sets
    ]
    return kinds(configs, data, folder=folder, seed=0)


def share(folder: Path, case: str, one: object, other: object) -> bool:
    """Whether models of two arguments may share a stack; those of equal ones may in any case."""
    arguments = [{"case": case, "argument": argument} for argument in (one, other, one)]
    found = told(folder, "by_argument", *arguments)
    assert None not in found
    assert found[0] == found[2]
    return found[0] == found[1]


def cases(table: list[tuple[str, Any, Any, Any]]) -> Any:
    rows = [pytest.param(name, one, other, id=name) for name, _, one, other in table]
    return pytest.mark.parametrize(("case", "one", "other"), rows)


@cases(ACT)
def test_an_argument_that_acts_beside_the_tensors(
    case: str, one: object, other: object, tmp_path: Path
) -> None:
    assert not share(tmp_path, case, one, other)


@cases(DO_NOT_ACT)
def test_an_argument_that_acts_through_the_tensors(
    case: str, one: object, other: object, tmp_path: Path
) -> None:
    assert share(tmp_path, case, one, other)


@pytest.mark.parametrize("kept", KEPT)
def test_however_a_number_is_kept_its_use_is_seen(kept: str, tmp_path: Path) -> None:
    assert not share(tmp_path, f"used: {kept}", 1, 2)
    assert share(tmp_path, f"kept: {kept}", 1, 2)


@pytest.mark.parametrize("kind", STACKABLE)
def test_a_label_makes_no_kind(kind: str, tmp_path: Path) -> None:
    sets = [{"kind": kind, "label": label} for label in ("one", "another")]
    for precision in ("float32", "float64"):
        one, other = told(tmp_path, "by_kind", *sets, precision=precision)
        assert one == other


def test_features_that_bear_no_other_magnitude(tmp_path: Path) -> None:
    """Words of five: a larger number raises, in all models alike."""
    data = make_data(torch.arange(40.0 * INPUTS).reshape(40, INPUTS) % 5)
    one, other = told(tmp_path, "words", {"label": "one"}, {"label": "another"}, data=data)
    assert one == other


def test_the_text_is_that_of_the_first_of_its_kind(tmp_path: Path) -> None:
    sets = [{"scale": scale, "gain": gain} for gain in (0.5, 1.0, 2.0) for scale in (2.0, 3.0)]
    found = told(tmp_path, "scaled_and_started", *sets)
    first = [{"factory": "nets.py:scaled_and_started", **arguments} for arguments in sets[:2]]
    assert [json.loads(text or "") for text in found] == 3 * first


def test_what_cannot_be_decided_is_a_kind_of_its_own(tmp_path: Path) -> None:
    sets = [{"when": "trained", "label": label} for label in ("one", "another", "one")]
    found = told(tmp_path, "raises", *sets)
    assert None not in found
    assert found[0] == found[2] != found[1]


def test_what_cannot_be_built_is_none(tmp_path: Path) -> None:
    sets = [{"when": when, "label": str(number)} for number, when in enumerate(["built"] * 2)]
    assert told(tmp_path, "raises", *sets) == [None, None]
    assert told(tmp_path, "nowhere", {"label": "one"}, {"label": "another"}) == [None, None]


def test_equal_arguments_need_no_model(tmp_path: Path) -> None:
    one, other = told(tmp_path, "nowhere", {"label": "one"}, {"label": "one"})
    assert one == other
    assert one is not None


def test_enough_kinds_are_enough(tmp_path: Path) -> None:
    """Where the first ones all act differently, the others are not tried."""
    many = [{"share": 0.01 * n, "label": ""} for n in range(1, ENOUGH_TO_TELL + 2)]
    again = [{"share": 0.01, "label": "another"}]
    found = told(tmp_path, "dropped", *many, *again)
    assert len(set(found)) == len(found)
    fewer = told(tmp_path, "dropped", *many[: ENOUGH_TO_TELL - 1], *again, many[-1])
    assert fewer[0] == fewer[-2]
    assert len(set(fewer)) == len(fewer) - 1


def test_random_numbers_are_left_alone(tmp_path: Path) -> None:
    states = random.getstate(), np.random.get_state()[2], torch.get_rng_state()
    told(tmp_path, "dropped", {"share": 0.1}, {"share": 0.2})
    assert random.getstate() == states[0]
    assert np.random.get_state()[2] == states[1]
    assert torch.equal(torch.get_rng_state(), states[2])


@pytest.mark.slow
def test_the_same_in_every_process(tmp_path: Path) -> None:
    code = (
        "import json, pathlib; from tests.training.stacked.test_kinds import told;"
        "sets = [{'scale': s, 'gain': g} for s, g in ((2.0, 1.0), (3.0, 1.0), (2.0, 2.0))];"
        "print(json.dumps(told(pathlib.Path('.'), 'scaled_and_started', *sets)))"
    )
    root = Path(__file__).parents[3]
    paths = os.pathsep.join([str(root), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": paths, "PYTHONHASHSEED": "7"},
    )
    sets = [{"scale": scale, "gain": gain} for scale, gain in ((2.0, 1.0), (3.0, 1.0), (2.0, 2.0))]
    assert json.loads(done.stdout) == told(tmp_path, "scaled_and_started", *sets)
