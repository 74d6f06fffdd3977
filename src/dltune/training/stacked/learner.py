"""The trials of a stack: their weights, optimizers, batches and random numbers."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch
from torch import nn

from dltune.data.device import DeviceData, Tensors, in_double
from dltune.recipe.schema import FactoryConfig
from dltune.training.arithmetic import arithmetic, threads_for, update_flops
from dltune.training.base_learner import BaseLearner
from dltune.training.history import Trial
from dltune.training.learner import check_batch_norm
from dltune.training.measure import Measured
from dltune.training.randomness import RandomStream
from dltune.training.rates import EpochRates
from dltune.training.seeds import derive_seed
from dltune.training.stacked.initial import initial_masks, initial_models
from dltune.training.stacked.losses import StackedLoss, build_stacked_loss
from dltune.training.stacked.measure import Alive, Tensored, measure_rows
from dltune.training.stacked.network import Network, StackedLayers
from dltune.training.stacked.optimizers import StackedOptimizer, by_parameter, by_row, stack_order
from dltune.training.stacked.parameters import BestRows, StackedParameters
from dltune.training.stacked.regularizers import Regularizers
from dltune.training.stacked.vmapped import VmappedNetwork, row_state, state_names
from dltune.training.state import TrainingState
from dltune.training.updates import update_slices


class StackedLearner(BaseLearner):
    """Trials of equal shapes in one forward and backward pass.

    trials  in any order; the rows are sorted by optimizer.
    data, folder  as for `training.learner.Learner`.

    A trial's initial weights, order of examples and dropout masks come from its own seed, as when
    it trains alone (`training.learner`). What a user's layers draw from torch's global numbers is
    drawn for all rows together, from a stream that the first trial's seed decides.
    """

    def __init__(self, trials: Sequence[Trial], data: DeviceData, *, folder: Path) -> None:
        order = stack_order([trial.config.optim for trial in trials])
        first = trials[order[0]].config  # what shapes are made of is the same in all of them
        self._config = first
        data = in_double(data) if first.train.precision == "float64" else data
        super().__init__([trials[row] for row in order], data)
        self._random = RandomStream(derive_seed(self.trials[0].seed, "stack"), data.device)
        with self._random.active():
            models = initial_models(self.trials, data, folder=folder)
            self._template = next(models)
            self.parameters = StackedParameters(
                itertools.chain([self._template], models),
                device=data.device,
                dtype=data.train.features.dtype,
            )
        self._network = self._build_network()
        self._best = BestRows(self.parameters)
        self._updates = update_slices(first.train, len(data.train))
        self._masks = initial_masks(self.trials, self._template, self.parameters.weights)
        self._optimizer = StackedOptimizer(
            [trial.config.optim for trial in self.trials], self.parameters.weights
        )
        self._forward = self._network.forward
        if first.train.compile:
            # NumPy's numbers are nothing that the compiler may trace.
            self._masks.mask = torch.compiler.disable(self._masks.mask)  # type: ignore[method-assign]
            self._forward = torch.compile(self._forward)
        self._take_rows()

    @classmethod
    def of(
        cls, states: Sequence[TrainingState], data: DeviceData, *, folder: Path
    ) -> StackedLearner:
        """The stack of trials that go on, each from where it stands."""
        stack = cls([state.trial for state in states], data, folder=folder)
        state_of = {state.trial.number: state for state in states}
        for row, trial in enumerate(stack.trials):
            stack._load(row, state_of[trial.number])
        return stack

    def _build_network(self) -> Network:
        template = self._template
        if isinstance(self._config.model, FactoryConfig):
            return VmappedNetwork(template)
        assert isinstance(template, nn.Sequential)
        check_batch_norm(template, self.batch)
        return StackedLayers(template, example_dims=len(self.data.inputs))

    def _take_rows(self) -> None:
        """What is made anew when the stack has shrunk."""
        configs = [trial.config for trial in self.trials]
        self._regularizers = Regularizers(
            [config.regularize for config in configs], self.parameters
        )
        self._loss = build_stacked_loss(configs, task=self.data.task)

    @property
    def parameter_count(self) -> int:
        """Trainable values of one trial."""
        return self.parameters.count

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Inside, random numbers are the stack's own, and threads as many as it is worth."""
        flops = update_flops(self.parameter_count, self.batch) * len(self.trials)
        with threads_for(flops), self._random.active():
            yield

    def _settings(self, rates: EpochRates) -> Sequence[tuple[torch.Tensor, torch.Tensor | None]]:
        # One transfer to the device an epoch.
        like = self.parameters.weights
        lr = torch.from_numpy(rates.lr).to(like.device, like.dtype, non_blocking=True)
        if rates.momentum is None:
            return [(row, None) for row in lr]
        momentum = torch.from_numpy(rates.momentum).to(like.device, like.dtype)
        return list(zip(lr, momentum, strict=True))

    def update_batches(self) -> Iterator[list[torch.Tensor]]:
        """The updates of one more epoch: each is the batches to accumulate, as indices (S, n)."""
        orders = torch.stack([order.permutation() for order in self._orders])
        if self.data.device.type == "cuda":
            orders = orders.pin_memory()  # else the device waits for every transfer
        orders = orders.to(self.data.device, non_blocking=True)
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

    def apply(self, lr: torch.Tensor, momentum: torch.Tensor | None = None) -> None:
        """One update of every row from the gradient matrix, after penalties and clipping.

        lr, momentum  (S,); see `StackedOptimizer.step`.
        """
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

    def measure_train(self) -> tuple[list[Measured], list[float | None]]:
        """See `BaseLearner`."""
        alive: Alive = []
        measured = self._measure(self._present, self._measured_train, self._loss, alive=alive)
        if not alive:
            return measured, [None] * len(measured)
        return measured, (1.0 - torch.cat(alive, dim=1).float().mean(dim=1)).tolist()

    def figures(self, split: Tensors) -> list[Measured]:
        """See `BaseLearner`."""
        return self._measure(self._present, split, self._loss)

    @property
    def _present(self) -> Tensored:
        return self.parameters.leaves, self.parameters.buffers

    def _measure(
        self, weights: Tensored, split: Tensors, loss: StackedLoss, *, alive: Alive | None = None
    ) -> list[Measured]:
        task, batch = self.data.task, self.batch
        return measure_rows(
            self._network, weights, split, loss=loss, batch=batch, task=task, alive=alive
        )

    def keep_best(self, rows: Sequence[int]) -> None:
        """See `BaseLearner`."""
        self._best.keep_present(rows)

    def _figures_of_best(self, rows: Sequence[int], split: Tensors) -> list[Measured]:
        weights, buffers = self._best.of(rows)
        loss = build_stacked_loss([self.trials[r].config for r in rows], task=self.data.task)
        return self._measure((self.parameters.views(weights), buffers), split, loss)

    def _states_of_best(self, rows: Sequence[int]) -> list[dict[str, torch.Tensor]]:
        weights, buffers = self._best.of(rows)
        return self._states(weights, buffers)

    def _states(
        self, weights: torch.Tensor, buffers: Mapping[str, torch.Tensor]
    ) -> list[dict[str, torch.Tensor]]:
        """The state dict, on the CPU, of every row of weights (k, P) and buffers (k, ...)."""
        views = self.parameters.views(weights.cpu())
        there = {name: buffer.cpu() for name, buffer in buffers.items()}
        return [row_state(self._template, views, there, row) for row in range(len(weights))]

    def take(self, rows: Sequence[int]) -> list[TrainingState]:
        """See `BaseLearner`."""
        index = torch.tensor(rows, device=self.data.device)
        buffers = {name: buffer[index] for name, buffer in self.parameters.buffers.items()}
        weights = self._states(self.parameters.weights[index], buffers)
        have_best = [row for row in rows if self._best.has(row)]
        best = dict(zip(have_best, self._states_of_best(have_best), strict=True))
        shared = self._random.state()
        return [
            TrainingState(
                trial=self.trials[row],
                epochs=self.epochs[row],
                weights=weights[at],
                optimizer=by_parameter(self._optimizer.state(row), self.parameters),
                streams={
                    "order": self._orders[row].state,
                    **self._masks.streams(row),
                    **shared,
                },
                best=best.get(row),
            )
            for at, row in enumerate(rows)
        ]

    def _load(self, row: int, state: TrainingState) -> None:
        """Let a row go on from a state, or begin as its seed says."""
        names = state_names(self._template)
        self.epochs[row] = state.epochs
        if state.weights is None:
            return
        self.parameters.write(row, {names[key]: one for key, one in state.weights.items()})
        if state.optimizer:
            self._optimizer.load(row, by_row(state.optimizer, self.parameters))
        if state.streams:
            self._orders[row].state = state.streams["order"]
            self._masks.load_streams(row, state.streams)
            if row == 0:
                self._random.load(state.streams)
        if state.best is not None:
            self._best.load(row, {names[key]: one for key, one in state.best.items()})

    def keep(self, rows: Sequence[int]) -> None:
        """Take all but these rows, which ascend, out of the stack.

        A compiled one keeps the shapes that it was compiled for until no more than half of its rows
        are left, so that S rows are compiled for some log2(S) sizes; the others rest meanwhile.
        """
        if self._config.train.compile and 2 * len(rows) > len(self.trials):
            self._rates.rest(set(range(len(self.trials))).difference(rows))
            return
        self.trials = [self.trials[row] for row in rows]
        self.epochs = [self.epochs[row] for row in rows]
        self._orders = [self._orders[row] for row in rows]
        index = torch.tensor(rows, device=self.data.device)
        self._best.keep(index)
        self.parameters.keep(index)
        self._optimizer.keep(index, self.parameters.weights)
        self._masks.keep(rows)
        self._rates.keep(rows)
        self._take_rows()
