"""Learning-rate schedules as pure functions of the update's number."""

from __future__ import annotations

import math

from dltune.recipe.schema import (
    ConstantConfig,
    CosineConfig,
    ExponentialConfig,
    OneCycleConfig,
    ScheduleConfig,
    StepConfig,
)


def warmup_updates(schedule: ScheduleConfig, *, updates: int) -> int:
    """Updates of the linear warmup: the share `warmup` of all, rounded.

    >>> warmup_updates(ConstantConfig(warmup=0.25), updates=10)
    2
    """
    return round(schedule.warmup * updates)


def lr_factor(
    schedule: ScheduleConfig, update: int, *, updates: int, updates_per_epoch: int
) -> float:
    """What `optim.lr` is multiplied by at one update.

    update             from 0 to updates - 1.
    updates            of the whole training.
    updates_per_epoch  turns updates into epochs for the schedules that count in epochs.

    In the warmup of W updates the factor is (update + 1) / W of the schedule's first value. After
    it, with u = update - W of U = updates - W, and epoch = u // updates_per_epoch:

    constant     1
    step         factor ^ floor(epoch / every)
    exponential  exp(-decay epoch)
    cosine       floor + (1 - floor) (1 + cos(pi u / U)) / 2       (Loshchilov & Hutter 2017,
                 equation 5)
    one-cycle    cosine from `start` up to 1 over the share `peak_at`, then cosine down to `end`
                 (Smith 2018, 1803.09820; the boundaries as in torch's OneCycleLR)

    >>> [round(lr_factor(CosineConfig(), u, updates=4, updates_per_epoch=1), 3) for u in range(4)]
    [1.0, 0.854, 0.5, 0.146]
    """
    warmup = warmup_updates(schedule, updates=updates)
    if update < warmup:
        first = _factor(schedule, 0, updates=updates - warmup, updates_per_epoch=updates_per_epoch)
        return first * (update + 1) / warmup
    return _factor(
        schedule, update - warmup, updates=updates - warmup, updates_per_epoch=updates_per_epoch
    )


def _factor(
    schedule: ScheduleConfig, update: int, *, updates: int, updates_per_epoch: int
) -> float:
    epoch = update // updates_per_epoch
    match schedule:
        case ConstantConfig():
            return 1.0
        case StepConfig():
            return float(schedule.factor ** (epoch // schedule.every))
        case ExponentialConfig():
            return math.exp(-schedule.decay * epoch)
        case CosineConfig():
            return _cosine(1.0, schedule.floor, update / max(updates, 1))
        case OneCycleConfig():
            return _one_cycle(
                schedule, update, updates, low=schedule.start, high=1.0, end=schedule.end
            )
    raise AssertionError(f"no formula for {schedule!r}")  # a schedule without a case is a bug here


def momentum_at(schedule: ScheduleConfig, update: int, *, updates: int) -> float | None:
    """One-cycle's momentum (or first beta) at one update; None where the optimizer's own holds.

    It falls from `momentum_high` to `momentum_low` while the learning rate rises, and back
    (Smith 2018, 1803.09820, section 4.3). During a warmup it stays at `momentum_high`.

    >>> momentum_at(ConstantConfig(), 0, updates=10) is None
    True
    >>> momentum_at(OneCycleConfig(), 0, updates=10)
    0.95
    """
    if not isinstance(schedule, OneCycleConfig):
        return None
    warmup = warmup_updates(schedule, updates=updates)
    return _one_cycle(
        schedule,
        max(0, update - warmup),
        updates - warmup,
        low=schedule.momentum_high,
        high=schedule.momentum_low,
        end=schedule.momentum_high,
    )


def _one_cycle(
    schedule: OneCycleConfig, update: int, updates: int, *, low: float, high: float, end: float
) -> float:
    """Cosine from `low` to `high` and on to `end`, turning at update peak_at * updates - 1."""
    turn = schedule.peak_at * updates - 1
    if update <= turn and turn > 0:
        return _cosine(low, high, update / turn)
    rest = updates - 1 - turn
    return _cosine(high, end, (update - turn) / rest if rest > 0 else 1.0)


def _cosine(start: float, stop: float, share: float) -> float:
    return stop + (start - stop) * (1.0 + math.cos(math.pi * share)) / 2.0
