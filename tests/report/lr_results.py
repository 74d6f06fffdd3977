"""Results of `find_lr` in closed form, for what is drawn and written of them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np

from dltune.lr.curve import LrCurve, SweepEnd, exponential_rates
from dltune.lr.find import LrFind
from dltune.lr.suggest import suggest
from dltune.lr.validation.choose import Candidate, choose
from dltune.lr.validation.plan import Rung, ValidationPlan
from dltune.lr.validation.validate import Validation

STEPS, LOW, HIGH = 251, 1e-4, 10.0
Loss = Callable[[np.ndarray], np.ndarray]


def curve_of(
    loss: Loss, *, seed: int = 0, keep: int | None = None, end: SweepEnd = SweepEnd.RANGE
) -> LrCurve:
    """A curve with a saw of 0.05 on it: noise that is the same everywhere and every time."""
    rates = exponential_rates(LOW, HIGH, STEPS)
    saw = 0.05 * ((np.arange(STEPS) * 7 + 3 * seed) % 11 - 5) / 5
    losses = (loss(np.log10(rates)) + saw).tolist()
    return LrCurve(
        rates=rates[:keep],
        losses=tuple(losses[:keep]),
        initial_loss=2.3,
        end=end,
        ended_by="" if end is SweepEnd.RANGE else "loss above its start",
        ended_at=rates[:keep][-1],
        low=LOW,
        high=HIGH,
        steps=STEPS,
        epochs=11.8,
        optimizer="adam",
        seed=seed,
        baseline=2.3,
    )


def fall(middle: float, width: float = 0.25) -> Loss:
    """From 2.3 down to 0.2 around 10^middle."""
    return lambda x: 0.2 + 2.1 / (1.0 + np.exp((x - middle) / width))


def valley(shift: float = 0.0) -> Loss:
    """A fall around 10^-2.3, and a blow-up that is as high as the start at 10^-0.5."""
    return lambda x: fall(-2.3 + shift)(x) + 2.1 * 10.0 ** (4.0 * (x + 0.5 - shift))


VALLEY = curve_of(valley(), keep=184, end=SweepEnd.DIVERGED)
CURVES: dict[str, tuple[LrCurve, ...]] = {
    "ok": (VALLEY,),
    "five_seeds": tuple(
        curve_of(valley(0.1 * seed - 0.2), seed=seed, keep=174 + 5 * seed, end=SweepEnd.DIVERGED)
        for seed in range(5)
    ),
    "no_edge": (curve_of(fall(-2.0)),),
    "falling": (curve_of(fall(0.8, 0.5)),),
    "flat": (curve_of(lambda x: np.full_like(x, 2.3)),),
    "learned": (curve_of(lambda x: np.full_like(x, 0.4)),),
    "short": (
        dataclasses.replace(
            VALLEY,
            rates=VALLEY.rates[:5],
            losses=VALLEY.losses[:5],
            end=SweepEnd.NON_FINITE,
            ended_by="non-finite loss",
            ended_at=VALLEY.rates[5],
        ),
    ),
    "one_loss": (
        dataclasses.replace(
            VALLEY,
            rates=VALLEY.rates[:1],
            losses=VALLEY.losses[:1],
            end=SweepEnd.NON_FINITE,
            ended_by="non-finite loss",
            ended_at=VALLEY.rates[1],
        ),
    ),
    "broken": (
        dataclasses.replace(
            VALLEY,
            rates=(),
            losses=(),
            initial_loss=math.nan,
            end=SweepEnd.NON_FINITE,
            ended_by="non-finite loss",
            ended_at=None,
        ),
    ),
}


def result_of(
    name: str, *, validation: Validation | None = None, decays: bool = False, epochs: int = 20
) -> LrFind:
    """What `find_lr` would give for one of the curves."""
    curves = CURVES[name]
    return LrFind(
        curves=curves,
        suggestion=suggest(curves),
        plan=None if validation is None else validation.plan,
        validation=validation,
        notes=(),
        seed=0,
        updates=sum(len(curve.losses) for curve in curves),
        decays=decays,
        epochs=epochs,
    )


def validation_of(
    *candidates: Candidate, rungs: tuple[Rung, ...], stacked: bool = True, untrained: float = 2.3
) -> Validation:
    """What `validate` would give for these losses."""
    plan = ValidationPlan(rungs=rungs, row_cost=0.13 if stacked else 1.0)
    return Validation(
        candidates=candidates,
        choice=choose(candidates, untrained=untrained),
        untrained=untrained,
        plan=plan,
        trainings=plan.trainings,
        updates=1734,
    )


TWO_ROUNDS = validation_of(
    Candidate(rate=0.0028, rounds=((0.5321, 0.5512),)),
    Candidate(rate=0.005, rounds=((0.31, 0.35), (0.1011, 0.1182))),
    Candidate(rate=0.0085, rounds=((0.28, 0.32),), own=True),
    Candidate(rate=0.0089, rounds=((0.27, 0.31), (0.1009, 0.1165))),
    Candidate(rate=0.016, rounds=((0.25, 0.33), (0.0011, 0.0007))),
    Candidate(rate=0.028, rounds=((0.45, math.inf),)),
    rungs=(Rung(candidates=6, seeds=2, share=0.3), Rung(candidates=3, seeds=2, share=1.0)),
)
TIED = validation_of(
    Candidate(rate=0.005, rounds=((0.1208,),), own=True),
    Candidate(rate=0.0089, rounds=((0.1005,),)),
    Candidate(rate=0.016, rounds=((0.1003,),)),
    Candidate(rate=0.028, rounds=((0.1004,),)),
    Candidate(rate=0.05, rounds=((1.9,),)),
    rungs=(Rung(candidates=5, seeds=1, share=1.0),),
    stacked=False,
)
NOTHING = validation_of(
    Candidate(rate=0.005, rounds=((2.41,),)),
    Candidate(rate=0.0089, rounds=((math.inf,),)),
    rungs=(Rung(candidates=2, seeds=1, share=0.05),),
)
VALIDATIONS = {"two_rounds": TWO_ROUNDS, "tied": TIED, "nothing": NOTHING}
