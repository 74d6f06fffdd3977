"""The range sweep: fresh models, one optimizer update a rate, from a low rate to a high one."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import torch

from dltune.data.device import DeviceData
from dltune.errors import DltuneError, ModelError, SweepError, ran_out_of_memory
from dltune.lr.blow_up import BlowUp
from dltune.lr.curve import LrCurve, SweepEnd, exponential_rates
from dltune.lr.steppers import Look, LoopedStepper, StackedStepper, Stepper
from dltune.recipe.places import at, place_of_error
from dltune.recipe.schema import Config, FactoryConfig, ModelConfig
from dltune.recipe.users_code import in_words, let_signals_through
from dltune.training.history import Trial
from dltune.training.losses import build_loss, constant_loss
from dltune.training.memory import keep_freed_memory
from dltune.training.seeds import derive_seed

Watch = Callable[[str, float, float], None]
"""Called with what is being done, how far it is, and how far it goes."""


def sweep(
    trials: Sequence[Trial],
    *,
    data: DeviceData,
    folder: Path,
    low: float,
    high: float,
    steps: int,
    stacked: bool = False,
    watch: Watch | None = None,
) -> list[LrCurve]:
    """Train fresh models while the learning rate rises exponentially; one update a rate.

    trials     of each, model, optimizer, batch size, accumulation, penalties and clipping hold; its
               own learning rate, schedule and number of epochs do not. Its seed decides weights,
               batches and dropout; the same seed gives the same curve.
    data       on the device to train on.
    folder     where relative references of the recipe are looked up.
    low, high  first and last rate, 0 < low < high.
    steps      updates, at least 20. A train split with fewer batches is gone through again, in a
               new order: see `LrCurve.epochs`.
    stacked    train all of them at once: they must be of equal shapes.
    watch      called after every update, in each sweep anew: ("sweep", updates so far, steps).

    Returns a curve for each trial. A curve ends early when a loss, gradient or parameter is not
    finite, or when the loss has blown up. The random states of Python, NumPy and torch are
    afterwards what they were before, also after an exception.

    Raises SweepError for an impossible range or if memory runs out, ModelError if a model does not
    fit the data, TrainingError if the loss does not fit the task.
    """
    rates = exponential_rates(low, high, steps)
    keep_freed_memory()
    rows: list[SweptRow] = []
    with untouched_random_states(), sweep_failures(trials[0].config):
        groups = [trials] if stacked else [[trial] for trial in trials]
        for group in groups:
            stepper = (
                StackedStepper(group, data=data, folder=folder)
                if stacked
                else LoopedStepper(group[0], data=data, folder=folder)
            )
            rows += drive(stepper, rates, rows=len(group), watch=watch)
    return [
        dataclasses.replace(
            row.curve(low=low, high=high, optimizer=trial.config.optim.name, seed=trial.seed),
            baseline=_baseline(trial.config, data),
        )
        for row, trial in zip(rows, trials, strict=True)
    ]


def sweep_seeds(seed: int, count: int) -> list[int]:
    """The seeds of sweeps, and of a validation: the recipe's own, and others derived from it.

    >>> sweep_seeds(0, 2)[0], len(set(sweep_seeds(0, 5)))
    (0, 5)
    """
    return [seed, *(derive_seed(seed, "lr-find", number) for number in range(1, count))]


def _baseline(config: Config, data: DeviceData) -> float:
    loss = build_loss(config, task=data.task)
    return constant_loss(loss, data.train.targets, task=data.task, outputs=data.outputs)


def drive(
    stepper: Stepper, rates: Sequence[float], *, rows: int, watch: Watch | None = None
) -> list[SweptRow]:
    """Sweep the models of a stepper until all of them are done; what each one showed."""
    swept = [SweptRow(rates, stepper.updates_per_epoch) for _ in range(rows)]
    updates = 0
    with stepper.running():
        while True:
            for row, look in zip(swept, stepper.look(), strict=True):
                if not row.is_over:
                    row.see(look)
            if all(row.is_over for row in swept):
                return swept
            stepper.update(rates[updates])
            updates += 1
            if watch is not None:
                watch("sweep", updates, len(rates))


class SweptRow:
    """One model's sweep. One more look than updates is needed: the last one only measures.

    rates              planned.
    updates_per_epoch  turns looks into epochs.
    """

    def __init__(self, rates: Sequence[float], updates_per_epoch: int) -> None:
        self._rates = rates
        self._updates_per_epoch = updates_per_epoch
        self._blow_up = BlowUp()
        self._looks = 0
        self.initial_loss = math.nan
        self.losses: list[float] = []
        self.end: SweepEnd | None = None
        self.ended_by = ""

    @property
    def is_over(self) -> bool:
        """Whether nothing more is to be seen."""
        return self.end is not None

    def see(self, look: Look) -> None:
        """Take in what the last update came to."""
        self._looks += 1
        broken = _broken(look)
        if self._looks == 1:
            self.initial_loss = look.loss
        elif broken not in ("loss", "parameter"):
            self.losses.append(look.loss)
        if broken:
            self.end, self.ended_by = SweepEnd.NON_FINITE, f"non-finite {broken}"
        elif self._blow_up.sees(look.loss):
            self.end, self.ended_by = SweepEnd.DIVERGED, "loss above its start"
        elif self._looks > len(self._rates):
            self.end = SweepEnd.RANGE

    def curve(self, *, low: float, high: float, optimizer: str, seed: int) -> LrCurve:
        """What was seen, once the row is over."""
        assert self.end is not None
        updates = self._looks - 1
        return LrCurve(
            rates=tuple(self._rates[: len(self.losses)]),
            losses=tuple(self.losses),
            initial_loss=self.initial_loss,
            end=self.end,
            ended_by=self.ended_by,
            ended_at=self._rates[updates - 1] if updates else None,
            low=low,
            high=high,
            steps=len(self._rates),
            epochs=self._looks / self._updates_per_epoch,
            optimizer=optimizer,
            seed=seed,
        )


def _broken(look: Look) -> str:
    """What is not finite, "" if everything is; the parameters are those of the update before."""
    parts = {"parameter": look.weight, "loss": look.loss, "gradient": look.gradient}
    return next((name for name, value in parts.items() if not math.isfinite(value)), "")


@contextlib.contextmanager
def untouched_random_states() -> Iterator[None]:
    """Whatever happens inside, Python's, NumPy's and torch's generators are as before at the end.

    >>> random.seed(0); first = random.random()
    >>> random.seed(0)
    >>> with untouched_random_states(): _ = random.random(), torch.manual_seed(1)
    >>> random.random() == first
    True
    """
    python, numpy, cpu = random.getstate(), np.random.get_state(), torch.get_rng_state()
    # Asking for the state would start CUDA where nobody uses it.
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    mps = torch.mps.get_rng_state() if torch.backends.mps.is_available() else None
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        torch.set_rng_state(cpu)
        if cuda:
            torch.cuda.set_rng_state_all(cuda)
        if mps is not None:
            torch.mps.set_rng_state(mps)


def sweep_failures(config: Config) -> AbstractContextManager[None]:
    """`named_failures` of a config's sweep."""
    too_large = SweepError(
        f"the sweep ran out of memory with train.batch_size = {config.train.batch_size}",
        hint="Try --set train.batch_size=16 --set train.accumulate=4: less memory, "
        "the same number of examples an update.",
    )
    return named_failures(config.model, where="in the sweep", too_large=too_large)


@contextlib.contextmanager
def named_failures(
    model: ModelConfig | None, *, where: str = "", too_large: SweepError | None = None
) -> Iterator[None]:
    """Memory that ran out and what a user's own model raises become errors that say what to do.

    model      None where it is no recipe's: what it raises comes through.
    where      the place to name when it raises.
    too_large  raised instead where memory ran out; None has that come through, or be the model's.
    """
    try:
        yield
    except DltuneError:
        raise
    except BaseException as error:
        let_signals_through(error)
        if too_large is not None and ran_out_of_memory(error):
            raise too_large from error
        if not isinstance(model, FactoryConfig):
            raise
        line = in_words(error, where).partition("\n")[0] + at(place_of_error(error))
        raise ModelError(f"the model of {model.factory!r} raised {line}") from error
