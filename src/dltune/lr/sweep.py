"""The range sweep: a fresh model, one optimizer update a rate, from a low rate to a high one."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import nn

from dltune.data.device import DeviceData
from dltune.errors import DltuneError, ModelError, SweepError
from dltune.lr.blow_up import has_blown_up
from dltune.lr.curve import LrCurve, SweepEnd, exponential_rates
from dltune.recipe.schema import Config, FactoryConfig
from dltune.training.learner import Learner
from dltune.training.memory import ran_out_of_memory
from dltune.training.threads import threads_for


def sweep(
    config: Config,
    *,
    seed: int,
    data: DeviceData,
    folder: Path,
    low: float,
    high: float,
    steps: int,
    watch: Callable[[int], None] | None = None,
) -> LrCurve:
    """Train a fresh model while the learning rate rises exponentially; one update a rate.

    config     its model, optimizer, batch size, accumulation, penalties and clipping hold; its own
               learning rate, schedule and number of epochs do not.
    seed       decides weights, batches and dropout; the same seed gives the same curve.
    data       on the device to train on.
    folder     where relative references of the recipe are looked up.
    low, high  first and last rate, 0 < low < high.
    steps      updates, at least 20. A train split with fewer batches is gone through again, in a
               new order: see `LrCurve.epochs`.
    watch      called with the number of updates made so far.

    Ends early when a loss, gradient or parameter is not finite, or when the loss has blown up. The
    random states of Python, NumPy and torch are afterwards what they were before, also after an
    exception.

    Raises SweepError for an impossible range or if memory runs out, ModelError if the model does
    not fit the data, TrainingError if the loss does not fit the task.
    """
    rates = exponential_rates(low, high, steps)
    with untouched_random_states(), _named_failures(config):
        learner = Learner(config, seed=seed, data=data, folder=folder)
        run = _Run(learner, rates)
        with threads_for(learner.update_flops()), learner.training():
            while run.step():
                if watch is not None:
                    watch(run.updates)
    return LrCurve(
        rates=rates[: len(run.losses)],
        losses=tuple(run.losses),
        initial_loss=run.initial_loss,
        end=run.end,
        ended_by=run.ended_by,
        ended_at=rates[run.updates - 1] if run.updates else None,
        low=low,
        high=high,
        steps=steps,
        epochs=run.batches_seen / learner.updates_per_epoch,
        optimizer=config.optim.name,
        seed=seed,
    )


class _Run:
    """A sweep under way. One more batch than updates is needed: the last one only measures."""

    def __init__(self, learner: Learner, rates: tuple[float, ...]) -> None:
        self._learner = learner
        self._rates = rates
        self._batches = _endless(learner)
        self.initial_loss = float("nan")
        self.losses: list[float] = []
        self.updates = 0
        self.batches_seen = 0
        self.end = SweepEnd.RANGE
        self.ended_by = ""

    def step(self) -> bool:
        """Measure the last update on the next batch, then make the next one; False at the end."""
        loss, broken = self._look(next(self._batches))
        self.batches_seen += 1
        if self.batches_seen == 1:
            self.initial_loss = loss
        elif broken != "loss" and broken != "parameter":
            self.losses.append(loss)
        if broken:
            self.end, self.ended_by = SweepEnd.NON_FINITE, f"non-finite {broken}"
        elif has_blown_up([self.initial_loss, *self.losses]):
            self.end, self.ended_by = SweepEnd.DIVERGED, "loss above its start"
        elif self.updates < len(self._rates):
            self._learner.set_lr(self._rates[self.updates])
            self._learner.apply()
            self.updates += 1
            return True
        return False

    def _look(self, batches: list[torch.Tensor]) -> tuple[float, str]:
        """The loss on the batches, and what of it all is not finite ("" if everything is).

        The parameters are those that the last update left. A largest absolute value is finite if
        and only if all values are, and cannot overflow as a sum of squares can.
        """
        loss = self._learner.gradients(batches)
        parameters = self._learner.parameters
        gradients = [weight.grad for weight in parameters if weight.grad is not None]
        weights = [weight.detach() for weight in parameters]
        largest = [nn.utils.get_total_norm(v, float("inf")) for v in (weights, gradients)]
        figures = torch.stack([largest[0], loss, largest[1]]).tolist()  # one transfer
        names = ("parameter", "loss", "gradient")
        broken = [name for name, x in zip(names, figures, strict=True) if not np.isfinite(x)]
        return figures[1], broken[0] if broken else ""


def _endless(learner: Learner) -> Iterator[list[torch.Tensor]]:
    while True:
        yield from learner.update_batches().epoch()


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


@contextlib.contextmanager
def _named_failures(config: Config) -> Iterator[None]:
    """Memory that ran out and what a user's own model raises become errors that say what to do."""
    try:
        yield
    except DltuneError:
        raise
    except Exception as error:
        if ran_out_of_memory(error):
            raise SweepError(
                f"the sweep ran out of memory with train.batch_size = {config.train.batch_size}",
                hint="Try --set train.batch_size=16 --set train.accumulate=4: less memory, "
                "the same number of examples an update.",
            ) from error
        if not isinstance(config.model, FactoryConfig):
            raise
        first_line = str(error).partition("\n")[0]
        raise ModelError(
            f"the model of {config.model.factory!r} raised {type(error).__name__} "
            f"in the sweep: {first_line}"
        ) from error
