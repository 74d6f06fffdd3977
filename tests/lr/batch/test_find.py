"""The climb on real small data; no test asserts a time."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dltune.data.device import DeviceData
from dltune.errors import ModelError, TrainingError
from dltune.lr.batch.find import candidate_sizes, find_batch_size, size_between, whole_updates
from dltune.lr.batch.sizes import BatchSizes, ClimbEnd
from dltune.lr.find import load
from dltune.recipe.schema import Config
from dltune.training.learner import Learner

HERE = Path()
TRAIN = 106  # examples of wine
INPUTS, HIDDEN, CLASSES = 13, 16, 3
WEIGHTS = (INPUTS + 1) * HIDDEN + (HIDDEN + 1) * CLASSES
FIXED = 4 * 4 * WEIGHTS  # weights, gradients and adam's two moments in float32


def bytes_of(batch: int) -> int:
    return FIXED + 4 * batch * (INPUTS + HIDDEN + CLASSES) + 8 * batch + 4


def config(**sections: dict[str, Any]) -> Config:
    plain: dict[str, Any] = {
        "data": {"source": "sklearn:wine"},
        "model": {"hidden": [HIDDEN]},
        "train": {"device": "cpu"},
    }
    return Config.model_validate(plain | sections)


def own_model(folder: Path, body: str) -> Config:
    (folder / "net.py").write_text(
        "import torch\nfrom torch import nn\n"
        "class Net(nn.Module):\n"
        "    def __init__(self, inputs, outputs):\n"
        "        super().__init__()\n"
        "        self.layer = nn.Linear(*inputs, outputs)\n"
        f"    def forward(self, x):\n{body}        return self.layer(x)\n"
        "def build(inputs, outputs):\n    return Net(inputs, outputs)\n"
    )
    return config(model={"factory": "net.py:build"})


def batches(found: BatchSizes) -> list[int]:
    return [row.batch for row in found.rows]


@pytest.mark.slow
def test_batches_double_up_to_the_train_split() -> None:
    found = find_batch_size(config(), folder=HERE)
    assert batches(found) == [8, 16, 32, 64, 106]
    assert (found.end, found.refused, found.refused_bytes) == (ClimbEnd.TRAIN_SPLIT, None, None)
    assert [row.updates_per_epoch for row in found.rows] == [14, 7, 4, 2, 1]
    assert [row.examples for row in found.rows] == batches(found)
    assert [row.memory_bytes for row in found.rows] == [bytes_of(row.batch) for row in found.rows]
    assert all(0 < row.microseconds < float("inf") for row in found.rows)
    assert (found.device, found.counted, found.own, found.train_examples) == (
        "cpu",
        True,
        64,
        TRAIN,
    )
    assert len(found.notes) == 2


def test_the_data_may_be_given(tmp_path: Path) -> None:
    """They are not loaded again, from a place where there is nothing."""
    loaded = load(config(), folder=HERE)
    elsewhere = config(data={"source": "nothing.csv", "target": "y"})
    found = find_batch_size(elsewhere, folder=tmp_path, largest=16, loaded=loaded)
    assert (batches(found), found.train_examples) == ([8, 16], TRAIN)
    assert found.notes == loaded.notes


@pytest.mark.slow
def test_batches_can_end_earlier_and_begin_elsewhere() -> None:
    found = find_batch_size(config(), folder=HERE, smallest=5, largest=33)
    assert (batches(found), found.end) == ([5, 10, 20, 33], ClimbEnd.MAX_BATCH)


def test_every_batch_is_watched() -> None:
    seen: list[int] = []
    find_batch_size(config(), folder=HERE, smallest=16, largest=64, watch=seen.append)
    assert seen == [16, 32, 64]


@pytest.mark.parametrize(
    ("limit", "fit", "refused"),
    [
        pytest.param(
            bytes_of(80), [8, 16, 32, 64, 80], 88, id="in between", marks=pytest.mark.slow
        ),
        pytest.param(bytes_of(64) - 1, [8, 16, 32, 48, 56], 64, id="to the byte"),
        pytest.param(bytes_of(8) + 16, [8], 16, id="the smallest only"),
        pytest.param(bytes_of(8) - 1, [], 8, id="none"),
        pytest.param(1, [], 8, id="not even the weights"),
    ],
)
def test_a_limit_ends_the_climb_before_it_is_passed(
    limit: int, fit: list[int], refused: int
) -> None:
    """A perceptron saves so much an example, and one number: predictions are that exact."""
    tried: list[int] = []
    found = find_batch_size(config(), folder=HERE, memory_bytes=limit, watch=tried.append)
    assert (batches(found), found.end, found.refused) == (fit, ClimbEnd.LIMIT, refused)
    assert tried == fit  # what is predicted not to fit is not tried
    assert found.refused_bytes == pytest.approx(bytes_of(refused), abs=4 * 4)
    assert (found.limit_bytes, found.limit_given) == (limit, True)


@pytest.mark.slow
def test_memory_that_runs_out_ends_the_climb(tmp_path: Path) -> None:
    """The allocator itself refuses, as a device would."""
    made = own_model(tmp_path, "        if self.training and len(x) > 40: torch.empty(10**15)\n")
    found = find_batch_size(made, folder=tmp_path)
    assert batches(found) == [8, 16, 32, 40]
    assert (found.end, found.refused, found.refused_bytes) == (ClimbEnd.OUT_OF_MEMORY, 48, None)
    assert found.own_is_too_large


def test_memory_that_never_suffices(tmp_path: Path) -> None:
    made = own_model(tmp_path, "        if self.training: torch.empty(10**15)\n")
    found = find_batch_size(made, folder=tmp_path)
    assert (batches(found), found.end, found.refused) == ([], ClimbEnd.OUT_OF_MEMORY, 8)


def test_a_model_that_takes_no_other_batch_is_named(tmp_path: Path) -> None:
    made = own_model(
        tmp_path, "        if self.training and len(x) != 2: raise ValueError('two, please')\n"
    )
    with pytest.raises(ModelError) as refused:
        find_batch_size(made, folder=tmp_path)
    assert refused.value.found == (
        "the model of 'net.py:build' raised ValueError at a batch that was tried: two, please "
        f"({tmp_path / 'net.py'}, line 8)"
    )


def test_nothing_is_changed(tmp_path: Path) -> None:
    made = own_model(tmp_path, "        torch.rand(3)\n")
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    find_batch_size(made, folder=tmp_path, largest=16)
    after = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    assert before == after


@pytest.mark.slow
def test_accumulated_batches_make_one_update() -> None:
    made = config(train={"device": "cpu", "batch_size": 8, "accumulate": 4})
    found = find_batch_size(made, folder=HERE, largest=64)
    assert [row.examples for row in found.rows] == [32, 64, 106, 106]
    assert [row.updates_per_epoch for row in found.rows] == [4, 2, 1, 1]
    # One batch at a time is in memory.
    assert [row.memory_bytes for row in found.rows] == [bytes_of(row.batch) for row in found.rows]
    assert found.own_examples == 32


def test_only_whole_updates_are_timed(wine: DeviceData) -> None:
    made = config(train={"device": "cpu", "batch_size": 33})  # three batches, and seven examples
    learner = Learner(made, seed=0, data=wine, folder=HERE)
    updates = whole_updates(learner)
    assert [sum(map(len, next(updates))) for _ in range(9)] == [33] * 9


@pytest.mark.parametrize(
    ("smallest", "largest", "own", "expected"),
    [
        pytest.param(8, None, 64, [8, 16, 32, 64, 106], id="all"),
        pytest.param(8, None, 50, [8, 16, 32, 50, 64, 106], id="own"),
        pytest.param(8, 32, 50, [8, 16, 32], id="own is outside"),
        pytest.param(8, 4096, 64, [8, 16, 32, 64, 106], id="more than there are"),
        pytest.param(106, None, 106, [106], id="one"),
        pytest.param(1, 3, 64, [1, 2, 3], id="from one"),
    ],
)
def test_candidates(smallest: int, largest: int | None, own: int, expected: list[int]) -> None:
    assert candidate_sizes(smallest, largest, examples=TRAIN, own=own) == expected


@pytest.mark.parametrize(
    ("smallest", "largest", "found", "hint"),
    [
        pytest.param(
            200,
            None,
            "--min-batch 200: the train split has 106 examples, and a batch has no more",
            "Try --min-batch 8.",
            id="larger than the data",
        ),
        pytest.param(
            32,
            16,
            "--min-batch 32 --max-batch 16: 1 <= smallest <= largest must hold",
            "Try --min-batch 2.",
            id="swapped",
        ),
    ],
)
def test_sizes_that_make_no_sense(
    smallest: int, largest: int | None, found: str, hint: str
) -> None:
    with pytest.raises(TrainingError) as refused:
        find_batch_size(config(), folder=HERE, smallest=smallest, largest=largest)
    assert (refused.value.found, refused.value.hint) == (found, hint)


def test_sizes_between_what_fits_and_what_does_not() -> None:
    assert size_between(8, 16) is None
    assert size_between(16, 32) == 24
    assert size_between(1000, 2000) == 1496
    assert size_between(4096, 5120) is None


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_cuda_climbs_until_it_runs_out(tmp_path: Path) -> None:
    """A matrix of 2^32 bytes an example: a few dozen fill any card."""
    body = (
        "        if self.training:\n"
        "            x = x + torch.zeros(len(x), 2**30, device=x.device)[:, :1]\n"
    )
    made = own_model(tmp_path, body)
    made = made.model_copy(update={"train": made.train.model_copy(update={"device": "cuda"})})
    found = find_batch_size(made, folder=tmp_path, smallest=1)
    assert found.end is ClimbEnd.OUT_OF_MEMORY
    assert not found.counted
    assert all(row.memory_bytes >= row.batch * 2**32 for row in found.rows)
    assert torch.cuda.memory_allocated() < 2**30  # what the last try took is given back
