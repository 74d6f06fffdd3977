"""One optimizer for a stack of trials, each row with its own hyperparameters."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence

import torch

from dltune.recipe.schema import OptimConfig
from dltune.training.optimizers import SCALARS
from dltune.training.stacked.adam_formulas import Adam, Adamax, Nadam
from dltune.training.stacked.formulas import Adadelta, Adagrad, Formula, Rmsprop, Sgd
from dltune.training.stacked.fused_rows import FusedRows
from dltune.training.stacked.parameters import StackedParameters
from dltune.training.state import Slots

FORMULAS: dict[str, type[Formula]] = {
    "sgd": Sgd,
    "momentum": Sgd,
    "nesterov": Sgd,
    "adagrad": Adagrad,
    "rmsprop": Rmsprop,
    "adadelta": Adadelta,
    "adam": Adam,
    "adamax": Adamax,
    "nadam": Nadam,
    "adamw": Adam,
}


# A formula passes over the weights several times, so what it works on should stay in the caches;
# but every pass has a cost of its own. In us per row and update, the weights not in the caches at
# first, by values in a block, on one core with 1 MB of second-level cache and 32 MB of third:
#
#     32 rows of             32k     128k    256k    512k    1M      16M
#       3 466, adam          6.7     5.9     5.8     5.9     5.9     5.9
#      26 122, adam          45      38      36      35      37      37
#     100 000, rmsprop       139     136     120     112     113     128
#
# Blocks that fit the second level are slower than no blocks at all; these are the fastest.
BLOCK_VALUES = 2**19

# From so many values a row on, one pass of torch's fused kernel beats a formula's passes, though it
# is called row by row. In us per row and update, 32 rows (16 of the largest), formula / fused:
#
#     values       3 466       26 122      60 000      100 000      300 000
#     adam         4.3 / 19    31 / 36     77 / 57     132 / 84     384 / 194
#     adagrad      2.9 / 15    22 / 26     75 / 54     101 / 61     295 / 141
#     momentum     1.0 / 10    6.9 / 19    19 / 32     40 / 52      126 / 128
FUSED_VALUES = 30_000
FUSED_NAMES = ("adam", "adamw", "adagrad")


def structure(optim: OptimConfig) -> tuple[str | bool, ...]:
    """Name and flags: rows that agree in them are updated by the same operations.

    >>> from dltune.recipe.schema import AdamConfig
    >>> structure(AdamConfig(lr=0.1)) == structure(AdamConfig(lr=0.2, betas=(0.5, 0.9)))
    True
    >>> structure(AdamConfig()) == structure(AdamConfig(amsgrad=True))
    False
    """
    flags = ("amsgrad", "centered", "decoupled_weight_decay", "momentum")
    return (optim.name, *(bool(getattr(optim, flag, False)) for flag in flags))


def stack_order(optims: Sequence[OptimConfig]) -> list[int]:
    """Numbers of the rows in the order in which rows of equal `structure` are next to each other.

    >>> from dltune.recipe.schema import AdamConfig, SgdConfig
    >>> stack_order([SgdConfig(), AdamConfig(), SgdConfig()])
    [1, 0, 2]
    """
    return sorted(range(len(optims)), key=lambda row: structure(optims[row]))


class StackedOptimizer:
    """Updates all rows of a matrix of weights, each as torch's optimizer would.

    optims   one a row. Neighbours of equal `structure` are updated together, so order the rows by
             `stack_order`; any order gives the same numbers.
    weights  (S, P), changed in place by `step`. P and the device decide how a row is updated, the
             other rows never do.

    >>> from dltune.recipe.schema import SgdConfig
    >>> weights = torch.ones(2, 3)
    >>> optimizer = StackedOptimizer([SgdConfig(), SgdConfig(weight_decay=1.0)], weights)
    >>> optimizer.step(torch.zeros(2, 3), torch.tensor([0.5, 0.25]))
    >>> weights.tolist()
    [[1.0, 1.0, 1.0], [0.75, 0.75, 0.75]]
    """

    def __init__(self, optims: Sequence[OptimConfig], weights: torch.Tensor) -> None:
        self._blocks: list[Formula | FusedRows] = []
        self._sizes: list[int] = []  # rows of each block
        for start, stop in _block_bounds(optims, weights):
            kind = FusedRows if _is_fused(optims[start], weights) else FORMULAS[optims[start].name]
            self._blocks.append(kind(optims[start:stop], weights[start:stop]))
            self._sizes.append(stop - start)
        rows = [
            size
            for block, size in zip(self._blocks, self._sizes, strict=True)
            if block.needs_scratch
        ]
        self._scratch = weights.new_empty(max(rows, default=0), weights.shape[1])
        self._steps, self._had = 0, [0.0] * len(optims)  # here, and by row before

    @torch.no_grad()
    def step(
        self, gradient: torch.Tensor, lr: torch.Tensor, momentum: torch.Tensor | None = None
    ) -> None:
        """One update of every row.

        gradient  (S, P); its values are used up.
        lr        (S,), dtype and device of the weights.
        momentum  (S,): the schedule's momentum or first beta, where the row's optimizer has one;
                  NaN where the row's own value holds. None: it holds for all.
        """
        self._steps += 1
        lr = lr.unsqueeze(1)
        momentum = None if momentum is None else momentum.unsqueeze(1)
        if len(self._blocks) == 1:  # nearly always, and splitting takes a while
            self._blocks[0].step(gradient, lr, momentum, self._scratch)
            return
        gradients, rates = gradient.split(self._sizes), lr.split(self._sizes)
        momenta: Sequence[torch.Tensor | None] = [None] * len(self._sizes)
        if momentum is not None:
            momenta = momentum.split(self._sizes)
        for number, block in enumerate(self._blocks):
            block.step(gradients[number], rates[number], momenta[number], self._scratch)

    @torch.no_grad()
    def keep(self, rows: torch.Tensor, weights: torch.Tensor) -> None:
        """Go on with these rows alone.

        rows     (kept,) int64, ascending: their numbers until now.
        weights  (kept, P): the new matrix.
        """
        if bool((rows.diff() <= 0).any()):
            raise ValueError(f"rows {rows.tolist()} must ascend")
        self._had = [self._had[row] for row in rows.tolist()]
        rows = rows.to(weights.device)
        blocks, sizes, first, used = [], [], 0, 0
        for block, size in zip(self._blocks, self._sizes, strict=True):
            inside = rows[(rows >= first) & (rows < first + size)] - first
            if len(inside):
                block.keep(inside, weights[used : used + len(inside)])
                blocks.append(block)
                sizes.append(len(inside))
            first, used = first + size, used + len(inside)
        self._blocks, self._sizes = blocks, sizes

    def state(self, row: int) -> dict[str, torch.Tensor]:
        """The state of a row by torch's names: (P,), or a number for the whole row.

        Empty for an optimizer that keeps nothing, and before the first update.
        """
        block, inside = self._block_of(row)
        updates = self._steps + self._had[row]
        state = block.state(inside) if updates else {}
        return {**state, "step": torch.tensor(updates)} if state else {}

    @torch.no_grad()
    def load(self, row: int, state: Mapping[str, torch.Tensor]) -> None:
        """Give a row a state that `state` has taken, or that an optimizer of torch's has had."""
        block, inside = self._block_of(row)
        values = dict(state)
        # A momentum counts no updates: that there is one says that one has been made.
        updates = float(values.pop("step", torch.tensor(1.0)))
        self._had[row] = updates - self._steps
        block.load(inside, values, updates)

    def _block_of(self, row: int) -> tuple[Formula | FusedRows, int]:
        for block, size in zip(self._blocks, self._sizes, strict=True):
            if row < size:
                return block, row
            row -= size
        raise IndexError(row)


def by_parameter(
    state: Mapping[str, torch.Tensor], parameters: StackedParameters
) -> dict[str, dict[str, torch.Tensor]]:
    """A row's state by slot and parameter, on the CPU, as `training.state` has it."""
    slots: dict[str, dict[str, torch.Tensor]] = {}
    for slot, value in state.items():
        there = value.detach().cpu()
        if slot in SCALARS:
            slots[slot] = dict.fromkeys(parameters.leaves, there.reshape(()))
        else:
            views = parameters.views(there[None])
            slots[slot] = {name: view[0].clone() for name, view in views.items()}
    return slots


def by_row(slots: Slots, parameters: StackedParameters) -> dict[str, torch.Tensor]:
    """The state of a row from that by slot and parameter."""
    return {
        slot: next(iter(values.values())) if slot in SCALARS else parameters.flat(values)
        for slot, values in slots.items()
    }


def _is_fused(optim: OptimConfig, weights: torch.Tensor) -> bool:
    """On the CPU only: elsewhere a kernel a row costs more, and lr would have to be fetched."""
    return (
        weights.device.type == "cpu"
        and weights.shape[1] >= FUSED_VALUES
        and optim.name in FUSED_NAMES
    )


def _block_bounds(
    optims: Sequence[OptimConfig], weights: torch.Tensor
) -> Iterator[tuple[int, int]]:
    """First row and the row after the last of every block."""
    most = len(optims)
    if weights.device.type == "cpu":
        most = max(1, BLOCK_VALUES // weights.shape[1])
    for _, run in itertools.groupby(range(len(optims)), key=lambda row: structure(optims[row])):
        rows = list(run)
        yield from ((rows[i], rows[i : i + most][-1] + 1) for i in range(0, len(rows), most))
