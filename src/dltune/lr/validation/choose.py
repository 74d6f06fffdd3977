"""Which of several trained learning rates to take, and which are as good."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from dltune.lr.suggest import two_digits
from dltune.lr.validation.plan import PER_DECADE

# Below these shares of the fall (untrained to best) two dev losses count as equal, whatever the
# paired noise: the second where a single seed says nothing about the noise.
EQUAL_SHARE, EQUAL_SHARE_ONE_SEED = 0.003, 0.01
# Seeds of a rate that is hopeless differ by more than those of good ones: the noise is that of the
# candidates up to this share of the fall above the best.
NEAR_SHARE = 0.1
# In the band are the candidates that lose up to this share of the fall.
BAND_SHARE = 0.02


@dataclasses.dataclass(frozen=True, kw_only=True)
class Candidate:
    """A learning rate that was tried.

    rate    learning rate.
    rounds  for each round that it took part in, the lowest dev loss of the training with each seed;
            infinite where it diverged.
    own     whether it is the recipe's own value.

    >>> Candidate(rate=0.1, rounds=((0.5, 0.7), (0.25, 0.75))).loss
    0.5
    """

    rate: float
    rounds: tuple[tuple[float, ...], ...]
    own: bool = False

    @property
    def losses(self) -> tuple[float, ...]:
        """By seed, in the last round."""
        return self.rounds[-1]

    @property
    def loss(self) -> float:
        """Mean over the seeds in the last round; infinite where one of them diverged."""
        return float(np.mean(self.losses))

    @property
    def first_loss(self) -> float:
        """Mean over the seeds in the first round."""
        return float(np.mean(self.rounds[0]))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Choice:
    """What the candidates' losses say.

    rate    the rate that the rule picks; None if every training diverged or learned nothing.
    band    lowest and highest rate that are as good within 2 % of the fall, a step wider.
    tied    rates within noise of the lowest dev loss, among those trained to the end.
    reason  one sentence: what decided.
    """

    rate: float | None
    band: tuple[float, float] | None
    tied: tuple[float, ...]
    reason: str


def choose(candidates: Sequence[Candidate], *, untrained: float) -> Choice:
    """The rule: among the rates within noise of the lowest mean dev loss, the lowest rate.

    candidates  by rising rate.
    untrained   dev loss before any update; fall is the way from it to the lowest.

    Noise is one standard error of the paired differences to the best, pooled over the candidates
    of the last round that lose less than a tenth of the fall: all had the same initial states and
    batches. At least it is 0.3 % of the fall, and 1 % where there is one seed. The lowest of them,
    since a rate next to the edge fails now and then, and a low one never: 27 tasks of the
    benchmark's tuning half, replayed from recorded trainings, lost 0.0022 by it, 0.0027 by the
    middle and 0.0055 by the highest.

    >>> losses = {0.01: 0.5, 0.1: 0.2, 1.0: 0.9}
    >>> tried = [Candidate(rate=rate, rounds=((loss,),)) for rate, loss in losses.items()]
    >>> choose(tried, untrained=1.0).rate
    0.1
    """
    rounds = max(len(one.rounds) for one in candidates)
    finalists = [one for one in candidates if len(one.rounds) == rounds and math.isfinite(one.loss)]
    best = min(finalists, key=lambda one: one.loss, default=None)
    if best is None or best.loss >= untrained:
        return Choice(rate=None, band=None, tied=(), reason="no candidate learned anything")
    tied = _tied(finalists, best, untrained - best.loss)
    reason = f"lowest dev loss, {best.loss:.3g}"
    if len(tied) > 1:
        reason = f"the lowest of {len(tied)} rates within noise of the {reason}"
    rate = tied[0]
    return Choice(
        rate=rate, band=_band(candidates, rate, untrained), tied=tuple(tied), reason=reason
    )


def _tied(finalists: Sequence[Candidate], best: Candidate, fall: float) -> list[float]:
    """The rates around the best one whose losses are within noise of its."""
    losses = np.array([one.losses for one in finalists])  # (finalists, seeds)
    place, seeds = finalists.index(best), losses.shape[1]
    differences = losses - losses[place]
    noise = EQUAL_SHARE_ONE_SEED * fall
    if seeds > 1:
        near = differences.mean(axis=1) <= NEAR_SHARE * fall
        near[place] = False
        variances = differences[near].var(axis=1, ddof=1)
        standard_error = math.sqrt(variances.mean() / seeds) if near.any() else 0.0
        noise = max(EQUAL_SHARE * fall, standard_error)
    close = differences.mean(axis=1) <= noise
    first = last = place
    while first > 0 and close[first - 1]:
        first -= 1
    while last < len(finalists) - 1 and close[last + 1]:
        last += 1
    return [one.rate for one in finalists[first : last + 1]]


def _band(candidates: Sequence[Candidate], rate: float, untrained: float) -> tuple[float, float]:
    """From the lowest to the highest rate that is as good, each within its last round."""
    rounds = max(len(one.rounds) for one in candidates)
    lowest_first = min(one.first_loss for one in candidates)
    lowest = min(one.loss for one in candidates if len(one.rounds) == rounds)
    good = [rate]
    for one in candidates:
        is_final = len(one.rounds) == rounds
        base, loss = (lowest, one.loss) if is_final else (lowest_first, one.first_loss)
        if loss - base <= BAND_SHARE * (untrained - base):
            good.append(one.rate)
    step = 10.0 ** (1.0 / PER_DECADE)  # up to the neighbour, which is worse: no grid was finer
    return two_digits(min(good) / step), two_digits(max(good) * step)
