"""The living trials of a stack: their weights, optimizers, batches and random numbers."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from pathlib import Path

import torch
from torch import nn

from dltune.data.device import DeviceData, Tensors, in_double
from dltune.models.build import build_model
from dltune.models.dropout import dropout_layers
from dltune.recipe.schema import FactoryConfig
from dltune.training.arithmetic import arithmetic, threads_for, update_flops
from dltune.training.batches import BatchOrder
from dltune.training.history import Trial
from dltune.training.learner import (
    CURVE_TRAIN_EXAMPLES,
    check_batch_norm,
    dropout_seeds,
    train_sample,
)
from dltune.training.randomness import RandomStream, seed_all
from dltune.training.seeds import derive_seed
from dltune.training.stacked.dropout import DropoutMasks
from dltune.training.stacked.losses import StackedLoss, build_stacked_loss
from dltune.training.stacked.measure import StackMeasured, measure_stack
from dltune.training.stacked.network import Network, StackedLayers
from dltune.training.stacked.optimizers import StackedOptimizer, stack_order
from dltune.training.stacked.parameters import StackedParameters
from dltune.training.stacked.rates import Rates, rows_of
from dltune.training.stacked.regularizers import Regularizers
from dltune.training.stacked.vmapped import VmappedNetwork, row_state
from dltune.training.updates import batch_examples, update_slices


@dataclasses.dataclass(frozen=True, kw_only=True)
class StackUpdate:
    """What an epoch's last update looked like, by row: see `EpochRecord`."""

    lr: list[float]
    grad_norm: list[float]
    update_ratio: list[float]


class StackedLearner:
    """Everything of a stack that changes while it trains.

    trials  of equal shapes; `trials` holds the living ones in the order of their rows.
    data    on the device to train on.
    folder  where relative references of the recipe are looked up.

    A trial's initial weights, order of examples and dropout masks come from its own seed, as when
    it trains alone (`training.learner`). What a user's layers draw from torch's global numbers is
    drawn for all rows together, from a stream that the first trial's seed decides.
    """

    def __init__(self, trials: Sequence[Trial], data: DeviceData, *, folder: Path) -> None:
        order = stack_order([trial.config.optim for trial in trials])
        self.trials = [trials[row] for row in order]
        first = self.trials[0].config  # what shapes are made of is the same in all of them
        self._config = first
        self._configs = {trial.number: trial.config for trial in trials}
        self.data = in_double(data) if first.train.precision == "float64" else data
        self._random = RandomStream(derive_seed(self.trials[0].seed, "stack"), data.device)
        with self._random.active():
            modules = [self._build(trial, folder) for trial in self.trials]
        self._template = modules[0]
        self._is_users = isinstance(first.model, FactoryConfig)
        if not self._is_users:
            check_batch_norm(modules[0], batch_examples(first.train, len(data.train)))
        self.parameters = StackedParameters(modules)
        self.parameter_count = self.parameters.count
        self._network = self._build_network(modules[0])
        self._orders = [
            BatchOrder(
                trial.config.train,
                len(data.train),
                seed=derive_seed(trial.seed, "order"),
                device=data.device,
            )
            for trial in self.trials
        ]
        self._updates = update_slices(first.train, len(data.train))
        self.updates_per_epoch = len(self._updates)
        self._measured_train = train_sample(self.data, CURVE_TRAIN_EXAMPLES)
        self._masks = self._build_masks(modules)
        self._optimizer = StackedOptimizer(
            [trial.config.optim for trial in self.trials], self.parameters.weights
        )
        self._rates = Rates(self.trials, updates_per_epoch=self.updates_per_epoch)
        self._forward = self._network.forward
        if first.train.compile:
            # NumPy's numbers are nothing that the compiler may trace.
            self._masks.mask = torch.compiler.disable(self._masks.mask)  # type: ignore[method-assign]
            self._forward = torch.compile(self._forward)
        self._epochs = 0
        self._take_rows()

    def _build(self, trial: Trial, folder: Path) -> nn.Module:
        data = self.data
        seed_all(derive_seed(trial.seed, "model"), data.device)
        model = build_model(
            trial.config.model, inputs=data.inputs, outputs=data.outputs, folder=folder
        )
        return model.to(data.device, data.train.features.dtype)

    def _build_network(self, module: nn.Module) -> Network:
        if self._is_users:
            return VmappedNetwork(module)
        assert isinstance(module, nn.Sequential)
        return StackedLayers(module, example_dims=len(self.data.inputs))

    def _build_masks(self, modules: Sequence[nn.Module]) -> DropoutMasks:
        layers = [dropout_layers(module) for module in modules]  # by row
        seeds = [dropout_seeds(trial.seed, len(layers[0])) for trial in self.trials]
        return DropoutMasks(
            [[layer.p for layer in one] for one in zip(*layers, strict=True)],
            [list(one) for one in zip(*seeds, strict=True)],
            self.parameters.weights,
        )

    def _take_rows(self) -> None:
        """What is made anew when the stack has shrunk."""
        configs = [trial.config for trial in self.trials]
        self._regularizers = Regularizers(
            [config.regularize for config in configs], self.parameters
        )
        self._loss = build_stacked_loss(configs, task=self.data.task)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Inside, random numbers are the stack's own, and threads as many as it is worth."""
        batch = batch_examples(self._config.train, len(self.data.train))
        flops = update_flops(self.parameter_count, batch) * len(self.trials)
        with threads_for(flops), self._random.active():
            yield

    def run_epoch(self, interrupted: Callable[[], object] = bool) -> StackUpdate | None:
        """As `training.learner.Learner.run_epoch`, each row at its schedule's rates."""
        with contextlib.closing(self.epoch_updates()) as updates:
            return next((one for one in updates if one is not None or interrupted()), None)

    def epoch_updates(self) -> Generator[StackUpdate | None, None, None]:
        """The updates of one epoch, each done when it is asked for; the last one is described."""
        weights, done = self.parameters.weights, self._epochs * len(self._updates)
        rates, momenta = self._rates.epoch(done), self._rates.momenta(done)
        rate_rows = rows_of(rates, weights)  # (updates, S)
        momentum_rows = None if momenta is None else rows_of(momenta, weights)
        self._epochs += 1
        last = len(self._updates) - 1
        for number, batches in enumerate(self.update_batches()):
            self.gradients(batches)
            momentum = None if momentum_rows is None else momentum_rows[number]
            if number < last:
                self.apply(rate_rows[number], momentum)
                yield None
            else:
                grad_norm, ratio = self._measured_apply(rate_rows[number], momentum)
                yield StackUpdate(lr=rates[-1], grad_norm=grad_norm, update_ratio=ratio)

    def update_batches(self) -> Iterator[list[torch.Tensor]]:
        """The updates of one more epoch: each is the batches to accumulate, as indices (S, n)."""
        orders = torch.stack([order.permutation() for order in self._orders])
        orders = orders.to(self.data.device)
        self._masks.start_epoch([b.stop - b.start for parts in self._updates for b in parts])
        for parts in self._updates:
            yield [orders[:, part] for part in parts]

    def gradients(self, batches: Sequence[torch.Tensor]) -> torch.Tensor:
        """Fill the gradient matrix; each row's mean loss over the examples (S,), detached.

        batches  (S, n) of indices into the train split; each counts by its examples.
        """
        parameters, leaves = self.parameters, list(self.parameters.leaves.values())
        examples = sum(indices.shape[1] for indices in batches)
        total: torch.Tensor | None = None
        for number, indices in enumerate(batches):
            inputs, targets = self._examples(indices)
            with arithmetic(self.data.device, self._config.train.precision):
                outputs = self._forward(
                    parameters.leaves, parameters.buffers, inputs, dropout=self._masks
                )
            losses = self._loss(outputs.to(inputs.dtype), targets)  # (S,)
            if len(batches) > 1:
                losses = losses * (indices.shape[1] / examples)
            # The sum has the gradient of every row's own loss: no row knows of another.
            gradients = torch.autograd.grad(losses.sum(), leaves)
            if number == 0:
                parameters.gather(gradients)
            else:
                parameters.add(gradients)
            total = losses.detach() if total is None else total + losses.detach()
        assert total is not None
        return total

    def _examples(self, indices: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Inputs (S, n, *shape) and targets (S, n), or (S, K, n) for regression, of the batches."""
        train = self.data.train
        inputs = train.features.index_select(0, indices.reshape(-1)).unflatten(0, indices.shape)
        targets = train.targets[indices]
        return inputs, targets if self.data.task == "classification" else targets.transpose(1, 2)

    def apply(self, lr: torch.Tensor, momentum: torch.Tensor | None) -> None:
        """One update of every row from the gradient matrix, after penalties and clipping."""
        self._regularizers.before_update()
        self._optimizer.step(self.parameters.gradient, lr, momentum)
        self._regularizers.after_update()

    def _measured_apply(
        self, lr: torch.Tensor, momentum: torch.Tensor | None
    ) -> tuple[list[float], list[float]]:
        """`apply`, with each row's norm of the gradient before it and ||change|| / ||weights||."""
        before = self.parameters.weights.clone()
        grad_norm = self.parameters.gradient.norm(dim=1)
        self.apply(lr, momentum)
        ratio = (self.parameters.weights - before).norm(dim=1) / before.norm(dim=1)
        norms, ratios = torch.stack([grad_norm, ratio]).tolist()
        return norms, ratios

    def measure_train(self) -> StackMeasured:
        """Loss and error on the train split in eval mode, and the shares of dead units."""
        parameters = self.parameters
        return self._measure(
            parameters.leaves, parameters.buffers, self._measured_train, self._loss, watches=True
        )

    def measure(self, split: Tensors) -> StackMeasured:
        """Loss (without penalties and label smoothing) and error of each row on a split."""
        return self._measure(self.parameters.leaves, self.parameters.buffers, split, self._loss)

    def measure_with(
        self,
        weights: torch.Tensor,
        buffers: dict[str, torch.Tensor],
        split: Tensors,
        trials: Collection[int],
    ) -> StackMeasured:
        """The same with other weights (k, P) and buffers (k, ...): those of these trials."""
        configs = [self._configs[number] for number in trials]
        loss = build_stacked_loss(configs, task=self.data.task)
        return self._measure(self.parameters.views(weights), buffers, split, loss)

    def _measure(
        self,
        parameters: dict[str, torch.Tensor],
        buffers: dict[str, torch.Tensor],
        split: Tensors,
        loss: StackedLoss,
        *,
        watches: bool = False,
    ) -> StackMeasured:
        return measure_stack(
            self._network,
            parameters,
            buffers,
            split,
            loss=loss.plain,
            task=self.data.task,
            watches=watches,
        )

    def rows(self, trials: Collection[int]) -> list[int]:
        """The rows of living trials, by number."""
        row_of = {trial.number: row for row, trial in enumerate(self.trials)}
        return [row_of[number] for number in trials]

    def copy(self, rows: Sequence[int]) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Copies of the weights (k, P) and buffers (k, ...) of rows."""
        index = torch.tensor(rows, device=self.data.device)
        buffers = {name: buffer[index] for name, buffer in self.parameters.buffers.items()}
        return self.parameters.weights[index], buffers

    def drop(self, trials: Collection[int]) -> None:
        """Take trials out of the stack; the others keep their order."""
        gone = set(trials)
        rows = [row for row, trial in enumerate(self.trials) if trial.number not in gone]
        self.trials = [self.trials[row] for row in rows]
        if not rows:
            return
        self._orders = [self._orders[row] for row in rows]
        index = torch.tensor(rows, device=self.data.device)
        self.parameters.keep(index)
        self._optimizer.keep(index, self.parameters.weights)
        self._masks.keep(rows)
        self._rates.keep(rows)
        self._take_rows()

    def states(
        self, weights: torch.Tensor, buffers: dict[str, torch.Tensor]
    ) -> list[dict[str, torch.Tensor]]:
        """The state dict, on the CPU, of every row of weights (k, P) and buffers (k, ...)."""
        views = self.parameters.views(weights.cpu())
        there = {name: buffer.cpu() for name, buffer in buffers.items()}
        return [row_state(self._template, views, there, row) for row in range(len(weights))]
