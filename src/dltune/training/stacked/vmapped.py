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


class VmappedNetwork:
    """The forward pass of one module with the weights of all rows: see `network.Network`.

    module  one of the trials'; whatever is no parameter and no buffer is read from it for all rows
            (`fingerprint` tells which trials agree in that).

    Random numbers differ between the rows, but are drawn for the whole stack from torch's global
    generator: the masks of an nn.Dropout depend on who else is in the stack.
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
        rows = next(iter(parameters.values())).shape[0]
        self._module.train(dropout is not None)
        alive: list[torch.Tensor] = []

        def one_row(
            weights: Tensors, others: Tensors, examples: torch.Tensor
        ) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
            alive.clear()
            outputs = functional_call(self._module, (dict(weights), dict(others)), (examples,))
            return outputs, tuple(alive)

        # Every row has examples of its own, so that a module may write into them.
        shared = dropout is None
        examples = inputs.expand(rows, *inputs.shape).clone() if shared else inputs
        with _batched_attention(), self._seeing(None if watch is None else alive):
            outputs, living = vmap(one_row, randomness="different")(
                dict(parameters), dict(buffers), examples
            )
        if watch is not None:
            watch.extend(living)
        return outputs.transpose(1, 2)

    @contextlib.contextmanager
    def _seeing(self, alive: list[torch.Tensor] | None) -> Iterator[None]:
        """Inside, every rectifier layer adds which of its units are above zero somewhere."""

        def see(_: nn.Module, __: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
            assert alive is not None
            positions = [dim for dim in range(output.ndim) if dim != 1]
            alive.append(output.amax(dim=positions).reshape(-1) > 0)

        hooks = (
            [] if alive is None else [one.register_forward_hook(see) for one in self._rectifiers]
        )
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
    """The state dict of one row, as the module alone would give it, on the CPU.

    template    any of the modules; tied weights stand under all their names.
    parameters  by name (S, *shape); buffers likewise.
    """
    tensors = {**parameters, **buffers}
    named = itertools.chain(template.named_parameters(), template.named_buffers())
    name_of = {id(tensor): name for name, tensor in named}
    return {
        key: tensors[name_of[id(tensor)]][row].detach().cpu().clone()
        for key, tensor in template.state_dict(keep_vars=True).items()
    }
