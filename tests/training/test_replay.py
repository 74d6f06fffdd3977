"""Settings that change at given epochs: what is trained, in both engines, and across pauses."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from dltune.data.device import DeviceData
from dltune.errors import TrainingError
from dltune.runs.training_state import pack_states, read_states
from dltune.training.history import Trial
from dltune.training.loop import Cohort
from dltune.training.outcome import TrialOutcome
from dltune.training.state import TrainingState
from tests.training.configs import make_config
from tests.training.stacked.test_engine import assert_alike

EPOCHS = 5


def trial(number: int, **sections: Any) -> Trial:
    sections = {
        "model": {"hidden": [8], "dropout": 0.1},
        "optim": {"name": "adam", "lr": 0.01},
        "train": {"epochs": EPOCHS, "batch_size": 16, "precision": "float64"},
    } | sections
    return Trial(number=number, config=make_config("sklearn:diabetes", **sections), seed=1)


def several() -> list[Trial]:
    """They change at different epochs, some of them at none."""
    return [
        trial(0, replay={"optim.lr": [[1, 0.003], [3, 0.03]]}),
        trial(1),
        trial(2, replay={"model.dropout": [[2, 0.5]], "optim.eps": [[2, 1e-3]]}),
        trial(
            3,
            optim={"name": "momentum", "lr": 0.01},
            schedule={"name": "cosine", "warmup": 0.3},
            replay={"optim.momentum": [[3, 0.5]], "regularize.l2": [[1, 1e-2], [4, 0]]},
        ),
        trial(
            4,
            model={"hidden": [8], "dropout": 0.0},
            replay={"model.dropout": [[1, 0.4], [2, 0.0], [3, 0.2]]},
        ),
        # Without momentum there is no velocity, and one that rises from 0 begins anew.
        trial(
            6,
            optim={"name": "rmsprop", "lr": 0.01, "momentum": 0.0},
            replay={"optim.momentum": [[1, 0.9], [2, 0.0], [4, 0.5]]},
        ),
        trial(5, optim={"name": "sgd", "lr": 0.1}, replay={"regularize.clip_norm": [[2, 0.5]]}),
    ]


def trained(
    states: Sequence[TrainingState], data: DeviceData, *, stacked: bool, epochs: int = EPOCHS
) -> tuple[list[TrialOutcome], list[TrainingState]]:
    cohort, ended = Cohort(data, folder=Path(), stacked=stacked), []
    cohort.put(states)
    for _ in range(epochs):
        if cohort.alive:
            ended += cohort.run_epoch().ended
    left = list(cohort.take(cohort.alive).values())
    return sorted(ended, key=lambda one: one.record.number), left


def fresh(trials: Sequence[Trial]) -> list[TrainingState]:
    return [TrainingState(trial=one) for one in trials]


@pytest.mark.parametrize("stacked", [False, True], ids=["looped", "stacked"])
def test_the_rate_of_every_epoch_is_what_stands_there(diabetes: DeviceData, stacked: bool) -> None:
    ended, _ = trained(fresh(several()[:2]), diabetes, stacked=stacked)
    rates = [[one.lr for one in outcome.record.history] for outcome in ended]
    assert rates == [[0.01, 0.003, 0.003, 0.03, 0.03], [0.01] * 5]
    for outcome, trial in zip(ended, several()[:2], strict=True):
        assert outcome.record.config == trial.record(outcome.record.state).config


@pytest.mark.parametrize(
    "stacked",
    [pytest.param(False, id="looped", marks=pytest.mark.slow), pytest.param(True, id="stacked")],
)
def test_it_is_a_training_that_goes_on_with_other_settings(
    diabetes: DeviceData, stacked: bool
) -> None:
    """To the last bit what comes of taking it out, changing it, and putting it back by hand."""
    for one in several():
        (whole,), _ = trained(fresh([one]), diabetes, stacked=stacked)
        plain = one.config.model_copy(update={"replay": {}})
        states = fresh([dataclasses.replace(one, config=plain)])
        ended: list[TrialOutcome] = []
        for epoch in range(EPOCHS):
            config = one.config.at(epoch).model_copy(update={"replay": {}})
            by_hand = [
                dataclasses.replace(state, trial=dataclasses.replace(one, config=config))
                for state in states
            ]
            ended, states = trained(by_hand, diabetes, stacked=stacked, epochs=1)
        for name, weight in whole.weights.items():
            assert torch.equal(weight, ended[0].weights[name])
        assert whole.record.objective == ended[0].record.objective


@pytest.mark.slow
def test_looped_and_stacked_are_equal(diabetes: DeviceData) -> None:
    looped, stacked = (
        trained(fresh(several()), diabetes, stacked=form)[0] for form in (False, True)
    )
    assert_alike(looped, stacked, relative=1e-7)


@pytest.mark.parametrize(
    "forms",
    [
        (False, True),
        *(
            pytest.param(forms, marks=pytest.mark.slow)
            for forms in [(False, False), (True, True), (True, False)]
        ),
    ],
)
def test_who_pauses_goes_on_as_if_nothing_had_been(
    diabetes: DeviceData, forms: tuple[bool, bool], tmp_path: Path
) -> None:
    """Through a file, before and after a change."""
    whole, _ = trained(fresh(several()), diabetes, stacked=forms[0])
    for epochs in (1, 2, 3):
        _, states = trained(fresh(several()), diabetes, stacked=forms[0], epochs=epochs)
        assert [one.trial for one in states] == several()
        (tmp_path / "file").write_bytes(pack_states(states))
        again = list(read_states(tmp_path / "file").values())
        assert [one.trial.config for one in again] == [one.config for one in several()]
        ended, _ = trained(again, diabetes, stacked=forms[1])
        assert_alike(whole, ended, relative=1e-7)


@pytest.mark.parametrize("stacked", [False, True], ids=["looped", "stacked"])
def test_labels_that_a_regression_has_not(diabetes: DeviceData, stacked: bool) -> None:
    one = trial(0, replay={"regularize.label_smoothing": [[2, 0.1]]})
    with pytest.raises(TrainingError, match=r"\[replay\] changes regularize.label_smoothing"):
        trained(fresh([one]), diabetes, stacked=stacked)


def test_a_tenth_of_the_rate_after_a_divergence_is_of_the_rate_then(diabetes: DeviceData) -> None:
    one = trial(
        0,
        optim={"name": "sgd", "lr": 0.2},
        train={
            "epochs": EPOCHS, "batch_size": 16, "precision": "float64", "on_divergence": "lr/10"
        },
        replay={"optim.lr": [[1, 20.0], [3, 2.0]]},
    )  # fmt: skip
    for stacked in (False, True):
        (outcome,), _ = trained(fresh([one]), diabetes, stacked=stacked)
        history = outcome.record.history
        assert [record.lr for record in history] == pytest.approx([0.2, 20, 2, 0.02, 0.02])
        assert [bool(record.non_finite) for record in history] == [False, True, True, False, False]
