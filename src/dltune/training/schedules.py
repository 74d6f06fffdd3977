"""Learning-rate schedules as pure functions of the update's number, an epoch at a time."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from dltune.recipe.schema import (
    Config,
    ConstantConfig,
    CosineConfig,
    ExponentialConfig,
    NewbobConfig,
    OneCycleConfig,
    PiecewiseConfig,
    PlateauConfig,
    ScheduleConfig,
    StepConfig,
)
from dltune.training.updates import updates_per_epoch

Array = NDArray[np.float64]

# A cycle turns at a share of its updates, most often between two of them: a tenth below its peak,
# a rate trains as well (the band of a suggestion is many times as wide).
ALMOST_THE_PEAK = 0.9


def warmup_updates(schedule: ScheduleConfig, *, updates: int) -> int:
    """Updates of the linear warmup: the share `warmup` of all, rounded.

    >>> warmup_updates(ConstantConfig(warmup=0.25), updates=10)
    2
    """
    return round(schedule.warmup * updates)


def lr_factors(
    schedule: ScheduleConfig, first: int, count: int, *, updates: int, updates_per_epoch: int
) -> Array:
    """What `optim.lr` is multiplied by at `count` updates from number `first` on, (count,).

    first              from 0; first + count is at most updates.
    updates            of the whole training.
    updates_per_epoch  turns updates into epochs for the schedules that count in epochs.

    With W updates of warmup, and epoch = update // updates_per_epoch, so that warmup or not the
    rate falls between two epochs, it is min(1, (update + 1) / W) times

    constant     1
    step         factor ^ floor(epoch / every)
    exponential  exp(-decay e) after e whole epochs since the one in which the warmup ends
    cosine       floor + (1 - floor) (1 + cos(pi t)) / 2, t = (update - W) / (updates - W), and 1
                 before (Loshchilov & Hutter 2017, equation 5)
    piecewise    1, and factors[i] from epoch at[i] on, counted from 0
    plateau      1, and so for newbob: what they react to is no number of an update (`reactions`)
    one-cycle    cosine from `start` up to 1 over the share `peak_at`, then cosine down to `end`
                 (Smith 2018, 1803.09820; the boundaries as in torch's OneCycleLR); no warmup

    >>> lr_factors(CosineConfig(), 0, 4, updates=4, updates_per_epoch=1).round(3).tolist()
    [1.0, 0.854, 0.5, 0.146]
    >>> step = StepConfig(factor=0.5, every=2, warmup=0.25)
    >>> lr_factors(step, 0, 8, updates=8, updates_per_epoch=1).tolist()
    [0.5, 1.0, 0.5, 0.5, 0.25, 0.25, 0.125, 0.125]
    """
    warmup = warmup_updates(schedule, updates=updates)
    update = np.arange(first, first + count, dtype=np.float64)
    epoch = update // updates_per_epoch
    rise = np.minimum(1.0, (update + 1) / max(warmup, 1))
    match schedule:
        case ConstantConfig() | PlateauConfig() | NewbobConfig():
            return rise
        case PiecewiseConfig():
            shares = np.array([1.0, *schedule.factors])
            held: Array = shares[np.searchsorted(schedule.at, epoch, side="right")]
            return rise * held
        case StepConfig():
            return rise * schedule.factor ** (epoch // schedule.every)
        case ExponentialConfig():
            since = np.maximum(0, epoch - warmup // updates_per_epoch)
            return rise * np.exp(-schedule.decay * since)
        case CosineConfig():
            behind = np.maximum(0, update - warmup) / max(1, updates - warmup)
            return rise * _cosine(1.0, schedule.floor, behind)
        case OneCycleConfig():
            return _one_cycle(
                schedule, update, updates, low=schedule.start, high=1.0, end=schedule.end
            )
    raise AssertionError(f"no formula for {schedule!r}")  # a schedule without a case is a bug here


def lr_factor(
    schedule: ScheduleConfig, update: int, *, updates: int, updates_per_epoch: int
) -> float:
    """`lr_factors` at one update.

    >>> lr_factor(CosineConfig(), 2, updates=4, updates_per_epoch=1)
    0.5
    """
    factors = lr_factors(schedule, update, 1, updates=updates, updates_per_epoch=updates_per_epoch)
    return float(factors[0])


def momenta(schedule: ScheduleConfig, first: int, count: int, *, updates: int) -> Array | None:
    """One-cycle's momentum (or first beta) at `count` updates from number `first` on, (count,).

    None where the optimizer's own holds. It falls from `momentum_high` to `momentum_low` while the
    learning rate rises, and back (Smith 2018, 1803.09820, section 4.3).

    >>> momenta(ConstantConfig(), 0, 1, updates=10) is None
    True
    >>> momenta(OneCycleConfig(), 0, 1, updates=10).tolist()
    [0.95]
    """
    if not isinstance(schedule, OneCycleConfig):
        return None
    high, low = schedule.momentum_high, schedule.momentum_low
    update = np.arange(first, first + count, dtype=np.float64)
    return _one_cycle(schedule, update, updates, low=high, high=low, end=high)


def peak_note(config: Config, *, examples: int) -> str | None:
    """A sentence where the training is too short for its schedule; None where it is not.

    examples  in the train split.

    >>> from dltune.recipe.schema import TrainConfig
    >>> tiny = TrainConfig(epochs=1, batch_size="full")
    >>> config = Config(data={"source": "a.csv"}, train=tiny, schedule=OneCycleConfig())
    >>> print(peak_note(config, examples=100))
    optim.lr is never reached, at most 4e-06 of it: one-cycle has 1 update; more epochs or smaller \
batches give it more
    """
    schedule, epochs = config.schedule, config.train.epochs
    per_epoch = updates_per_epoch(config.train, examples)
    updates = per_epoch * epochs
    warmup = warmup_updates(schedule, updates=updates)
    if warmup == updates and not isinstance(schedule, ConstantConfig):
        return (
            f"the warmup takes all {updates} updates: {schedule.name} never begins; "
            "a smaller schedule.warmup leaves it some"
        )
    match schedule:
        case StepConfig():
            falls = range(schedule.every, math.ceil(warmup / per_epoch), schedule.every)
            highest = _peaks_of_warmup(falls, per_epoch, warmup)
            why = _falls_in_warmup("step", schedule.every / epochs)
        case PiecewiseConfig():
            highest = _peaks_of_warmup(schedule.at, per_epoch, warmup)
            highest += [one * per_epoch for one in schedule.at if one < epochs]  # it may rise there
            why = _falls_in_warmup("piecewise", schedule.at[0] / epochs)
        case OneCycleConfig():
            turn = max(0.0, schedule.peak_at * updates - 1)
            highest = [math.floor(turn), min(math.ceil(turn), updates - 1)]
            why = (
                f"one-cycle has {updates} update{'s' * (updates > 1)}; "
                "more epochs or smaller batches give it more"
            )
        case _:
            return None
    factor = max(
        lr_factor(schedule, update, updates=updates, updates_per_epoch=per_epoch)
        for update in highest
    )
    if factor >= ALMOST_THE_PEAK:
        return None
    return f"optim.lr is never reached, at most {factor:.2g} of it: {why}"


def _peaks_of_warmup(changes: Iterable[int], per_epoch: int, warmup: int) -> list[int]:
    """Updates before which the rate rises: the last of the warmup, and that before each change.

    changes  epochs after which the factor is another one.
    """
    places = [epoch * per_epoch for epoch in changes]
    return [max(0, warmup - 1), *(place - 1 for place in places if place < warmup)]


def _falls_in_warmup(name: str, share: float) -> str:
    return (
        f"the first fall of {name} comes in the warmup; a schedule.warmup of at most {share:.2g} "
        "leaves the peak out of it"
    )


def peak_notes(configs: Iterable[Config], *, examples: int) -> tuple[str, ...]:
    """The first `peak_note` of the configs of a study, or none; says whether it is of all."""
    notes = [peak_note(config, examples=examples) for config in configs]
    told = [note for note in notes if note is not None]
    if not told:
        return ()
    return (told[0] if len(told) == len(notes) else f"in some trials {told[0]}",)


def _one_cycle(
    schedule: OneCycleConfig, update: Array, updates: int, *, low: float, high: float, end: float
) -> Array:
    """Cosine from `low` to `high` and on to `end`, turning at update peak_at * updates - 1."""
    turn = schedule.peak_at * updates - 1
    rest = updates - 1 - turn
    up = update / turn if turn > 0 else np.ones_like(update)
    down = (update - turn) / rest if rest > 0 else np.ones_like(update)
    rises = (update <= turn) & (turn > 0)
    return np.where(rises, _cosine(low, high, up), _cosine(high, end, down))


def _cosine(start: float, stop: float, share: Array) -> Array:
    return stop + (start - stop) * (1.0 + np.cos(np.pi * share)) / 2.0
