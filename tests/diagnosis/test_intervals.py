from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from dltune.diagnosis.intervals import (
    MOST_EXAMPLES,
    examples_needed,
    newcombe,
    normal_quantile,
    wilson,
)

# shares k / n with their n
COUNTS = st.integers(1, 2000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
CONFIDENCES = st.floats(0.5, 0.999)


@pytest.mark.parametrize(
    ("counted", "examples", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_gives_the_published_table(
    counted: int, examples: int, low: float, high: float
) -> None:
    # Newcombe 1998, Statistics in Medicine 17, 857-872, table I, method 3
    assert wilson(counted / examples, examples) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize(
    ("first", "second", "low", "high"),
    [
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((6, 7), (2, 7), 0.0582, 0.8062),
        ((5, 56), (0, 29), -0.0381, 0.1926),
        ((0, 10), (0, 20), -0.1611, 0.2775),
        ((0, 10), (0, 10), -0.2775, 0.2775),
        ((10, 10), (0, 20), 0.6791, 1.0),
        ((10, 10), (0, 10), 0.6075, 1.0),
    ],
)
def test_newcombe_gives_the_published_table(
    first: tuple[int, int], second: tuple[int, int], low: float, high: float
) -> None:
    # Newcombe 1998, Statistics in Medicine 17, 873-890, table II, method 10
    (k1, n1), (k2, n2) = first, second
    assert newcombe(k1 / n1, n1, k2 / n2, n2) == pytest.approx((low, high), abs=5e-5)


def test_normal_quantile_is_the_textbook_one() -> None:
    assert normal_quantile(0.95) == pytest.approx(1.959964, abs=1e-6)
    assert normal_quantile(0.99) == pytest.approx(2.575829, abs=1e-6)


@given(counts=COUNTS, confidence=CONFIDENCES)
def test_wilson_contains_the_share_and_stays_a_share(
    counts: tuple[int, int], confidence: float
) -> None:
    counted, examples = counts
    low, high = wilson(counted / examples, examples, confidence=confidence)
    assert 0 <= low <= counted / examples <= high <= 1


@given(counts=COUNTS, confidence=CONFIDENCES)
def test_wilson_inverts_the_score_test(counts: tuple[int, int], confidence: float) -> None:
    # Wilson's definition: the bounds p solve |share - p| = z sqrt(p (1 - p) / n).
    counted, examples = counts
    assume(0 < counted < examples)
    z, share = normal_quantile(confidence), counted / examples
    for bound in wilson(share, examples, confidence=confidence):
        assert abs(share - bound) == pytest.approx(z * (bound * (1 - bound) / examples) ** 0.5)


@given(first=COUNTS, second=COUNTS, confidence=CONFIDENCES)
def test_newcombe_contains_the_difference_and_turns_with_it(
    first: tuple[int, int], second: tuple[int, int], confidence: float
) -> None:
    (k1, n1), (k2, n2) = first, second
    low, high = newcombe(k1 / n1, n1, k2 / n2, n2, confidence=confidence)
    assert low <= k1 / n1 - k2 / n2 <= high
    turned = newcombe(k2 / n2, n2, k1 / n1, n1, confidence=confidence)
    assert turned == pytest.approx((-high, -low))


@given(first=COUNTS, second=st.floats(0, 1))
def test_an_exact_second_share_leaves_the_interval_of_the_first(
    first: tuple[int, int], second: float
) -> None:
    counted, examples = first
    low, high = wilson(counted / examples, examples)
    exact = newcombe(counted / examples, examples, second, None)
    assert exact == pytest.approx((low - second, high - second))


@given(share=st.floats(0.02, 0.98), above=st.floats(0, 0.9))
def test_examples_needed_is_the_smallest(share: float, above: float) -> None:
    assume(share - above > 0.01)
    needed = examples_needed(lambda n: wilson(share, n)[0], above=above, at_least=1)
    assert needed is not None
    assert wilson(share, needed)[0] > above
    if needed > 1:
        assert wilson(share, needed - 1)[0] <= above


def test_examples_needed_gives_up() -> None:
    assert examples_needed(lambda n: -1 / n, above=0.0, at_least=1) is None
    assert examples_needed(lambda n: float(n), above=MOST_EXAMPLES - 1.5, at_least=3) == (
        MOST_EXAMPLES - 1
    )
