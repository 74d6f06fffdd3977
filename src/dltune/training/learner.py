"""One trial under training: its model, optimizer, random stream and batches."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
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
from dltune.training.arithmetic import arithmetic, threads_for, update_flops
from dltune.training.base_learner import BaseLearner
from dltune.training.history import Trial
from dltune.training.losses import build_loss
from dltune.training.measure import DeadUnits, Measured, measure_model
from dltune.training.optimizers import (
    FlatParameters,
    build_optimizer,
    load_slots,
    set_rate,
    slots_of,
)
from dltune.training.randomness import RandomStream
from dltune.training.rates import EpochRates
from dltune.training.regularizers import (
    add_penalty_gradients,
    apply_max_norm,
    clip_gradients,
    penalized_weights,
)
from dltune.training.seeds import derive_seed
from dltune.training.state import TrainingState, moved

# Up to here one vector for all parameters saves more calls than its copy of the gradients costs:
# 70 us are saved, and 300 000 values take 150 us to copy.
FLAT_VALUES = 100_000


class Learner(BaseLearner):
    """One trial under training, by torch.optim, for any module.

    config  every value fixed.
    seed    decides initial weights, data order and dropout, each with a stream of its own.
    data    on the device to train on.
    folder  where the recipe's relative references are looked up.

    Raises ModelError if the model does not fit the data, TrainingError if the loss does not fit
    the task.
    """

    def __init__(self, config: Config, *, seed: int, data: DeviceData, folder: Path) -> None:
        self.config = config
        data = in_double(data) if config.train.precision == "float64" else data
        super().__init__([Trial(number=0, config=config, seed=seed)], data)
        self._random = RandomStream(derive_seed(seed, "model"), data.device)
        with self._random.active():
            model = build_model(
                config.model, inputs=data.inputs, outputs=data.outputs, folder=folder
            )
        built_in = not isinstance(config.model, FactoryConfig)
        if built_in:
            check_batch_norm(model, self.batch)
            seed_dropout(model, dropout_seeds(seed, len(dropout_layers(model))))
        self.model: nn.Module = model.to(data.device, data.train.features.dtype)
        # Compiled or not, the weights are the module's.
        self._forward = _compiled(self.model) if config.train.compile else self.model
        self.parameters = [w for w in self.model.parameters() if w.requires_grad]
        self._penalized = penalized_weights(self.model)
        self._loss = build_loss(config, task=data.task)
        self._plain_loss = build_loss(config, task=data.task, smoothing=False)
        # A user's module may leave some parameters out of a pass: those stay separate tensors.
        is_small = self.parameter_count <= FLAT_VALUES
        self._flat = FlatParameters(self.parameters) if built_in and is_small else None
        self._updated = [self._flat.vector] if self._flat else self.parameters
        self._optimizer = build_optimizer(config.optim, self._updated, device=data.device)
        self._dead_units = DeadUnits(self.model)
        self._best: dict[str, Any] | None = None

    @classmethod
    def of(cls, state: TrainingState, data: DeviceData, *, folder: Path) -> Learner:
        """The learner of a trial that goes on from where it stands."""
        trial = state.trial
        learner = cls(trial.config, seed=trial.seed, data=data, folder=folder)
        learner.trials = [trial]
        learner._load(state)
        return learner

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """See `BaseLearner`."""
        with threads_for(update_flops(self.parameter_count, self.batch)), self._random.active():
            yield

    def own_randomness(self) -> AbstractContextManager[None]:
        """Inside, whatever draws random numbers draws from the trial's own stream."""
        return self._random.active()

    @contextlib.contextmanager
    def training(self) -> Iterator[None]:
        """Inside, the model is in train mode and torch draws from the trial's own random stream."""
        self.model.train()
        with self._random.active():
            yield

    def update_batches(self) -> Iterator[list[torch.Tensor]]:
        """The updates of one more epoch: each is the batches to accumulate, as indices (batch,)."""
        return self._orders[0].epoch()

    def _settings(self, rates: EpochRates) -> Sequence[tuple[float, float | None]]:
        lr = rates.lr[:, 0].tolist()
        momentum = [None] * len(lr) if rates.momentum is None else rates.momentum[:, 0].tolist()
        return list(zip(lr, momentum, strict=True))

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

    def apply(self, lr: float, momentum: float | None = None) -> None:
        """One optimizer update from the gradients, with penalties, clipping and max-norm.

        lr        the learning rate.
        momentum  the schedule's, or first beta; None where the optimizer's own holds.
        """
        set_rate(self._optimizer, lr, momentum)
        add_penalty_gradients(self._penalized, self.config.regularize)
        clip_gradients(self.parameters, self.config.regularize)
        if self._flat:
            self._flat.gather_gradients()
        self._optimizer.step()
        apply_max_norm(self._penalized, self.config.regularize)

    def _measured_apply(self, lr: float, momentum: float | None) -> tuple[list[float], list[float]]:
        before = [weight.detach().clone() for weight in self._updated]
        gradients = [weight.grad for weight in self.parameters if weight.grad is not None]
        grad_norm = nn.utils.get_total_norm(gradients)
        self.apply(lr, momentum)
        with torch.no_grad():
            changes = [w.detach() - old for w, old in zip(self._updated, before, strict=True)]
            ratio = nn.utils.get_total_norm(changes) / nn.utils.get_total_norm(before)
        norm_value, ratio_value = torch.stack([grad_norm, ratio]).tolist()
        return [norm_value], [ratio_value]

    def measure_train(self) -> tuple[list[Measured], list[float | None]]:
        """See `BaseLearner`."""
        with self._dead_units.watching():
            measured = self.figures(self._measured_train)
        return measured, [self._dead_units.share()]

    def measure(self, split: Tensors) -> Measured:
        """Loss (without penalties and label smoothing) and error on a split, in eval mode.

        A user's model may draw random numbers in eval mode too: they come from the trial's stream.
        """
        (measured,) = self.figures(split)
        return measured

    def figures(self, split: Tensors) -> list[Measured]:
        """See `BaseLearner`."""
        with self._random.active():
            measured = measure_model(
                self.model, split, loss=self._plain_loss, task=self.data.task, batch=self.batch
            )
        return [measured]

    def keep_best(self, rows: Sequence[int] = (0,)) -> None:
        """Remember the present weights as its best."""
        self._best = self.weights()

    def _figures_of_best(self, rows: Sequence[int], split: Tensors) -> list[Measured]:
        assert self._best is not None
        self.load(self._best)
        return self.figures(split)

    def _states_of_best(self, rows: Sequence[int]) -> list[dict[str, torch.Tensor]]:
        assert self._best is not None
        return [moved(self._best, "cpu")]

    def take(self, rows: Sequence[int] = (0,)) -> list[TrainingState]:
        """See `BaseLearner`."""
        streams = {"order": self._orders[0].state, **self._random.state()}
        for number, layer in enumerate(dropout_layers(self.model)):
            if layer.bits is not None:
                streams[f"dropout.{number}"] = layer.bits.state
        state = TrainingState(
            trial=self.trials[0],
            epochs=self.epochs[0],
            weights=moved(self.weights(), "cpu"),
            optimizer=slots_of(self._optimizer, self._updated, self._named()),
            streams=streams,
            best=None if self._best is None else moved(self._best, "cpu"),
        )
        return [state]

    def _load(self, state: TrainingState) -> None:
        """Go on from this state, if it has begun."""
        self.epochs = [state.epochs]
        if state.weights is None:
            return
        self.load(state.weights)
        load_slots(self._optimizer, self._updated, self._named(), state.optimizer)
        if state.streams:
            self._random.load(state.streams)
            self._orders[0].state = state.streams["order"]
        for number, layer in enumerate(dropout_layers(self.model)):
            if layer.bits is not None and f"dropout.{number}" in state.streams:
                layer.bits.state = state.streams[f"dropout.{number}"]
        if state.best is not None:
            self._best = moved(state.best, self.data.device, copy=True)

    def _named(self) -> dict[str, nn.Parameter]:
        return {name: w for name, w in self.model.named_parameters() if w.requires_grad}

    def keep(self, rows: Sequence[int]) -> None:
        """It has one row, which stays or goes with it."""

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

    def load(self, weights: Mapping[str, Any]) -> None:
        """Take back what `weights` gave."""
        self.model.load_state_dict(weights)

    @property
    def parameter_count(self) -> int:
        """Trainable values."""
        return sum(weight.numel() for weight in self.parameters)


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
