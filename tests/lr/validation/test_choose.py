from __future__ import annotations

import math

import pytest

from dltune.lr.validation.choose import Candidate, Choice, choose

INF = math.inf
RATES = (0.01, 0.02, 0.04, 0.08, 0.16)


def tried(*losses: tuple[float, ...], rates: tuple[float, ...] = RATES) -> list[Candidate]:
    """Candidates of one round."""
    return [
        Candidate(rate=rate, rounds=(of_seeds,))
        for rate, of_seeds in zip(rates, losses, strict=False)
    ]


def one_seed(*losses: float, untrained: float = 1.0) -> Choice:
    return choose(tried(*((loss,) for loss in losses)), untrained=untrained)


def test_the_lowest_mean_wins_where_noise_is_small() -> None:
    # Differences to the third are the same with each seed: no noise but 0.3 % of the fall.
    choice = choose(
        tried((0.5, 0.6), (0.3, 0.4), (0.2, 0.3), (0.25, 0.35), (0.7, 0.8)), untrained=1.0
    )
    assert (choice.rate, choice.tied) == (0.04, (0.04,))
    assert choice.reason == "lowest dev loss, 0.25"


@pytest.mark.parametrize(
    ("losses", "rate", "tied"),
    [
        # The fall is from 1 to 0.2: losses up to 0.208 count as equal.
        pytest.param((0.5, 0.209, 0.2, 0.209, 0.5), 0.04, (0.04,), id="clear"),
        pytest.param((0.5, 0.207, 0.2, 0.5, 0.5), 0.02, (0.02, 0.04), id="the lower of two"),
        pytest.param((0.5, 0.2, 0.207, 0.5, 0.5), 0.02, (0.02, 0.04), id="also if it is best"),
        pytest.param(
            (0.5, 0.207, 0.206, 0.2, 0.5), 0.02, (0.02, 0.04, 0.08), id="the lowest of three"
        ),
        pytest.param(
            (0.207, 0.2, 0.207, 0.5, 0.2), 0.01, (0.01, 0.02, 0.04), id="at the lower end"
        ),
        pytest.param((0.207, 0.5, 0.2, 0.5, 0.5), 0.04, (0.04,), id="not across a gap"),
    ],
)
def test_with_one_seed_a_hundredth_of_the_fall_is_noise(
    losses: tuple[float, ...], rate: float, tied: tuple[float, ...]
) -> None:
    choice = one_seed(*losses)
    assert (choice.rate, choice.tied) == (rate, tied)
    many = f"the lowest of {len(tied)} rates within noise of the " if len(tied) > 1 else ""
    assert choice.reason == f"{many}lowest dev loss, 0.2"


@pytest.mark.parametrize(
    ("difference", "tied"),
    [
        # Paired differences to the best: +-d around m. Their variance is (d^2 + d^2) / 1 = 2 d^2,
        # the standard error of a mean of two sqrt(2 d^2 / 2) = d. With d = 0.05 for the second
        # and 0 for the third the pooled variance is half of that: an error of 0.05 / sqrt(2).
        pytest.param(0.0353, (0.01, 0.02), id="just inside"),
        pytest.param(0.0354, (0.02,), id="just outside"),
    ],
)
def test_noise_is_the_pooled_standard_error_of_paired_differences(
    difference: float, tied: tuple[float, ...]
) -> None:
    # Seeds differ by 0.3, which is nothing: they are paired.
    best = (0.2, 0.5)
    lower = (0.2 + difference, 0.5 + difference)
    higher = (0.2 + 0.06 + 0.05, 0.5 + 0.06 - 0.05)
    assert 0.0353 < 0.05 / math.sqrt(2) < 0.0354
    assert choose(tried(lower, best, higher), untrained=1.0).tied == tied


def test_a_hopeless_candidate_is_no_noise() -> None:
    """It loses more than a tenth of the fall of 0.65, and its seeds differ by as much as it."""
    hopeless, lower, best = (0.5, 1.2), (0.25, 0.55), (0.2, 0.5)
    assert choose(tried(hopeless, lower, best), untrained=1.0).tied == (0.04,)


def test_noise_is_at_least_a_few_thousandths_of_the_fall() -> None:
    """Equal differences have no spread, but a fall of 0.8 makes 0.0024 no difference."""
    for more, tied in ((0.0023, (0.01, 0.02)), (0.0025, (0.02,))):
        choice = choose(tried((0.2 + more, 0.2 + more), (0.2, 0.2), (0.9, 0.9)), untrained=1.0)
        assert choice.tied == tied


def test_only_the_last_round_counts() -> None:
    """A loss after a fifth of the epochs is no lower for having been measured earlier."""
    candidates = [
        Candidate(rate=0.01, rounds=((0.1,),)),
        Candidate(rate=0.02, rounds=((0.5,), (0.4,))),
        Candidate(rate=0.04, rounds=((0.6,), (0.3,))),
        Candidate(rate=0.08, rounds=((0.2,),)),
    ]
    choice = choose(candidates, untrained=1.0)
    assert (choice.rate, choice.tied) == (0.04, (0.04,))


def test_a_candidate_that_diverged_with_one_seed_is_no_candidate() -> None:
    choice = choose(tried((0.4, 0.4), (0.3, 0.3), (0.1, INF)), untrained=1.0)
    assert choice.rate == 0.02
    assert INF not in (choice.band or ())


@pytest.mark.parametrize(
    "candidates",
    [
        pytest.param(tried((INF,), (INF,)), id="all diverged"),
        pytest.param(tried((INF, 0.1), (0.1, INF)), id="each with one seed"),
        pytest.param(tried((1.0,), (1.2,)), id="no better than before"),
        pytest.param(tried((1.0,), (INF,)), id="one did not"),
        pytest.param(tried((math.nan,), (INF,)), id="not a number"),
        pytest.param(
            [Candidate(rate=0.1, rounds=((0.5,), (INF,)))], id="diverged in the long round"
        ),
    ],
)
def test_where_nothing_learned_there_is_no_choice(candidates: list[Candidate]) -> None:
    assert choose(candidates, untrained=1.0) == Choice(
        rate=None, band=None, tied=(), reason="no candidate learned anything"
    )


def test_one_candidate_is_the_choice() -> None:
    choice = one_seed(0.5)
    assert (choice.rate, choice.tied) == (0.01, (0.01,))
    # A step of a quarter of a decade to each side: 10^(1/4) = 1.78.
    assert choice.band == (0.0056, 0.018)


def test_the_band_holds_what_loses_up_to_a_fiftieth_of_the_fall() -> None:
    # Fall 0.8: up to 0.216. 0.02 and 0.08 are in, 0.01 and 0.16 are not.
    choice = one_seed(0.217, 0.215, 0.2, 0.215, 0.217)
    assert choice.rate == 0.04
    assert choice.band == (0.011, 0.14)


def test_in_the_band_those_of_the_first_round_are_judged_among_themselves() -> None:
    """0.01 was let go after a short round in which it lost little: as good for all we know."""
    candidates = [
        Candidate(rate=0.01, rounds=((0.505,),)),
        Candidate(rate=0.02, rounds=((0.51,), (0.3,))),
        Candidate(rate=0.04, rounds=((0.5,), (0.2,))),
        Candidate(rate=0.08, rounds=((0.52,),)),
    ]
    choice = choose(candidates, untrained=1.0)
    assert choice.rate == 0.04
    # 0.01 loses 0.005 of a fall of 0.5; 0.08 loses 0.02, which is more than a fiftieth.
    assert choice.band == (0.0056, 0.071)


def test_the_choice_is_in_the_band() -> None:
    """Also where it loses more than a fiftieth, but no more than noise."""
    # Means 0.28, 0.25, 0.25; the fall is 0.75, a fiftieth of it 0.015.
    choice = choose(tried((0.20, 0.36), (0.26, 0.24), (0.25, 0.25), (0.9, 0.9)), untrained=1.0)
    assert choice.rate == 0.01
    assert choice.band == (0.0056, 0.071)


@pytest.mark.parametrize("factor", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize("shift", [-5.0, 0.0, 7.0])
def test_units_of_the_loss_play_no_part(factor: float, shift: float) -> None:
    losses = ((0.5, 0.6), (0.3, 0.35), (0.2, 0.3), (0.21, 0.33), (0.7, 0.8))
    scaled = [tuple(factor * loss + shift for loss in of_seeds) for of_seeds in losses]
    first = choose(tried(*losses), untrained=1.0)
    again = choose(tried(*scaled), untrained=factor + shift)
    assert (again.rate, again.band, again.tied) == (first.rate, first.band, first.tied)


def test_losses_of_a_candidate() -> None:
    one = Candidate(rate=0.1, rounds=((0.5, 0.7), (0.25, INF)))
    assert (one.losses, one.loss, one.first_loss) == ((0.25, INF), INF, pytest.approx(0.6))
