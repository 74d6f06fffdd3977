"""Trainings between two epochs as files."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dltune.data.device import to_device
from dltune.data.load import load_data
from dltune.errors import RunFolderError
from dltune.recipe.schema import DataConfig
from dltune.runs.keepers import LEAST_SECONDS, Pace
from dltune.runs.training_state import pack_states, read_states
from dltune.training.history import EpochRecord, Trial
from dltune.training.loop import Cohort
from dltune.training.state import TrainingState
from tests.training.configs import make_config


def same(one: Any, other: Any) -> bool:
    """Whether two values of a state are equal to the last bit, types and NaN included."""
    if isinstance(one, torch.Tensor):
        bits = (one, other) if one.ndim else (one[None], other[None])
        return one.dtype == other.dtype and all(
            torch.equal(a, b) for a, b in [[bit.contiguous().view(torch.uint8) for bit in bits]]
        )
    if hasattr(one, "items"):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    return repr(one) == repr(other)


def assert_same(state: TrainingState, back: TrainingState) -> None:
    for field in dataclasses.fields(state):
        mine, theirs = getattr(state, field.name), getattr(back, field.name)
        if hasattr(mine, "items"):
            mine, theirs = (dict(sorted(one.items())) for one in (mine, theirs))
            mine, theirs = (
                {k: dict(sorted(v.items())) if hasattr(v, "items") else v for k, v in one.items()}
                for one in (mine, theirs)
            )
        assert same(mine, theirs), field.name


@pytest.mark.parametrize("stacked", [False, True], ids=["looped", "stacked"])
@pytest.mark.parametrize("optim", ["sgd", "adam", "nadam", "adadelta"])
def test_what_is_read_is_what_was_written(optim: str, stacked: bool, tmp_path: Path) -> None:
    source = load_data(DataConfig(source="sklearn:wine"), folder=Path())
    wine = to_device(source, torch.device("cpu"))
    config = make_config(
        model={"hidden": [4], "batch_norm": True, "dropout": 0.2},
        optim={"name": optim},
        train={"epochs": 3},
    )
    values = {"optim.lr": 0.1, "model.hidden": [4]}
    trials = [Trial(number=n, config=config, seed=n, values=values) for n in (3, 12)]
    cohort = Cohort(wine, folder=Path(), stacked=stacked)
    cohort.put([TrainingState(trial=trial) for trial in trials])
    cohort.run_epoch()
    states = cohort.take([3, 12])
    file = tmp_path / "some.safetensors"
    file.write_bytes(pack_states(states.values()))
    back = read_states(file)
    assert list(back) == [3, 12]
    for number, state in states.items():
        assert_same(state, back[number])


@pytest.mark.parametrize("stacked", [False, True], ids=["looped", "stacked"])
def test_one_that_diverged_from_the_start_goes_on_from_its_file(
    stacked: bool, tmp_path: Path
) -> None:
    """Its history has figures that JSON does not know, and alone its weights are the seed's."""
    source = load_data(DataConfig(source="sklearn:diabetes"), folder=Path())
    data = to_device(source, torch.device("cpu"))
    config = make_config(
        "sklearn:diabetes",
        model={"hidden": [8]},
        optim={"name": "sgd", "lr": 20.0},
        train={"epochs": 3, "batch_size": 16, "on_divergence": "lr/10"},
    )
    states = [TrainingState(trial=Trial(number=0, config=config, seed=1))]
    histories, file = [], tmp_path / "one.safetensors"
    for pauses in (False, True):
        cohort = Cohort(data, folder=Path(), stacked=stacked)
        cohort.put(states)
        cohort.run_epoch()
        if pauses:
            file.write_bytes(pack_states(cohort.take([0]).values()))
            (back,) = read_states(file).values()
            assert (back.epochs, back.history[0].non_finite) == (1, "loss")
            cohort = Cohort(data, folder=Path(), stacked=stacked)
            cohort.put([back])
        cohort.run_epoch()
        (outcome,) = cohort.run_epoch().ended
        histories.append([(one.lr, repr(one.dev_loss)) for one in outcome.record.history])
    assert histories[0] == histories[1]
    assert [lr for lr, _ in histories[0]] == pytest.approx([20.0, 2.0, 0.2])


NAMES = st.text(min_size=1, max_size=8)
TENSORS = st.lists(st.floats(width=32), max_size=4).map(torch.tensor)


@given(
    weights=st.dictionaries(NAMES, TENSORS | st.integers() | st.text(), max_size=4),
    slots=st.dictionaries(st.sampled_from(["step", "sum"]), st.dictionaries(NAMES, TENSORS)),
    loss=st.floats(),
)
def test_any_name_and_number_comes_back(
    weights: dict[str, Any],
    slots: dict[str, dict[str, torch.Tensor]],
    loss: float,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    record = EpochRecord(
        trial=0, epoch=1, lr=0.1, train_loss=loss, train_error=0.5, dev_loss=loss, dev_error=0.5,
        grad_norm=1.0, update_ratio=1e-3, dead_units=None, seconds=0.1,
    )  # fmt: skip
    state = TrainingState(
        trial=Trial(number=0, config=make_config(), seed=1),
        epochs=1,
        weights={"w": torch.ones(1), **weights},
        optimizer={slot: values for slot, values in slots.items() if values},
        history=(record,),
    )
    file = tmp_path_factory.mktemp("states") / "one.safetensors"
    file.write_bytes(pack_states([state]))
    assert_same(state, read_states(file)[0])


def test_tied_weights_are_stored_once_and_come_back_as_one(tmp_path: Path) -> None:
    tied = torch.ones(1000)
    state = TrainingState(
        trial=Trial(number=0, config=make_config(), seed=1), weights={"a": tied, "b": tied}
    )
    packed = pack_states([state])
    assert len(packed) < 1.9 * tied.nbytes + 4000
    (tmp_path / "f").write_bytes(packed)
    weights = read_states(tmp_path / "f")[0].weights
    assert weights is not None
    assert weights["a"] is weights["b"]


def test_what_no_file_can_hold_is_named(tmp_path: Path) -> None:
    """A user's module may have any buffer: it must not end the training that keeps it."""
    odd = {
        "sparse": torch.ones(2).to_sparse(),
        "wide": torch.ones(2, dtype=torch.complex128),
        "object": object(),
    }
    state = TrainingState(
        trial=Trial(number=0, config=make_config(), seed=1), weights={"a": torch.ones(1), **odd}
    )
    (tmp_path / "f").write_bytes(pack_states([state]))
    with pytest.raises(RunFolderError, match="0/weights/sparse, 0/weights/wide, 0/weights/object"):
        read_states(tmp_path / "f")


def test_what_is_damaged_or_not_whole_is_told(tmp_path: Path) -> None:
    trial = Trial(number=0, config=make_config(), seed=1)
    whole = pack_states([TrainingState(trial=trial, weights={"a": torch.ones(3)})])
    lacking = pack_states([TrainingState(trial=trial, weights={"a": torch.ones(3), "b": object()})])
    file = tmp_path / "training-last.safetensors"
    for content in (b"", whole[:40], whole[:-4], whole.replace(b"epochs", b"epoche"), lacking):
        file.write_bytes(content)
        with pytest.raises(RunFolderError) as caught:
            read_states(file)
        assert caught.value.found.startswith(f"{file}: damaged (")
        assert caught.value.hint == "Remove it: the training then begins anew."


def test_writing_takes_at_most_its_share_of_the_time() -> None:
    now = 0.0
    pace = Pace(clock=lambda: now)
    now = LEAST_SECONDS - 0.1
    assert not pace.is_due
    now = LEAST_SECONDS
    assert pace.is_due
    pace.took(0.5)  # which one percent of 50 s is
    now += 49.9
    assert not pace.is_due
    now += 0.1
    assert pace.is_due
