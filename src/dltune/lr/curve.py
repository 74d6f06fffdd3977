"""What a learning-rate sweep measured: rates, losses, and why it ended; no tensors."""

from __future__ import annotations

import dataclasses
from enum import StrEnum

from dltune.errors import SweepError

# Below this the smoother has next to nothing to average, and slopes are those of the batches.
FEWEST_STEPS = 20
# The smoother's window is a fifth of a decade to each side: over less than a factor of two it sees
# nothing but its own padding, in a window of more points than memory may hold.
SMALLEST_RATIO = 2.0


class SweepEnd(StrEnum):
    """Why a sweep took no further step.

    range       every planned rate was tried.
    diverged    the loss stayed above where it started, see `dltune.lr.blow_up`.
    non-finite  a loss, a gradient or a parameter was NaN or infinite.
    """

    RANGE = "range"
    DIVERGED = "diverged"
    NON_FINITE = "non-finite"


@dataclasses.dataclass(frozen=True, kw_only=True)
class LrCurve:
    """One sweep: the loss against a learning rate that rose exponentially, one update a rate.

    rates         rising; one for each update whose effect was measured.
    losses        as many; `losses[i]` is the train loss on the batch *after* the update at
                  `rates[i]`, before the next update. It is the first loss that the update could
                  influence: that of the batch it was computed from was measured before it.
    initial_loss  of the fresh model, before any update; NaN or infinite if the data or the model is
                  broken.
    end           why the sweep ended.
    ended_by      what was seen then, e.g. "non-finite gradient"; empty for the whole range.
    ended_at      rate of the last update that was made; None if there was none.
    low, high     the planned range.
    steps         the planned number of updates.
    epochs        passes over the train split that the sweep took; above 1, examples were repeated.
    optimizer     name in the recipe.
    seed          of weights, batches and dropout.
    baseline      loss of the best prediction that does not look at the inputs, where it is known.
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    initial_loss: float
    end: SweepEnd
    ended_by: str = ""
    ended_at: float | None = None
    low: float
    high: float
    steps: int
    epochs: float
    optimizer: str
    seed: int
    baseline: float | None = None


def exponential_rates(low: float, high: float, steps: int) -> tuple[float, ...]:
    """`steps` rates from `low` to `high`, evenly spaced in the logarithm; both ends exactly.

    Raises SweepError unless 0 < low < high < infinity, high >= 2 low, and steps >= 20.

    r_i = low (high / low)^(i / (steps - 1))

    >>> [f"{rate:.3g}" for rate in exponential_rates(1e-3, 1e1, 21)[::5]]
    ['0.001', '0.01', '0.1', '1', '10']
    """
    if not 0 < low < high < float("inf"):
        raise SweepError(
            f"the sweep goes from learning rate {low:g} to {high:g}: "
            "0 < lowest < highest must hold, both finite",
            hint="Try --min-lr 1e-6 --max-lr 10.",
        )
    if high < SMALLEST_RATIO * low:
        raise SweepError(
            f"the sweep goes from learning rate {low:g} to {high:g}: the highest must be at least "
            f"{SMALLEST_RATIO:g} times the lowest, or there is no curve to see",
            hint=f"Try --min-lr {low / 100:.2g} --max-lr {high * 100:.2g}.",
        )
    if steps < FEWEST_STEPS:
        raise SweepError(
            f"a sweep of {steps} steps has too few points for a slope: "
            f"at least {FEWEST_STEPS} are needed",
            hint="Try --steps 200.",
        )
    ratio = high / low
    return (low, *(low * ratio ** (i / (steps - 1)) for i in range(1, steps - 1)), high)
