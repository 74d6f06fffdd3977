"""What curves say: for every rule a history that brings it about, and near ones that must not."""

from __future__ import annotations

import math
from typing import Any

import pytest

from dltune.diagnosis.curve import Curve, read_curves
from dltune.training.history import EpochRecord, TrialRecord, TrialState
from tests.histories import blown_up, history_of, overfit

FALLS = [2.0 * 0.9**epoch for epoch in range(31)]
NOTHING = ("dev error and loss show no trend beyond their noise in the last epochs",)


def read(
    history: list[EpochRecord], examples: int = 10_000, *, proportion: bool = True, **config: Any
) -> tuple[str, ...]:
    trial = TrialRecord(
        number=0,
        seed=0,
        state=TrialState.COMPLETE,
        examples={"dev": examples},
        config={key.replace("__", "."): value for key, value in config.items()},
        history=tuple(history),
    )
    return read_curves(trial, proportion=proportion)


def falling(epoch: int) -> float:
    return FALLS[epoch]


def settled(epoch: int) -> float:
    """Falls until epoch 10, and goes up and down by a part in a hundred then."""
    return 2.0 * 0.8 ** min(epoch, 10) * (1 + 0.01 * (-1) ** epoch)


def test_a_dev_error_that_rose_since_its_best_epoch() -> None:
    """The median of the last five of 50 epochs is that of epoch 48: a loss of 0.3 + 0.05 * 4."""
    assert read(overfit(50)) == (
        "dev error was best at epoch 12 of 50 (0.0750) and rose since, to 0.1250: "
        "--set regularize.early_stop=5 would have saved 33 epochs",
    )
    (told,) = read(overfit(50), objective__metric="dev_loss")
    assert told.startswith("dev loss was best at epoch 12 of 50 (0.3000) and rose since, to 0.5000")
    (stopped,) = read(overfit(50), regularize__early_stop=40)
    assert stopped.endswith("and rose since, to 0.1250")
    # On 100 examples, 7.5 and 12.4 of them are no difference: then only the loss tells.
    first, second = read(overfit(50), 100)
    assert first.startswith("dev loss was lowest at epoch 12 (0.3000) and rose since, to 0.5000")
    assert "the dev error did not, as far as 100 examples tell" in first
    assert second == (
        "dev error was best at epoch 12 of 50 (0.0750), and no better since: "
        "--set regularize.early_stop=5 would have saved 33 epochs"
    )
    # One that is not counted has no such doubt.
    assert "and rose since" in read(overfit(50), 100, proportion=False)[0]


def best_until_stopped(errors: list[float], patience: int) -> int:
    """The best epoch of a training that ends after so many without a better one."""
    best = 0
    for epoch in range(len(errors)):
        if errors[epoch] < errors[best]:
            best = epoch
        if epoch - best >= patience:
            break
    return best + 1


def test_an_early_stop_that_saves_comes_to_the_same_epoch() -> None:
    """The best epoch comes four after the one before it."""
    errors = [0.9, 0.8, 0.81, 0.82, 0.83, 0.5, *[0.9] * 14]
    assert [best_until_stopped(errors, patience) for patience in (3, 4)] == [2, 6]
    told = read(history_of(20, train=falling, dev=lambda epoch: errors[epoch - 1], error=1.0))
    assert told[0].endswith("--set regularize.early_stop=4 would have saved 10 epochs")


def test_an_error_that_still_falls() -> None:
    (told,) = read(history_of(30, train=falling, dev=falling))
    before, after = 0.25 * (FALLS[21] + FALLS[22]) / 2, 0.25 * (FALLS[27] + FALLS[28]) / 2
    assert told == (
        f"dev error still fell at the end, {before:.4f} to {after:.4f} in 6 epochs: "
        "more epochs may help"
    )
    (told,) = read(history_of(30, train=falling, dev=falling), 100)
    assert told.startswith("dev loss still fell at the end, ")
    assert told.endswith(
        "; the dev error did not, as far as 100 examples tell: more epochs may help"
    )


@pytest.mark.parametrize(
    "history",
    [
        pytest.param(history_of(30, train=falling, dev=settled), id="up and down"),
        pytest.param(
            history_of(30, train=falling, dev=lambda epoch: settled(epoch) - 1e-4 * epoch),
            id="falls by less than one sees",
        ),
        pytest.param(
            history_of(
                30, train=falling, dev=lambda epoch: settled(epoch) * (3 if epoch == 29 else 1)
            ),
            id="one bad epoch",
        ),
        pytest.param(
            history_of(30, train=falling, dev=settled, norm=lambda epoch: 1.0 + epoch % 9),
            id="norms of single batches",
        ),
    ],
)
def test_no_trend_is_claimed(history: list[EpochRecord]) -> None:
    assert read(history, regularize__early_stop=20) == NOTHING


def test_a_train_loss_that_stands_still() -> None:
    chance = history_of(12, train=lambda epoch: 2.3 + 1e-4 * epoch, dev=lambda epoch: 2.3)
    assert read(chance) == (
        "train loss flat from the first epoch on, at 2.3: "
        "dltune lr-find finds an optim.lr that moves it",
    )
    stuck = history_of(30, train=lambda epoch: 2.0 * 0.8 ** min(epoch, 10), dev=settled)
    assert read(stuck, regularize__early_stop=20) == ("train loss flat since epoch 10, at 0.215",)
    fits = history_of(30, train=lambda epoch: 0.0, dev=settled)
    assert read(fits, regularize__early_stop=20) == NOTHING


def test_a_training_that_gets_worse() -> None:
    worse = history_of(20, train=lambda epoch: 1.1**epoch, dev=lambda epoch: 1.1**epoch, error=0.1)
    first, second = read(worse)
    assert (
        first == "train loss ended at 6.12, above the 1.1 of epoch 1: optim.lr is likely too high"
    )
    assert second == (
        "dev error was best at epoch 1 of 20 (0.1100) and rose since, to 0.6116; "
        "the train loss rose too: optim.lr is likely too high for so many epochs"
    )


def test_a_loss_that_left_the_finite_numbers() -> None:
    """Then nothing else counts; the norm is that of the epoch before."""
    assert read(blown_up(9)) == (
        "train loss left the finite numbers in epoch 4, at lr 0.003, after a gradient norm of 64: "
        "a lower optim.lr may hold it",
    )
    assert read(history_of(1, train=lambda epoch: 1.0, dev=lambda epoch: math.inf)) == (
        "dev loss left the finite numbers in epoch 1, at lr 0.003: a lower optim.lr may hold it",
    )


def test_a_training_that_outlived_it_went_on_at_a_tenth() -> None:
    history = history_of(9, train=lambda epoch: math.inf if epoch == 4 else 1.0, dev=falling)
    assert read(history, train__on_divergence="lr/10") == (
        "train loss left the finite numbers in epoch 4, at lr 0.003, after a gradient norm of 0.5: "
        "it went on at a tenth of the rate, which a lower optim.lr may spare it",
    )


def test_a_gradient_norm_that_jumps() -> None:
    def norm(epoch: int) -> float:
        return 20.0 if epoch == 25 else 0.5

    history = history_of(30, train=falling, dev=settled, norm=norm)
    assert read(history, regularize__early_stop=20) == (
        "gradient norm rose to 20 in epoch 25, 40 times the 0.5 from before: "
        "--set regularize.clip_norm=0.5 would hold it",
    )


def test_few_epochs() -> None:
    assert read([]) == ()
    assert read(overfit(1)) == ("1 epoch is too few to read a trend from",)
    assert read(overfit(5)) == ("5 epochs are too few to read a trend from",)


def test_noise_is_a_standard_deviation() -> None:
    """Of values that alternate around a constant: each is its distance 2 from the median."""
    values = tuple(10.0 + 2.0 * (-1) ** at for at in range(40))
    assert Curve(name="", values=values).noise == pytest.approx(0.0)
    spread = (0, 3, -3, 1, -1, 2, -2) * 6
    noise = Curve(name="", values=spread).noise
    assert 1.0 < noise < 4.0
