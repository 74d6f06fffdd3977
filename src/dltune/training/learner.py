"""One trial under training: its model, optimizer, random stream and batches."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from dltune.data.device import DeviceData, Tensors, in_double
from dltune.errors import ModelError
from dltune.models.build import build_model
from dltune.models.dropout import dropout_layers, seed_dropout
from dltune.recipe.schema import Config, FactoryConfig
from dltune.training.arithmetic import arithmetic, update_flops
from dltune.training.batches import BatchOrder
from dltune.training.losses import build_loss
from dltune.training.measure import DeadUnits, Measured, measure
from dltune.training.optimizers import FlatParameters, build_optimizer, set_rate
from dltune.training.randomness import RandomStream
from dltune.training.regularizers import (
    add_penalty_gradients,
    apply_max_norm,
    clip_gradients,
    penalized_weights,
)
from dltune.training.schedules import lr_factor, momentum_at
from dltune.training.seeds import derive_seed
from dltune.training.updates import batch_examples, updates_per_epoch

# A finished trial's train loss and error are measured on at most this many examples (or as many as
# dev has): their standard error is then at most 0.5 / sqrt(20 000) = 0.35 points, far below what a
# diagnosis asks for.
MEASURED_TRAIN_EXAMPLES = 20_000

# After every epoch as many as dev has will do, as the curves of both are then as smooth; and so
# many where dev is smaller. All of them would take as long as half of the updates of a small model.
CURVE_TRAIN_EXAMPLES = 256


# Up to here one vector for all parameters saves more calls than its copy of the gradients costs:
# 70 us are saved, and 300 000 values take 150 us to copy.
FLAT_VALUES = 100_000


@dataclasses.dataclass(frozen=True, kw_only=True)
class Update:
    """What an epoch's last optimizer update looked like: see `EpochRecord`."""

    lr: float
    grad_norm: float
    update_ratio: float


class Learner:
    """Everything of one trial that changes while it trains.

    config  every value fixed.
    seed    decides initial weights, data order and dropout, each with a stream of its own.
    data    on the device to train on.
    folder  where the recipe's relative references are looked up.

    Raises ModelError if the model does not fit the data, TrainingError if the loss does not fit
    the task.
    """

    def __init__(self, config: Config, *, seed: int, data: DeviceData, folder: Path) -> None:
        self.config = config
        self.data = data = in_double(data) if config.train.precision == "float64" else data
        self._random = RandomStream(derive_seed(seed, "model"), data.device)
        with self._random.active():
            model = build_model(
                config.model, inputs=data.inputs, outputs=data.outputs, folder=folder
            )
        built_in = not isinstance(config.model, FactoryConfig)
        if built_in:
            check_batch_norm(model, batch_examples(config.train, len(data.train)))
            seed_dropout(model, dropout_seeds(seed, len(dropout_layers(model))))
        self.model: nn.Module = model.to(data.device, data.train.features.dtype)
        # Compiled or not, the weights are the module's.
        self._forward = _compiled(self.model) if config.train.compile else self.model
        self.parameters = [w for w in self.model.parameters() if w.requires_grad]
        self._penalized = penalized_weights(self.model)
        self._loss = build_loss(config, task=data.task)
        self._plain_loss = build_loss(config, task=data.task, smoothing=False)
        # A user's module may leave some parameters out of a pass: those stay separate tensors.
        is_small = self.parameter_count() <= FLAT_VALUES
        self._flat = FlatParameters(self.parameters) if built_in and is_small else None
        self._updated = [self._flat.vector] if self._flat else self.parameters
        self._optimizer = build_optimizer(config.optim, self._updated, device=data.device)
        self._order = BatchOrder(
            config.train, len(data.train), seed=derive_seed(seed, "order"), device=data.device
        )
        self._measured_train = train_sample(data, CURVE_TRAIN_EXAMPLES)
        self._dead_units = DeadUnits(self.model)
        self.updates_per_epoch = updates_per_epoch(config.train, len(data.train))
        self.updates = self.updates_per_epoch * config.train.epochs
        self._done = 0  # updates

    def run_epoch(self, interrupted: Callable[[], object] = bool) -> Update | None:
        """Train on every batch of one epoch at the schedule's rates; describes its last update.

        interrupted  asked after every update but the last; where it says so, None comes back.
        """
        with contextlib.closing(self.epoch_updates()) as updates:
            return next((one for one in updates if one is not None or interrupted()), None)

    def epoch_updates(self) -> Generator[Update | None, None, None]:
        """The updates of one epoch, each done when it is asked for; the last one is described."""
        last = self.updates_per_epoch - 1
        with self.training():
            for number, batches in enumerate(self._order.epoch()):
                lr, momentum = self._rate(self._done)
                set_rate(self._optimizer, lr, momentum)
                self.gradients(batches)
                self._done += 1
                if number < last:
                    self.apply()
                    yield None
                else:
                    grad_norm, ratio = self._measured_apply()
                    yield Update(lr=lr, grad_norm=grad_norm, update_ratio=ratio)

    def own_randomness(self) -> AbstractContextManager[None]:
        """Inside, whatever draws random numbers draws from the trial's own stream."""
        return self._random.active()

    @contextlib.contextmanager
    def training(self) -> Iterator[None]:
        """Inside, the model is in train mode and torch draws from the trial's own random stream."""
        self.model.train()
        with self._random.active():
            yield

    def gradients(self, batches: Sequence[torch.Tensor]) -> torch.Tensor:
        """Gradients of the mean loss over the examples, in `.grad`; the mean loss, detached.

        batches  index tensors (batch,) into the train split; each counts by its examples, so that
                 accumulated batches of unequal size give the gradient of one large batch.
        """
        for weight in self.parameters:  # zero_grad, without the profiler's hooks around it
            weight.grad = None
        train, losses = self.data.train, []
        examples = sum(len(indices) for indices in batches)
        for indices in batches:
            with arithmetic(self.data.device, self.config.train.precision):
                outputs = self._forward(train.features.index_select(0, indices))
            outputs = outputs.to(train.features.dtype)  # from bfloat16
            loss = self._loss(outputs, train.targets.index_select(0, indices))
            if len(batches) > 1:
                loss = loss * (len(indices) / examples)
            loss.backward()
            losses.append(loss.detach())
        return losses[0] if len(losses) == 1 else torch.stack(losses).sum()

    def apply(self) -> None:
        """One optimizer update from the gradients, with penalties, clipping and max-norm."""
        add_penalty_gradients(self._penalized, self.config.regularize)
        clip_gradients(self.parameters, self.config.regularize)
        if self._flat:
            self._flat.gather_gradients()
        self._optimizer.step()
        apply_max_norm(self._penalized, self.config.regularize)

    def set_lr(self, lr: float) -> None:
        """Overrule the schedule until the next `run_epoch`."""
        set_rate(self._optimizer, lr)

    def update_batches(self) -> BatchOrder:
        """The trial's own order of batches; asking it for an epoch advances it."""
        return self._order

    def measure_train(self) -> tuple[Measured, float | None]:
        """Loss and error on the train split in eval mode, and the share of dead rectifier units."""
        with self._dead_units.watching():
            measured = self.measure(self._measured_train)
        return measured, self._dead_units.share()

    def measure_final_train(self) -> Measured:
        """Loss and error on the train split with the weights as they are, more exactly."""
        return self.measure(train_sample(self.data, MEASURED_TRAIN_EXAMPLES))

    def measure(self, split: Tensors) -> Measured:
        """Loss (without penalties and label smoothing) and error on a split, in eval mode.

        A user's model may draw random numbers in eval mode too: they come from the trial's stream.
        """
        with self._random.active():
            return measure(self.model, split, loss=self._plain_loss, task=self.data.task)

    def weights(self) -> dict[str, torch.Tensor]:
        """A copy of all parameters and buffers; names that share a tensor share its copy.

        What a user's module adds to its state (get_extra_state) need not be a tensor.
        """
        copies: dict[int, Any] = {}
        state = self.model.state_dict(keep_vars=True)  # else each name has a tensor of its own
        for value in state.values():
            if id(value) not in copies:
                is_tensor = torch.is_tensor(value)
                copies[id(value)] = value.detach().clone() if is_tensor else copy.deepcopy(value)
        return {name: copies[id(value)] for name, value in state.items()}

    def load(self, weights: dict[str, torch.Tensor]) -> None:
        """Take back what `weights` gave."""
        self.model.load_state_dict(weights)

    def parameter_count(self) -> int:
        """Trainable values."""
        return sum(weight.numel() for weight in self.parameters)

    def update_flops(self) -> int:
        """What one batch costs, roughly: see `arithmetic`."""
        batch = batch_examples(self.config.train, len(self.data.train))
        return update_flops(self.parameter_count(), batch)

    def _rate(self, update: int) -> tuple[float, float | None]:
        schedule = self.config.schedule
        factor = lr_factor(
            schedule, update, updates=self.updates, updates_per_epoch=self.updates_per_epoch
        )
        return self.config.optim.lr * factor, momentum_at(schedule, update, updates=self.updates)

    def _measured_apply(self) -> tuple[float, float]:
        """`apply`, with the gradient's norm before it and ||change|| / ||weights|| of it."""
        before = [weight.detach().clone() for weight in self._updated]
        gradients = [weight.grad for weight in self.parameters if weight.grad is not None]
        grad_norm = nn.utils.get_total_norm(gradients)
        self.apply()
        with torch.no_grad():
            changes = [w.detach() - old for w, old in zip(self._updated, before, strict=True)]
            ratio = nn.utils.get_total_norm(changes) / nn.utils.get_total_norm(before)
        norm_value, ratio_value = torch.stack([grad_norm, ratio]).tolist()
        return norm_value, ratio_value


def _compiled(model: nn.Module) -> Callable[[torch.Tensor], torch.Tensor]:
    for layer in dropout_layers(model):
        if layer.bits is not None:  # NumPy's numbers are nothing that the compiler may trace
            layer.bits.draw = torch.compiler.disable(layer.bits.draw)  # type: ignore[method-assign]
    return torch.compile(model)


def check_batch_norm(model: nn.Module, batch: int) -> None:
    """Raise ModelError if a model with batch norm would get batches of one example."""
    has_norm = any(isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d) for m in model.modules())
    if has_norm and batch == 1:
        raise ModelError(
            "model.batch_norm = true, but a batch has one example (train.batch_size): batch norm "
            "divides by the spread of a batch",
            hint="Try --set train.batch_size=32, or --set model.batch_norm=false.",
        )


def dropout_seeds(seed: int, layers: int) -> list[int]:
    """The seeds of the dropout layers of the trial with this seed, in the order of the layers."""
    return [derive_seed(seed, "dropout", layer) for layer in range(layers)]


def train_sample(data: DeviceData, examples: int) -> Tensors:
    """The examples of the train split that train loss and error are measured on.

    examples  so many, or as many as dev has if that is more. They are drawn at random, the same
              for all trials, which are thus compared on the same examples.
    """
    split, size = data.train, _sample_size(data, examples)
    if len(split) == size:
        return split
    generator = torch.Generator().manual_seed(derive_seed("measured"))
    chosen = torch.randperm(len(split), generator=generator)[:size].to(split.features.device)
    return Tensors(
        features=split.features.index_select(0, chosen),
        targets=split.targets.index_select(0, chosen),
    )


def measured_examples(data: DeviceData) -> dict[str, int]:
    """How many examples are behind each error of a trial: see `TrialRecord.examples`."""
    splits = {"dev": data.dev, "test": data.test, "train_dev": data.train_dev}
    return {
        "train": _sample_size(data, MEASURED_TRAIN_EXAMPLES),
        "curve": _sample_size(data, CURVE_TRAIN_EXAMPLES),
        **{name: len(split) for name, split in splits.items() if split is not None},
    }


def _sample_size(data: DeviceData, examples: int) -> int:
    return min(len(data.train), max(examples, len(data.dev)))
