"""The range sweep of a user's own model, loss, batches and optimizer; nothing of them is changed.

What is trained are copies. What cannot be copied, the random states and the loader's generators, is
put back at the end, whatever happens in between.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from dltune.errors import ModelError, SweepError
from dltune.lr.curve import LrCurve, SweepEnd, exponential_rates
from dltune.lr.extend import DEFAULT_RANGES, SweepRange, sweep_where_needed
from dltune.lr.finder import DEFAULT_SEEDS, STEPS_PER_DECADE_OWN
from dltune.lr.own.batches import OwnBatches, moved, uses_of_a_weight
from dltune.lr.own.copy import untouched_buffers
from dltune.lr.own.optimizer import (
    optimizer_on,
    rate_ratios,
    recipe_name,
    set_rates,
)
from dltune.lr.own.training import OwnTraining, check_graph
from dltune.lr.steppers import Look
from dltune.lr.sweep import drive, named_failures, sweep_seeds, untouched_random_states
from dltune.training.arithmetic import SHARED_FLOPS, threads_for, update_flops
from dltune.training.randomness import seed_all
from dltune.training.seeds import derive_seed

RANGE_HINT = "Try low=1e-6, high=10, steps=100."


class OwnStepper:
    """A copy of a user's model and optimizer: see `dltune.lr.steppers.Stepper`.

    training  how it is trained.
    batches   of the user; they are drawn anew, in the order of the seed.
    seed      of the initial weights where a function builds them, of batches and of dropout.

    To be made and used where random states may change.

    Raises what `OwnTraining.copy` and `optimizer_on` raise.
    """

    def __init__(self, training: OwnTraining, batches: OwnBatches, *, seed: int) -> None:
        self._training, self._batches, self.seed = training, batches, seed
        _seed(derive_seed(seed, "model"), _device_of(training))
        self._own = training.copy()
        self.optimizer = optimizer_on(self._own, training.optimizer)
        self._ratios = rate_ratios(self.optimizer)
        groups = self.optimizer.param_groups
        self._updated = [w for group in groups for w in group["params"] if w.requires_grad]
        self._device = self._own.parameters[0].device
        self._stream = batches.endless(derive_seed(seed, "order"))
        self._ahead: list[Any] = []  # drawn, not yet looked at
        self._last: list[Any] = []
        self.updates_per_epoch = max(1, (batches.per_pass or 1) // training.accumulate)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """See `Stepper`."""
        _seed(derive_seed(self.seed, "sweep"), self._device)
        with contextlib.closing(self._stream):
            first = next(self._stream)
            self._ahead = [first]
            with threads_for(self._update_flops(first)):
                yield

    def look(self) -> list[Look]:
        """See `Stepper`."""
        is_first = not self._last
        missing = self._training.accumulate - len(self._ahead)
        self._last = [*self._ahead, *(next(self._stream) for _ in range(missing))]
        self._ahead = []
        return [self._gradients(is_first=is_first)]

    def update(self, rate: float) -> None:
        """See `Stepper`; the group with the largest learning rate gets this one."""
        if self._training.clip_value is not None:
            nn.utils.clip_grad_value_(self._updated, self._training.clip_value)
        if self._training.clip_norm is not None:
            nn.utils.clip_grad_norm_(self._updated, self._training.clip_norm)
        set_rates(self.optimizer, [rate * ratio for ratio in self._ratios])
        self.optimizer.step()

    def passes(self) -> float:
        """How often the sweep has gone through the data: see `OwnBatches.passes`."""
        return self._batches.passes()

    def last_look_at_start(self) -> Look:
        """What the last look's batches come to with the weights that the sweep started with."""
        fresh = OwnStepper(self._training, self._batches, seed=self.seed)
        fresh._last = self._last
        return fresh._gradients(is_first=False)

    def _update_flops(self, batch: Any) -> int:
        uses = uses_of_a_weight(batch)
        weights = sum(weight.numel() for weight in self._own.parameters)
        return SHARED_FLOPS if uses is None else update_flops(weights, uses)

    def _gradients(self, *, is_first: bool) -> Look:
        for weight in self._own.parameters:
            weight.grad = None
        losses = []
        for batch in self._last:
            loss = self._training.loss_on(self._own, moved(batch, self._device))
            if is_first:
                check_graph(loss, self._own.parameters)
            (loss / len(self._last)).backward()
            losses.append(loss.detach())
        if is_first and all(weight.grad is None for weight in self._updated):
            raise ModelError(
                "the loss depends on none of the parameters that the optimizer updates",
                hint="Compute it with the model that `forward` is given, and without detach().",
            )
        return _look(torch.stack(losses).mean(), self._updated)


@dataclasses.dataclass(frozen=True, kw_only=True)
class OwnSweeps:
    """What `sweep_own` measured.

    curves  one a seed.
    notes   how the sweep was changed, as sentences.
    """

    curves: tuple[LrCurve, ...]
    notes: tuple[str, ...]


def sweep_own(
    training: OwnTraining,
    data: Any,
    *,
    batch_size: int | None = None,
    seeds: int = DEFAULT_SEEDS,
    seed: int = 0,
    low: float | None = None,
    high: float | None = None,
    steps: int | None = None,
) -> OwnSweeps:
    """Sweep copies of a user's model, one after another, each with random numbers of its own.

    data        see `OwnBatches`; where there are fewer batches than a sweep takes, they are gone
                through again.
    batch_size  of a pair of tensors, 64 by default.
    seeds       sweeps, at least 1.
    seed        from which theirs derive; the same gives the same curves.
    low, high   the range; where not given, that of the optimizer, extended as far as it must be.
    steps       updates over the range, at least 20; 16 a decade by default, four times as many
                where the model hardly learns anything.

    Where a batch is to blame for a loss that is not finite, since it is not with the initial
    weights either, the seed's curve is empty, as after a broken first batch. Whatever happens,
    nothing of the caller's is different afterwards: weights, buffers, gradients, modes, optimizer,
    random states, and what comes next from the loader.

    Raises SweepError, ModelError, DataError or TrainingError for what cannot be swept; what the
    user's own code raises comes through.
    """
    batches = OwnBatches(data, batch_size=batch_size)
    if seeds < 1:
        raise SweepError(f"seeds = {seeds}: at least 1 sweep is needed", hint="Try seeds=5.")
    own_seeds = sweep_seeds(seed, seeds)
    too_large = SweepError(
        "the sweep ran out of memory: it trains a copy of the model next to the model",
        hint="Try smaller batches with accumulate=4: less memory, as many examples an update.",
    )
    with _nothing_changed(training, batches), named_failures(None, too_large=too_large):
        name = recipe_name(OwnStepper(training, batches, seed=own_seeds[0]).optimizer)
        start = _range(name, low=low, high=high, steps=steps)
        curves, notes = sweep_where_needed(
            lambda low, high, steps: [
                _swept(OwnStepper(training, batches, seed=one), name, low, high, steps)
                for one in own_seeds
            ],
            start,
        )
    return OwnSweeps(curves=tuple(curves), notes=tuple(notes))


def _range(
    optimizer: str, *, low: float | None, high: float | None, steps: int | None
) -> SweepRange:
    """What to begin with; optimizers of a user's own count as those that divide by the gradient."""
    known = optimizer if optimizer in DEFAULT_RANGES else "adam"
    try:
        return SweepRange.of(
            known, per_decade=STEPS_PER_DECADE_OWN, low=low, high=high, steps=steps
        )
    except SweepError as error:  # its hint is in words of the command line
        raise SweepError(error.found, hint=RANGE_HINT) from None


def _swept(stepper: OwnStepper, optimizer: str, low: float, high: float, steps: int) -> LrCurve:
    (row,) = drive(stepper, exponential_rates(low, high, steps), rows=1)
    curve = row.curve(low=low, high=high, optimizer=optimizer, seed=stepper.seed)
    curve = dataclasses.replace(curve, epochs=stepper.passes())
    if curve.end is not SweepEnd.NON_FINITE or curve.ended_at is None:
        return curve
    start = stepper.last_look_at_start()
    if math.isfinite(start.loss) and math.isfinite(start.gradient):
        return curve
    broken = "gradient" if math.isfinite(start.loss) else "loss"
    return dataclasses.replace(
        curve,
        rates=(),
        losses=(),
        initial_loss=start.loss,
        ended_by=f"non-finite {broken}",
        ended_at=None,
    )


@contextlib.contextmanager
def _nothing_changed(training: OwnTraining, batches: OwnBatches) -> Iterator[None]:
    """Inside, gradients are on and random numbers may be drawn; afterwards all is as before."""
    is_built = not isinstance(training.model, nn.Module)
    if _device_of(training).type == "cuda" or (is_built and torch.cuda.is_available()):
        torch.cuda.init()  # else its random state would not be among those that are put back
    with (
        untouched_random_states(),
        batches.untouched(),
        untouched_buffers(training.model),
        torch.inference_mode(False),
        torch.enable_grad(),
        torch.autograd.set_detect_anomaly(False),  # it would raise where a sweep is to end
    ):
        yield


def _device_of(training: OwnTraining) -> torch.device:
    if training.device is not None:
        return training.device
    if isinstance(training.model, nn.Module):
        return next((p.device for p in training.model.parameters()), torch.device("cpu"))
    return torch.get_default_device()


def _seed(seed: int, device: torch.device) -> None:
    seed_all(seed, device)
    if device.type == "cuda":
        torch.cuda.manual_seed_all(seed)  # the model may be on another than the current one


def _look(loss: torch.Tensor, parameters: list[nn.Parameter]) -> Look:
    """A look with the loss in no less than its own precision, whatever the model's is."""
    gradients = [weight.grad for weight in parameters if weight.grad is not None]
    dense = [g.coalesce().values() if g.is_sparse else g for g in gradients]
    weights = [weight.detach() for weight in parameters]
    largest = [nn.utils.get_total_norm(v, float("inf")) for v in (weights, dense)]
    kind = torch.promote_types(torch.float32, loss.dtype)
    for one in largest:
        kind = torch.promote_types(kind, one.dtype)
    return Look(*torch.stack([one.to(loss.device, kind) for one in (loss, *largest)]).tolist())
