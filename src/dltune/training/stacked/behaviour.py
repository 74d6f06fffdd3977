"""What a user's module does with given numbers: equal texts where two modules do the same."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence

import torch
from torch import nn

from dltune.data.device import DeviceData
from dltune.recipe.schema import TrainConfig
from dltune.recipe.users_code import let_signals_through
from dltune.training.arithmetic import threads_for, update_flops
from dltune.training.randomness import (
    RandomStream,
    generator_states,
    seed_all,
    state_differs,
)
from dltune.training.stacked.vmapped import named_tensors
from dltune.training.updates import batch_examples

# Of a batch, since a layer may work on parts of it: no more than in a batch by default, so that a
# try costs a dozen updates and not more.
MOST_EXAMPLES = 64

# The weights that a module is tried with: its own, and others drawn anew, which leave no layer at
# zero, as multiples of what keeps activations at their size. So a number that counts among small
# values only (an eps) or large ones only (a bound) is met; small weights are smaller than large
# ones are large, since the biases of larger ones drown small examples.
WEIGHTS = (None, 1.0, 1e-4, 1e2)
DECADES = 6  # the examples are tried as they are, and once more from 10^-6 to 10^6 of it


def copies(module: nn.Module) -> list[torch.Tensor]:
    """Its parameters and buffers, for `load`."""
    return [tensor.detach().clone() for _, tensor in named_tensors(module)]


def load(module: nn.Module, tensors: Sequence[torch.Tensor]) -> None:
    """Give a module the numbers of another one of equal structure."""
    with torch.no_grad():
        for (_, tensor), value in zip(named_tensors(module), tensors, strict=True):
            if not torch.equal(tensor, value):  # a constant one may be expanded: not to be written
                tensor.copy_(value)


def tried_examples(data: DeviceData, train: TrainConfig) -> torch.Tensor:
    """Examples to try a module with, on the CPU: as many as a batch has in training."""
    return data.train.features[: min(batch_examples(train, len(data.train)), MOST_EXAMPLES)].cpu()


def behaviour(
    module: nn.Module,
    tensors: Sequence[torch.Tensor],
    examples: torch.Tensor,
    *,
    outputs: int,
    seed: int,
) -> tuple[str, bool]:
    """A text for all outputs, gradients and buffers of a number of passes; whether any was random.

    Of one that draws random numbers, what they are compared with (a share, a probability) shows in
    few of them, or in none.

    module    on the CPU: kernels of a GPU add in any order, and not a bit may depend on that. It is
              left with other numbers.
    tensors   the parameters and buffers that it starts from, as `copies` gives them.
    examples  (n, *shape), of the type that the module is trained in.
    outputs   of the module for one example.
    seed      of the random numbers that a forward pass draws.

    The texts of two modules of equal structure are equal if all numbers are, to the last bit: a
    slope, a scale, a bound or the factor of a hook changes some.

    Raises whatever the module raises for plain examples; what it raises for magnitudes that it may
    not be made for is part of the text.

    >>> def does(layer): return behaviour(layer, [], torch.ones(4, 2), outputs=2, seed=0)
    >>> does(nn.ELU(0.1)) == does(nn.ELU(0.1)), does(nn.ELU(0.1)) == does(nn.ELU(0.2))
    (True, False)
    >>> does(nn.ELU(0.1))[1], does(nn.Dropout(0.1))[1]
    (False, True)
    """
    digest, draws = hashlib.blake2b(digest_size=16), False
    count = sum(weight.numel() for weight in module.parameters())
    cpu = torch.device("cpu")
    with RandomStream(seed, cpu).active(), threads_for(update_flops(count, len(examples))):
        for number, factor in enumerate(WEIGHTS):
            seed_all(seed, cpu)
            load(module, tensors)
            if factor is not None:
                _redraw(module, factor, passes=10**number)
            parts = _passes(module, examples, outputs, may_raise=factor is None)
            digest.update(next(parts))  # of what is drawn here
            before = generator_states(cpu)
            for part in parts:
                digest.update(part)
            draws = draws or any(map(state_differs, before, generator_states(cpu)))
    return digest.hexdigest(), draws


def _redraw(module: nn.Module, factor: float, *, passes: int) -> None:
    """Draw the weights anew, and set a buffer that may count passes to so many."""
    with torch.no_grad():
        for weight in module.parameters():
            if weight.is_floating_point():
                inputs = math.sqrt(max(1, weight[:1].numel()))
                weight.copy_(torch.randn_like(weight) * (factor / inputs))
        for buffer in module.buffers():
            if buffer.dtype == torch.int64 and buffer.ndim == 0:
                buffer.fill_(passes)


def _passes(
    module: nn.Module, examples: torch.Tensor, outputs: int, *, may_raise: bool
) -> Iterator[bytes]:
    """All that comes of a few passes in eval and train mode, one after another."""
    spread = torch.logspace(-DECADES, DECADES, len(examples), dtype=examples.dtype)
    direction = torch.randn(len(examples), outputs, dtype=examples.dtype)
    # Among a few examples a rare feature may be zero in all.
    drawn = torch.randn(examples.shape, dtype=examples.dtype)
    stretched = examples * spread.view(-1, *[1] * (examples.ndim - 1))
    yield _bytes(direction)
    for training in (False, True):
        module.train(training)
        for inputs, towards, plain in (
            (examples.clone(), direction, True),
            (drawn.clone(), direction, False),
            (stretched.clone(), direction * spread[:, None], False),
        ):
            done: list[bytes] = []
            try:
                with torch.set_grad_enabled(training):
                    result = module(inputs)
                done.append(_bytes(result))
                if training:
                    done += map(_bytes, gradients(module, result, towards))
            except BaseException as error:  # the user's code may raise anything
                let_signals_through(error)
                if plain and may_raise:
                    raise
                done.append(type(error).__name__.encode())
            yield from done
    yield from (_bytes(tensor) for _, tensor in named_tensors(module))


def gradients(
    module: nn.Module, outputs: torch.Tensor, direction: torch.Tensor
) -> list[torch.Tensor | None]:
    """The gradient of every trained parameter, as training takes it: with the user's hooks."""
    weights = [weight for weight in module.parameters() if weight.requires_grad]
    if outputs.requires_grad:  # a module may turn gradients off in eval mode
        outputs.backward(direction)
    found = [weight.grad for weight in weights]
    for weight in weights:
        weight.grad = None
    return found


def _bytes(tensor: torch.Tensor | None) -> bytes:
    if tensor is None:
        return b"None"
    plain = tensor.detach().to_dense().resolve_conj().resolve_neg().contiguous()
    return plain.flatten().view(torch.uint8).numpy().tobytes()
