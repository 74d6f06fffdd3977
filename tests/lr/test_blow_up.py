from __future__ import annotations

import numpy as np
import pytest

from dltune.lr.blow_up import BlowUp, batch_noise, blow_up_level, has_blown_up, start_level

FLAT = [2.0] * 30
NOISY = (2.0 + 0.1 * np.random.default_rng(0).standard_normal(4000)).tolist()


def test_noise_is_the_standard_deviation_whatever_the_course() -> None:
    slope = np.linspace(0.0, 5.0, len(NOISY))
    assert batch_noise(NOISY) == pytest.approx(0.1, rel=0.05)
    assert batch_noise((np.array(NOISY) - slope).tolist()) == pytest.approx(0.1, rel=0.05)


def test_a_blow_up_at_the_end_is_not_noise() -> None:
    assert batch_noise([*NOISY[:100], 1e3, 1e9, 1e30]) == pytest.approx(0.1, rel=0.3)


def test_the_start_withstands_two_odd_batches() -> None:
    assert start_level([2.0, 90.0, 2.1, 1.9, -50.0, 0.0, 0.0]) == 2.0


@pytest.mark.parametrize(
    ("tail", "blown_up"),
    [
        pytest.param([2.0, 2.0, 2.0], False, id="constant"),
        pytest.param([1.0, 0.5, 0.2], False, id="falling"),
        pytest.param([1.0, 9.0, 9.0], False, id="not sustained"),
        pytest.param([1.0, 9.0, 9.0, 9.0], True, id="three in a row"),
        pytest.param([1.0, 2.4, 2.4, 2.4], False, id="above the start, by less than half the drop"),
        pytest.param([1.0, 2.6, 2.6, 2.6], True, id="above the start, by more than half the drop"),
        pytest.param([1.0, 9.0, 0.5, 9.0, 9.0], False, id="a spike that comes back"),
    ],
)
@pytest.mark.parametrize(
    ("scale", "shift"),
    [
        pytest.param(1.0, 0.0, id="as it is"),
        pytest.param(1e-6, 0.0, id="tiny"),
        pytest.param(1.0, -64.0, id="negative"),
        pytest.param(1e6, 0.0, id="huge"),
    ],
)
def test_blown_up(tail: list[float], blown_up: bool, scale: float, shift: float) -> None:
    losses = [scale * loss + shift for loss in FLAT + tail]
    assert has_blown_up(losses) is blown_up


def test_noise_alone_never_blows_up() -> None:
    assert not any(has_blown_up(NOISY[:count]) for count in range(1, len(NOISY), 7))


def test_a_rise_within_the_noise_is_no_blow_up() -> None:
    assert not has_blown_up([*NOISY[:100], 2.4, 2.4, 2.4])  # four standard deviations
    assert has_blown_up([*NOISY[:100], 2.9, 2.9, 2.9])  # nine


def test_few_losses_are_not_judged() -> None:
    assert not has_blown_up([2.0] * 19 + [9.0] * 3)
    assert has_blown_up([2.0] * 20 + [9.0] * 3)


def test_rounding_of_a_full_batch_is_no_blow_up() -> None:
    assert blow_up_level(FLAT) == pytest.approx(2.0 + 2e-6, abs=1e-12)
    assert not has_blown_up([*FLAT, *[2.0 + 1e-6] * 3])


@pytest.mark.parametrize("seed", range(6))
def test_one_by_one_is_as_all_at_once(seed: int) -> None:
    """Noise, a fall, and a rise that comes back or does not; also of a loss that starts high."""
    generator = np.random.default_rng(seed)
    course = np.concatenate(
        [np.full(15, 2.0), np.linspace(2.0, 1.0, 20), np.linspace(1.0, 9.0, 25), np.full(9, 2.2)]
    )
    losses = (course + 0.05 * seed * generator.standard_normal(len(course))).tolist()
    blow_up = BlowUp()
    one_by_one = [blow_up.sees(loss) for loss in losses]
    assert one_by_one == [has_blown_up(losses[: count + 1]) for count in range(len(losses))]
    assert any(one_by_one)
