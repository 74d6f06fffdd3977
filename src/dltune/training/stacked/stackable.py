"""Whether a user's model can be trained as a stack: it is tried on a few examples."""

from __future__ import annotations

import random
import re
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import nn

from dltune.data.device import DeviceData
from dltune.models.build import build_model
from dltune.recipe.schema import Config
from dltune.training.randomness import RandomStream, seed_all
from dltune.training.seeds import derive_seed
from dltune.training.stacked.dropout import DropoutMasks
from dltune.training.stacked.parameters import StackedParameters
from dltune.training.stacked.vmapped import VmappedNetwork

EXAMPLES = 4  # more than one, as batch norm needs; few, as it must be quick
ROWS = 2  # so that a number taken from one row for all is seen

# In float32 a sum of a few thousand products in another order differs by some 1e-5 of the largest;
# a number taken from another row differs by about as much as it is.
TOLERANCE = 1e-3

NO_RULE = re.compile(r"(?:batching rule for|not implemented for) (aten::\w+)")
KNOWN_FAILURES = {
    "calling .item()": "its forward pass calls .item() on a tensor",
    "data-dependent control flow": "its forward pass decides by the value of a tensor",
    "doesn't have storage": "its forward pass leaves torch, for NumPy or the like",
    "single memory location": "its forward pass writes into a tensor that all trials share",
    "vmap: inplace arithmetic": "its forward pass writes into a tensor that all trials share",
}


def why_not_stackable(config: Config, data: DeviceData, *, folder: Path, seed: int) -> str | None:
    """Why trials with this config's model cannot be trained as a stack, in words; None if they can.

    config  with a model factory.
    data    on the device to train on.
    folder  where relative references of the recipe are looked up.
    seed    of the weights that it is tried with.

    Two fresh modules are run on a few examples, as a stack and one by one, in eval and in train
    mode, and outputs, gradients and buffers are compared. Nothing that the user's code raises
    passes through, and the global random numbers stay as they are.
    """
    with RandomStream(seed, data.device).active(), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            modules = [_build(config, data, folder, derive_seed(seed, n)) for n in range(ROWS)]
            reason = _structure(modules[0]) or _differences(modules, data)
        except Exception as error:  # the user's code may raise anything
            reason = _in_words(error)
    without_rule = NO_RULE.search(" ".join(str(one.message) for one in caught))
    if reason is None and without_rule:
        return f"torch has no vmap rule for {without_rule[1]}"
    return reason


def _build(config: Config, data: DeviceData, folder: Path, seed: int) -> nn.Module:
    seed_all(seed, data.device)
    module = build_model(config.model, inputs=data.inputs, outputs=data.outputs, folder=folder)
    return module.to(data.device, data.train.features.dtype)


def _structure(module: nn.Module) -> str | None:
    """What can be told without running it."""
    for name, part in module.named_modules():
        where = f"{name}." if name else ""
        for key, value in vars(part).items():
            if isinstance(value, torch.Tensor):
                return f"it keeps a tensor outside of parameters and buffers: {where}{key}"
        if type(part).get_extra_state is not nn.Module.get_extra_state:
            return f"{where or 'it '}has a state of its own (get_extra_state)"
    return None


def _differences(modules: list[nn.Module], data: DeviceData) -> str | None:
    examples = data.train.features[:EXAMPLES]
    for training in (False, True):
        for module in modules:
            module.train(training)
        states = _outer_states()
        torch_state = torch.get_rng_state()
        stack = StackedParameters(modules)
        alone = [_alone(module, examples) for module in modules]
        if states != _outer_states():
            return "its forward pass draws random numbers of NumPy or Python"
        is_random = not torch.equal(torch_state, torch.get_rng_state())
        for name, gradient in zip(stack.leaves, alone[0][1], strict=True):
            if gradient is None:
                return f"its parameter {name} gets no gradient, and is not to be updated"
        together = _together(stack, modules[0], examples, training=training)
        if training and is_random:
            continue  # other random numbers, other outputs
        named_buffers = list(modules[0].named_buffers())
        for row, (outputs, gradients) in enumerate(alone):
            mine = [outputs, *gradients, *modules[row].buffers()]
            theirs = [together[0], *together[1], *(stack.buffers[n] for n, _ in named_buffers)]
            pairs = zip(mine, theirs, strict=True)
            if not all(_close(one, other[row]) for one, other in pairs if one is not None):
                mode = "train" if training else "eval"
                return f"in {mode} mode it gives other numbers in a stack than alone"
    return None


def _outer_states() -> str:
    """Where the global random numbers outside of torch stand."""
    return repr((random.getstate(), *(np.asarray(one).tolist() for one in np.random.get_state())))


def _alone(
    module: nn.Module, examples: torch.Tensor
) -> tuple[torch.Tensor, list[torch.Tensor | None]]:
    outputs = module(examples.clone())
    weights = [weight for weight in module.parameters() if weight.requires_grad]
    gradients = torch.autograd.grad(outputs.square().sum(), weights, allow_unused=True)
    return outputs.detach(), list(gradients)


def _together(
    stack: StackedParameters, module: nn.Module, examples: torch.Tensor, *, training: bool
) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
    inputs = examples.expand(ROWS, *examples.shape).clone() if training else examples
    outputs = (
        VmappedNetwork(module)
        .forward(
            stack.leaves,
            stack.buffers,
            inputs,
            dropout=DropoutMasks([], [], examples) if training else None,
        )
        .transpose(1, 2)
    )
    leaves = list(stack.leaves.values())
    return outputs.detach(), torch.autograd.grad(outputs.square().sum(), leaves)


def _close(one: torch.Tensor, other: torch.Tensor) -> bool:
    if not one.is_floating_point():
        return torch.equal(one, other)
    largest = one.abs().max().item() if one.numel() else 0.0
    return torch.allclose(one, other, rtol=0.0, atol=TOLERANCE * largest + 1e-6)


def _in_words(error: Exception) -> str:
    text = str(error)
    for part, reason in KNOWN_FAILURES.items():
        if part in text:
            return reason
    if rule := NO_RULE.search(text):
        return f"torch has no vmap rule for {rule[1]}"
    return f"{type(error).__name__}: {text.partition(chr(10))[0]}"
