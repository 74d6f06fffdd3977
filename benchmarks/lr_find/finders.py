"""What is measured on one task: dltune's finder, the peers', fixed rates, and doing without."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from oracle import task_data, train_all
from peers.fastai_rules import fastai_rules
from peers.fixed import fixed_default
from peers.lightning_rule import lightning_rule
from peers.rate_free import train_prodigy, train_schedule_free
from peers.result import PeerResult
from peers.torch_lr_finder_rule import torch_lr_finder_rule
from tasks import FOLDER, Task

from dltune.data.device import DeviceData
from dltune.lr.extend import DEFAULT_RANGES
from dltune.lr.find import Loaded, LrFind, find_lr
from dltune.lr.validation.plan import compressed
from dltune.recipe.schema import Config
from dltune.training.history import Trial
from dltune.training.loop import train_cohort

FINDERS: dict[str, Callable[[Config, DeviceData, int], PeerResult]] = {
    "fastai": fastai_rules,
    "lightning": lightning_rule,
    "torch-lr-finder": torch_lr_finder_rule,
}
RATE_FREE = {"prodigy": train_prodigy, "schedule-free adamw": train_schedule_free}
SHORT = 0.3  # of the epochs, for random short runs: that of dltune's first round
# Where random short runs draw from, log-uniformly: five decades that hold every best rate but one.
RANDOM_DECADES = 5


@dataclasses.dataclass(frozen=True, kw_only=True)
class Seeds:
    """Which seeds are measured; none of them is one of the oracle's.

    finders    for sweeps and the peers' finders.
    trainings  for what trains: validation, random short runs, rate-free optimizers.
    """

    finders: tuple[int, ...] = (0, 1, 2)
    trainings: tuple[int, ...] = (0, 1)


def measure_task(task: Task, seeds: Seeds) -> dict[str, Any]:
    """Everything about one task, as plain values."""
    data, config = task_data(task), task.config()
    own = measure_dltune(task, seeds)
    peers = {
        name: [_peer(finder(config, data, seed)) for seed in seeds.finders]
        for name, finder in FINDERS.items()
    }
    return {
        **own,
        "peers": peers,
        "fixed": fixed_default(config),
        "random": {
            name: [_random_short_runs(config, data, seed, updates) for seed in seeds.trainings]
            for name, updates in _budgets(**own).items()
        },
        "rate_free": {
            name: [dataclasses.asdict(train(config, data, seed)) for seed in seeds.trainings]
            for name, train in RATE_FREE.items()
        },
    }


def measure_dltune(task: Task, seeds: Seeds) -> dict[str, list[dict[str, Any]]]:
    """dltune's own answers, without and with validation."""
    data, config = task_data(task), task.config()
    return {
        "sweep": [_dltune(config, data, seed, validate=False) for seed in seeds.finders],
        "validated": [_dltune(config, data, seed, validate=True) for seed in seeds.trainings],
    }


def measure_cost(task: Task) -> dict[str, float]:
    """Seconds of dltune's sweep and validation, of fastai's finder and of one looped training.

    Each is called twice after a first call that is not counted, the faster one counts.
    """
    data, config = task_data(task), task.config()
    _warm_up(config, data)
    sweeps = [_dltune(config, data, seed, validate=False) for seed in (0, 1)]
    validated = [_dltune(config, data, seed, validate=True) for seed in (0, 1)]
    fastai = [fastai_rules(config, data, seed) for seed in (0, 1)]
    sweep = min(one["seconds"] for one in sweeps)
    return {
        "sweep": sweep,
        "validation": min(one["seconds"] for one in validated) - sweep,
        "fastai": min(one.seconds for one in fastai),
        "looped": _looped_seconds(config, data),
        "sweep_updates": sweeps[0]["updates"],
        "fastai_updates": fastai[0].updates,
        "trainings": validated[0]["trainings"],
    }


def _warm_up(config: Config, data: DeviceData) -> None:
    """The first call of a package imports and allocates: it is not measured."""
    fastai_rules(config, data, 99)
    _dltune(config, data, 99, validate=False)


def _with_seed(config: Config, seed: int) -> Config:
    return config.model_copy(update={"train": config.train.model_copy(update={"seed": seed})})


def _dltune(config: Config, data: DeviceData, seed: int, *, validate: bool) -> dict[str, Any]:
    started = time.perf_counter()
    found: LrFind = find_lr(
        _with_seed(config, seed),
        folder=FOLDER,
        validate=validate,
        loaded=Loaded(data=data, notes=()),
    )
    seconds = time.perf_counter() - started
    validation = found.validation
    return {
        "rate": found.rate,
        "band": found.band,
        "status": str(found.suggestion.status),
        "edge": found.suggestion.edge,
        "updates": found.updates,
        "seconds": seconds,
        "notes": found.notes,
        "validation_updates": 0 if validation is None else validation.updates,
        "trainings": 0.0 if validation is None else validation.trainings,
    }


def _peer(result: PeerResult) -> dict[str, Any]:
    return dataclasses.asdict(result)


def _budgets(sweep: list[dict[str, Any]], validated: list[dict[str, Any]]) -> dict[str, float]:
    """Updates that random short runs may take: as many as dltune takes for its answers."""
    swept = float(np.median([one["updates"] for one in sweep]))
    whole = float(np.median([one["updates"] + one["validation_updates"] for one in validated]))
    return {"a sweep's updates": swept, "a validation's updates": whole}


def _random_short_runs(
    config: Config, data: DeviceData, seed: int, updates: float
) -> dict[str, Any]:
    """The best of as many short trainings at random rates as fit into these updates."""
    short = compressed(config, SHORT, lr=config.optim.lr)
    of_one = short.train.epochs * math.ceil(len(data.train) / _batch(config, data))
    count = max(1, round(updates / of_one))
    top = math.log10(DEFAULT_RANGES[config.optim.name][1]) - 1.0
    exponents = np.random.default_rng(seed).uniform(top - RANDOM_DECADES, top, size=count)
    trials = [
        Trial(number=number, config=compressed(config, SHORT, lr=float(10.0**one)), seed=seed)
        for number, one in enumerate(exponents)
    ]
    losses = [_lowest(one) for one in train_all(trials, data)]
    best = int(np.argmin(losses))
    rate = float(10.0 ** exponents[best]) if math.isfinite(losses[best]) else None
    return {"rate": rate, "runs": count}


def _batch(config: Config, data: DeviceData) -> int:
    size = config.train.batch_size
    return len(data.train) if isinstance(size, str) else min(size, len(data.train))


def _lowest(result: Any) -> float:
    return math.inf if result.dev_loss is None else float(result.dev_loss)


def _looped_seconds(config: Config, data: DeviceData) -> float:
    """One whole training in the looped engine, the faster of two."""
    fastest = math.inf
    for _ in range(2):
        started = time.perf_counter()
        for _epoch in train_cohort(
            [Trial(number=0, config=config, seed=0)], data, folder=FOLDER, stacked=False
        ):
            pass
        fastest = min(fastest, time.perf_counter() - started)
    return fastest
