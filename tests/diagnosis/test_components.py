from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dltune.diagnosis.components import Errors, compared, components
from dltune.errors import DiagnosisError

SHARES = st.floats(0, 1)


def by_name(errors: Errors, **rule: float) -> dict[str, object]:
    return {part.name: part for part in components(errors, **rule)}


@given(ordered=st.lists(SHARES, min_size=4, max_size=4).map(sorted))
def test_the_parts_add_up_to_the_excess(ordered: list[float]) -> None:
    target, train, train_dev, dev = ordered
    with_three = components(Errors(train=train, dev=dev, target=target, train_dev=train_dev))
    assert sum(part.size for part in with_three) == pytest.approx(dev - target)
    with_two = components(Errors(train=train, dev=dev, target=target))
    assert sum(part.size for part in with_two) == pytest.approx(dev - target)


@given(train=SHARES, dev=SHARES, target=SHARES, test=SHARES)
def test_no_part_is_negative(train: float, dev: float, target: float, test: float) -> None:
    for part in components(Errors(train=train, dev=dev, target=target, test=test)):
        assert part.size == max(0.0, part.difference)


@given(train=SHARES, dev=SHARES, n_train=st.integers(1, 10**6), n_dev=st.integers(1, 10**6))
def test_an_interval_contains_its_difference(
    train: float, dev: float, n_train: int, n_dev: int
) -> None:
    for part in components(Errors(train=train, dev=dev, n_train=n_train, n_dev=n_dev)):
        assert part.interval is not None
        assert part.interval[0] <= part.difference <= part.interval[1]


@given(train=SHARES, dev=SHARES, higher=SHARES, tolerance=st.floats(0, 0.5))
def test_variance_stays_high_when_the_dev_error_rises(
    train: float, dev: float, higher: float, tolerance: float
) -> None:
    sizes = {"n_train": 500, "n_dev": 200}
    low, high = sorted([dev, higher])
    before = components(Errors(train=train, dev=low, **sizes), tolerance=tolerance)[1]
    after = components(Errors(train=train, dev=high, **sizes), tolerance=tolerance)[1]
    assert after.high >= before.high


@given(train=SHARES, higher=SHARES, dev=SHARES, target=SHARES)
def test_bias_stays_high_when_the_train_error_rises(
    train: float, higher: float, dev: float, target: float
) -> None:
    low, high = sorted([train, higher])
    before = components(Errors(train=low, dev=dev, target=target, n_train=300))[0]
    after = components(Errors(train=high, dev=dev, target=target, n_train=300))[0]
    assert after.high >= before.high


@given(train=SHARES, dev=SHARES, loose=st.floats(0, 0.9), strict=st.floats(0, 0.9))
def test_a_stricter_tolerance_never_clears_a_part(
    train: float, dev: float, loose: float, strict: float
) -> None:
    strict, loose = sorted([loose, strict])
    errors = Errors(train=train, dev=dev)
    for at_loose, at_strict in zip(
        components(errors, tolerance=loose), components(errors, tolerance=strict), strict=True
    ):
        assert at_strict.high >= at_loose.high


def test_a_gap_of_exactly_the_tolerance_is_not_high() -> None:
    # 0.10 - 0.08 > 0.02 in binary floating point
    assert 0.10 - 0.08 > 0.02
    assert not by_name(Errors(train=0.08, dev=0.10, target=0.01))["variance"].high


def test_half_of_the_excess_is_high_at_any_size() -> None:
    parts = by_name(Errors(train=0.08, dev=0.10, target=0.06))
    assert parts["bias"].high
    assert parts["variance"].high


def test_each_part_has_the_interval_of_its_two_errors() -> None:
    # the interval in the reference page: 12 -> 20 % at n_dev 1,000 and n_train 10,000
    parts = by_name(Errors(train=0.12, dev=0.20, n_train=10_000, n_dev=1_000))
    assert parts["variance"].interval == pytest.approx((0.055, 0.107), abs=5e-4)
    # and the one at n_dev 100, with 1,000 train examples
    parts = by_name(Errors(train=0.12, dev=0.20, n_train=1_000, n_dev=100))
    assert parts["variance"].interval == pytest.approx((0.010, 0.171), abs=5e-4)


def test_a_gap_within_the_noise_is_not_high() -> None:
    part = by_name(Errors(train=0.10, dev=0.14, n_train=1_000, n_dev=100))["variance"]
    assert part.material
    assert part.significant is False
    assert part.unclear
    assert not part.high


def test_a_significant_gap_that_is_small_is_not_high() -> None:
    # 12 -> 13 % at n = 5,000 excludes 0 yet is immaterial
    part = by_name(Errors(train=0.12, dev=0.13, n_dev=5_000))["variance"]
    assert part.significant
    assert not part.high


@pytest.mark.parametrize(
    ("sizes", "note"),
    [
        pytest.param({}, "n_dev is unknown", id="no size"),
        pytest.param({"n_train": 100}, "n_dev is unknown", id="train only"),
        pytest.param(
            {"n_dev": 100},
            "n_train is unknown, so the train error is taken as exact",
            id="dev only",
        ),
        pytest.param({"n_train": 100, "n_dev": 100}, "", id="both"),
    ],
)
def test_the_note_says_which_size_is_missing(sizes: dict[str, int], note: str) -> None:
    part = by_name(Errors(train=0.1, dev=0.2, **sizes))["variance"]
    assert part.note == note
    assert (part.interval is not None) == ("n_dev" in sizes)


def test_mismatch_and_dev_overfit_need_both_sizes() -> None:
    errors = Errors(train=0.1, dev=0.2, train_dev=0.1, test=0.3, n_dev=100)
    parts = by_name(errors)
    assert parts["mismatch"].note == "n_train_dev is unknown"
    assert parts["dev overfit"].note == "n_test is unknown"
    bare = by_name(Errors(train=0.1, dev=0.2, train_dev=0.1))
    assert bare["mismatch"].note == "n_dev and n_train_dev are unknown"


def test_one_minus_r_squared_has_no_interval() -> None:
    parts = components(Errors(train=0.4, dev=1.3, n_train=9, n_dev=9, proportion=False))
    assert [part.interval for part in parts] == [None, None]
    assert parts[0].note == "1 - R^2 is not a share of examples, so it has no Wilson interval"
    assert parts[1].high


def test_a_difference_needs_its_two_errors() -> None:
    with pytest.raises(ValueError, match="mismatch is not a difference of two measured errors"):
        compared("mismatch", Errors(train=0.1, dev=0.2))


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        (
            {"dev": 12.0},
            "dev error is 12: an error is a share, from 0 to 1\n"
            "Did you mean 12%? Type --dev-error 12%.",
        ),
        (
            {"train_dev": -0.1},
            "train-dev error is -0.1: an error is a share, from 0 to 1\n"
            "Type a share such as --train-dev-error 0.12, or --train-dev-error 12%.",
        ),
        (
            {"target": float("nan")},
            "target error is nan: an error is a share, from 0 to 1\n"
            "Type a share such as --target-error 0.12, or --target-error 12%.",
        ),
        (
            {"test": 250.0},
            "test error is 250: an error is a share, from 0 to 1\n"
            "Type a share such as --test-error 0.12, or --test-error 12%.",
        ),
        (
            {"train": -1.0, "proportion": False},
            "train error is -1: 1 - R^2 is a finite number, 0 or more\n"
            "Type --train-error 0.3 for a model that explains 70 % of the variance.",
        ),
        (
            {"dev": float("inf"), "proportion": False},
            "dev error is inf: 1 - R^2 is a finite number, 0 or more\n"
            "Type --dev-error 0.3 for a model that explains 70 % of the variance.",
        ),
        (
            {"n_dev": 0},
            "--n-dev is 0: an error is counted on at least 1 example\n"
            "Type the number of examples, or leave --n-dev out if it is unknown.",
        ),
        (
            {"n_train": 10**400},
            "--n-train is above 10^15: more examples than any split has\n"
            "Type the number of examples, or leave --n-train out if it is unknown.",
        ),
    ],
)
def test_errors_refuse_what_makes_no_sense(fields: dict[str, object], text: str) -> None:
    with pytest.raises(DiagnosisError) as refusal:
        Errors(**{"train": 0.1, "dev": 0.2} | fields)
    assert str(refusal.value) == text


def test_the_largest_size_and_confidence_still_give_an_interval() -> None:
    errors = Errors(train=0.1, dev=0.2, n_train=10**15, n_dev=10**15)
    assert by_name(errors)["variance"].interval == pytest.approx((0.1, 0.1), abs=1e-6)
    (_, variance) = components(errors, confidence=1 - 1e-15)
    assert variance.high


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (
            {"tolerance": 2.0},
            "--tolerance is 2: it is a share, at least 0 and below 1\nDid you mean 2%?",
        ),
        (
            {"tolerance": -0.1},
            "--tolerance is -0.1: it is a share, at least 0 and below 1\nType --tolerance 2%.",
        ),
        (
            {"confidence": 95.0},
            "--confidence is 95: it is a share, above 0 and below 1\nDid you mean 95%?",
        ),
        (
            {"confidence": 1.0},
            "--confidence is 1: it is a share, above 0 and below 1\nType --confidence 95%.",
        ),
        (
            {"confidence": 1 - 1e-16},  # so near to 1 that the quantile is infinite
            "--confidence is 1: it is a share, above 0 and below 1\nType --confidence 95%.",
        ),
    ],
)
def test_the_rule_refuses_what_makes_no_sense(rule: dict[str, float], text: str) -> None:
    with pytest.raises(DiagnosisError) as refusal:
        components(Errors(train=0.1, dev=0.2), **rule)
    assert str(refusal.value) == text
