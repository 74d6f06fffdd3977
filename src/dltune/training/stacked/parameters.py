"""The weights of a stack: one matrix, a row a trial, and views of it for every layer."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import nn

# Values to which the start of every parameter is aligned: 64 bytes of float32, a line of the cache.
# The order of the additions in a matrix product depends on where its operands lie, and with it the
# last bits: without this they would nearly always depend on a trial's position in the stack. (They
# still may where the last batch of an epoch is no multiple of 16: activations are not aligned.)
ALIGNED_VALUES = 16


class StackedParameters:
    """The trainable parameters of S models of equal shapes, and their other tensors.

    modules  one a trial, freshly initialised, all on one device; may be one module whose weights
             change from one time that it is given to the next.
    device   to train on: the matrix goes there in one piece, and so does every stacked buffer. None
             where the modules are there.
    dtype    of what is no whole number; None: as in the modules.

    weights   (S, P), a row a trial; `leaves` are views (S, *shape) of it by parameter name. Between
              them stand zeros whose gradient is zero, so that every parameter is aligned.
    gradient  (S, P), filled by `gather`; `gradients` are its views.
    buffers   (S, *shape) by name: running statistics, and parameters that are not trained.
    count     trainable values of one trial, without the zeros.

    One matrix for all tensors makes an optimizer a few operations whatever the number of layers;
    the layers work on views, so nothing is copied to and fro but the gradients.

    >>> stack = StackedParameters([nn.Linear(2, 1), nn.Linear(2, 1)])
    >>> tuple(stack.weights.shape), tuple(stack.leaves["weight"].shape), stack.count
    ((2, 32), (2, 1, 2), 3)
    """

    def __init__(
        self,
        modules: Iterable[nn.Module],
        *,
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        rows = [_copies(module) for module in modules]
        trained, buffers = (stacked(kind, dtype=dtype) for kind in zip(*rows, strict=True))
        self._shapes = {name: tensor.shape[1:] for name, tensor in trained.items()}
        self.count = sum(shape.numel() for shape in self._shapes.values())
        self.buffers = {name: buffer.to(device) for name, buffer in buffers.items()}
        self._padding = trained[next(iter(trained))].new_zeros(len(rows), ALIGNED_VALUES)
        weights = self._in_one(list(trained.values())).to(device)
        self._padding = self._padding.to(device)  # of the gradients, which will be there
        self._take(weights)

    def gather(self, gradients: Sequence[torch.Tensor]) -> None:
        """Copy gradients, in the order of the leaves, into the gradient matrix."""
        self._in_one(gradients, out=self.gradient)

    def add(self, gradients: Sequence[torch.Tensor]) -> None:
        """Add gradients to the gradient matrix, for batches that are accumulated."""
        for view, gradient in zip(self.gradients.values(), gradients, strict=True):
            view.add_(gradient)

    def largest(self) -> torch.Tensor:
        """The largest absolute weight and gradient of every row (2, S): finite if all are."""
        matrices = (self.weights, self.gradient)
        return torch.stack([torch.linalg.vector_norm(m, math.inf, dim=1) for m in matrices])

    def keep(self, rows: torch.Tensor) -> None:
        """Shrink to these rows (k,), in this order; what was a view before no longer is one."""
        self.buffers = {name: buffer[rows] for name, buffer in self.buffers.items()}
        self._padding = self._padding[: len(rows)]
        self._take(self.weights[rows])

    def views(self, matrix: torch.Tensor) -> dict[str, torch.Tensor]:
        """A matrix (rows, P) as tensors (rows, *shape) by parameter name, sharing its memory."""
        parts = matrix.split([_aligned(shape.numel()) for shape in self._shapes.values()], dim=1)
        return {
            name: part[:, : shape.numel()].unflatten(1, shape) if shape else part[:, 0]
            for (name, shape), part in zip(self._shapes.items(), parts, strict=True)
        }

    @torch.no_grad()
    def write(self, row: int, tensors: Mapping[str, torch.Tensor]) -> None:
        """Give a row these values, by the name of parameter or buffer."""
        views = self.views(self.weights)
        for name, value in tensors.items():
            (views if name in views else self.buffers)[name][row].copy_(value)

    def flat(self, values: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Values by parameter name as a row of the matrix, (P,); zero for one that is missing."""
        row = torch.zeros(1, self.weights.shape[1], dtype=torch.float64)
        for name, view in self.views(row).items():
            if name in values:
                view[0] = values[name]
        return row[0]

    def _in_one(
        self, tensors: Sequence[torch.Tensor], *, out: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Tensors (S, *shape) side by side, each followed by zeros up to the next line."""
        parts = []
        for tensor in tensors:
            values = tensor.reshape(len(tensor), -1)
            parts.append(values)
            if zeros := _aligned(values.shape[1]) - values.shape[1]:
                parts.append(self._padding[:, :zeros])
        return torch.cat(parts, dim=1, out=out)

    def _take(self, weights: torch.Tensor) -> None:
        self.weights = weights
        self.gradient = torch.zeros_like(weights)
        self.gradients = self.views(self.gradient)
        self.leaves = {
            name: view.detach().requires_grad_() for name, view in self.views(weights).items()
        }


class BestRows:
    """The best weights and buffers so far of every row: one matrix, written row by row.

    parameters  the stack's.
    """

    def __init__(self, parameters: StackedParameters) -> None:
        self._parameters = parameters
        self._weights: torch.Tensor | None = None  # until the first epoch is over
        self._buffers: dict[str, torch.Tensor] = {}
        self._have = [False] * len(parameters.weights)

    def has(self, row: int) -> bool:
        """Whether a row has had a good epoch."""
        return self._have[row]

    def keep_present(self, rows: Sequence[int]) -> None:
        """Take the present weights of these rows for their best."""
        best, buffers = self._begun()
        index = torch.tensor(rows, device=best.device)
        best[index] = self._parameters.weights[index]
        for name, buffer in self._parameters.buffers.items():
            buffers[name][index] = buffer[index]
        for row in rows:
            self._have[row] = True

    def load(self, row: int, tensors: Mapping[str, torch.Tensor]) -> None:
        """Take these values, by the name of parameter or buffer, for a row's best."""
        best, buffers = self._begun()
        views = self._parameters.views(best)
        for name, value in tensors.items():
            (views if name in views else buffers)[name][row].copy_(value)
        self._have[row] = True

    def of(self, rows: Sequence[int]) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Weights (k, P) and buffers (k, ...) of rows; no copies if they are all there are."""
        best, buffers = self._begun()
        if list(rows) == list(range(len(best))):
            return best, buffers
        index = torch.tensor(rows, dtype=torch.int64, device=best.device)
        return best[index], {name: buffer[index] for name, buffer in buffers.items()}

    def keep(self, rows: torch.Tensor) -> None:
        """Shrink to these rows (k,)."""
        self._have = [self._have[row] for row in rows.tolist()]
        if self._weights is not None:
            self._weights = self._weights[rows]
            self._buffers = {name: buffer[rows] for name, buffer in self._buffers.items()}

    def _begun(self) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        if self._weights is None:
            self._weights = self._parameters.weights.clone()
            self._buffers = {n: one.clone() for n, one in self._parameters.buffers.items()}
        return self._weights, self._buffers


def _aligned(values: int) -> int:
    return -(-values // ALIGNED_VALUES) * ALIGNED_VALUES


def stacked(
    tensors: Sequence[Mapping[str, torch.Tensor]], *, dtype: torch.dtype | None = None
) -> dict[str, torch.Tensor]:
    """Tensors of equal names and shapes as one (S, *shape) a name; whole numbers stay whole.

    >>> stacked([{"a": torch.tensor([1.0])}, {"a": torch.tensor([2.0])}])["a"].tolist()
    [[1.0], [2.0]]
    """
    stacks = {name: torch.stack([one[name] for one in tensors]) for name in tensors[0]}
    return {n: one.to(dtype) if one.is_floating_point() else one for n, one in stacks.items()}


def _copies(module: nn.Module) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """What is trained of a module, and its other tensors."""
    weights = dict(module.named_parameters())
    trained = {name: w.detach().clone() for name, w in weights.items() if w.requires_grad}
    fixed = {name: w for name, w in weights.items() if not w.requires_grad}
    others = {**fixed, **dict(module.named_buffers())}
    return trained, {name: one.detach().clone() for name, one in others.items()}
