"""A user's module for all rows of a stack, by torch.func.vmap."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Mapping

import torch
from torch import nn
from torch.func import functional_call, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from dltune.training.stacked.dropout import DropoutMasks
from dltune.training.stacked.network import Tensors

Alive = dict[tuple[int, int], torch.Tensor]  # by rectifier and width: it may be used at several


class VmappedNetwork:
    """The forward pass of one module with the weights of all rows: see `network.Network`.

    module  one of the trials'; whatever is no parameter and no buffer is read from it for all rows
            (`kinds` tells which trials agree in that).

    In train mode a module may write into its inputs: they must be copies of the data. A rectifier
    that a module uses several times at one width counts once, as in `measure.DeadUnits`.

    Random numbers differ between the rows, but are drawn for the whole stack from torch's global
    generator: the masks of an nn.Dropout depend on who else is in the stack.

    >>> modules = [nn.Linear(2, 1), nn.Linear(2, 1)]
    >>> parameters = {"weight": torch.ones(2, 1, 2), "bias": torch.tensor([[0.0], [10.0]])}
    >>> network = VmappedNetwork(modules[0])
    >>> network.forward(parameters, {}, torch.ones(3, 2), dropout=None).tolist()
    [[[2.0, 2.0, 2.0]], [[12.0, 12.0, 12.0]]]
    """

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self._rectifiers = [one for one in module.modules() if isinstance(one, nn.ReLU)]

    def forward(
        self,
        parameters: Tensors,
        buffers: Tensors,
        inputs: torch.Tensor,
        *,
        dropout: DropoutMasks | None,
        watch: list[torch.Tensor] | None = None,
    ) -> torch.Tensor:
        """Outputs (S, K, n); `dropout` only tells train mode from eval mode."""
        self._module.train(dropout is not None)
        return self.in_its_mode(parameters, buffers, inputs, shared=dropout is None, watch=watch)

    def in_its_mode(
        self,
        parameters: Tensors,
        buffers: Tensors,
        inputs: torch.Tensor,
        *,
        shared: bool,
        watch: list[torch.Tensor] | None = None,
    ) -> torch.Tensor:
        """Outputs (S, K, n) with every layer in the mode in which it is now.

        shared  whether the inputs are (n, *shape), the same for all rows.
        """
        alive: Alive = {}

        def one_row(
            weights: dict[str, torch.Tensor],
            others: dict[str, torch.Tensor],
            examples: torch.Tensor,
        ) -> tuple[torch.Tensor, list[torch.Tensor]]:
            alive.clear()
            tensors = {**weights, **others}
            outputs = functional_call(self._module, tensors, (examples,))
            for name, buffer in others.items():
                # A buffer that the module assigned anew, and not in place, stands in `tensors`.
                if tensors[name] is not buffer:
                    buffer.copy_(tensors[name].detach())
            return outputs, list(alive.values())

        stacked = vmap(one_row, in_dims=(0, 0, None if shared else 0), randomness="different")
        # A copy: a user's model may begin with x /= 255, which must not reach the data themselves.
        examples = inputs.clone() if shared else inputs
        with _batched_attention(), self._seeing(alive if watch is not None else None):
            outputs, living = stacked(dict(parameters), dict(buffers), examples)
        if watch is not None:
            watch.extend(living)
        return outputs.transpose(1, 2)

    @contextlib.contextmanager
    def _seeing(self, alive: Alive | None) -> Iterator[None]:
        """Inside, every rectifier notes which of its units are above zero for some example."""

        def see(module: nn.Module, _: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
            assert alive is not None
            positions = [dim for dim in range(output.ndim) if dim != 1]
            units = output.amax(dim=positions).reshape(-1) > 0  # (n, units, *) → (units,)
            key = (id(module), units.numel())
            alive[key] = alive[key] | units if key in alive else units

        watched = [] if alive is None else self._rectifiers
        hooks = [one.register_forward_hook(see) for one in watched]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()


@contextlib.contextmanager
def _batched_attention() -> Iterator[None]:
    """Inside, attention is matrix products: its fused kernels have no rule for a stack."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


def row_state(
    template: nn.Module,
    parameters: Mapping[str, torch.Tensor],
    buffers: Mapping[str, torch.Tensor],
    row: int,
) -> dict[str, torch.Tensor]:
    """The state dict of one row, as the module alone would give it, copied to the CPU.

    template    any of the modules; tied weights stand under all their names as one tensor, and
                buffers that are not saved are left out.
    parameters  by name (S, *shape); buffers likewise.
    """
    tensors, names = {**parameters, **buffers}, state_names(template)
    mine = {name: tensors[name][row].detach().cpu().clone() for name in set(names.values())}
    return {key: mine[name] for key, name in names.items()}


def state_names(module: nn.Module) -> dict[str, str]:
    """For every key of a module's state dict, the name of its parameter or buffer.

    >>> state_names(nn.Linear(2, 1))
    {'weight': 'weight', 'bias': 'bias'}
    """
    name_of = {id(tensor): name for name, tensor in named_tensors(module)}
    return {key: name_of[id(one)] for key, one in module.state_dict(keep_vars=True).items()}


def named_tensors(module: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """Every parameter and buffer of a module, tied ones once."""
    return itertools.chain(module.named_parameters(), module.named_buffers())
