"""Whether a user's model can be trained as a stack: it is tried on a few examples."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from dltune.data.device import DeviceData
from dltune.models.build import build_model
from dltune.models.dropout import Dropout
from dltune.recipe.schema import Config
from dltune.recipe.users_code import in_a_line, let_signals_through, text_of
from dltune.training.randomness import RandomStream, generator_states, seed_all, state_differs
from dltune.training.seeds import derive_seed
from dltune.training.stacked.behaviour import behaviour, copies, gradients, load
from dltune.training.stacked.parameters import StackedParameters
from dltune.training.stacked.structure import attributes, first_change, structure
from dltune.training.stacked.vmapped import VmappedNetwork, named_tensors

EXAMPLES = 4  # more than one, as batch norm needs; few, as it must be quick
ROWS = 2  # so that a number taken from one row for all is seen
PASSES = 2  # so that what the first pass leaves behind is seen

# "quiet": train mode but for the dropout layers, where what they hide can be compared.
MODES = ("eval", "train", "quiet")
DROPOUT_LAYERS = (
    *(nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d),
    *(nn.AlphaDropout, nn.FeatureAlphaDropout, Dropout),
)

NO_RULE = re.compile(r"(?:batching rule for|not implemented for) (aten::\w+)")
KNOWN_FAILURES = {
    "calling .item()": "its forward pass calls .item() on a tensor",
    "data-dependent control flow": "its forward pass decides by the value of a tensor",
    "doesn't have storage": "its forward pass leaves torch, for NumPy or the like",
    "single memory location": "its forward pass writes into a tensor that all trials share",
    "vmap: inplace arithmetic": "its forward pass writes into a tensor that all trials share",
    "match the broadcast shape": "its forward pass writes into a tensor that all trials share",
    "setup_context": "its autograd.Function has no rule for vmap",
}

Tried = dict[str, list[torch.Tensor | None]]  # outputs, gradients, buffers, weights


def why_not_stackable(config: Config, data: DeviceData, *, folder: Path, seed: int) -> str | None:
    """Why trials with this config's model cannot be trained as a stack, in words; None if they can.

    config  with a model factory.
    data    on the device to train on.
    folder  where relative references of the recipe are looked up.
    seed    of the weights that it is tried with.

    Two fresh modules of two seeds must do the same with the same numbers in them, and one must do
    it again: then all that tells the rows of a stack apart are parameters and buffers. Then both
    are run on a few examples, as a stack and one by one, in eval and in train mode, and outputs,
    gradients, buffers and weights are compared. Where random numbers come from dropout layers,
    these are left out of the comparison, and where from elsewhere, only eval mode is compared.
    Nothing that the user's code raises passes through, and the global random numbers stay as they
    are.
    """
    with RandomStream(seed, data.device).active(), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            modules = [_build(config, data, folder, derive_seed(seed, n)) for n in range(ROWS)]
            reason = _apart(modules) or _beside_tensors(modules, data)
            reason = reason or _tried([module.to(data.device) for module in modules], data)
        except BaseException as error:  # the user's code may raise anything
            let_signals_through(error)
            reason = in_a_line(error)
    without_rule = NO_RULE.search(" ".join(str(one.message) for one in caught))
    if reason is None and without_rule:  # it goes row by row there, and warns at every step
        return f"torch has no vmap rule for {without_rule[1]}"
    return reason


def _build(config: Config, data: DeviceData, folder: Path, seed: int) -> nn.Module:
    seed_all(seed, data.device)
    module = build_model(config.model, inputs=data.inputs, outputs=data.outputs, folder=folder)
    return module.to(data.train.features.dtype)


def _apart(modules: Sequence[nn.Module]) -> str | None:
    """What can be told without running them."""
    if (place := first_change(*map(structure, modules))) is not None:
        return f"another seed makes another model: {place} differs"
    known = {id(tensor) for _, tensor in named_tensors(modules[0])}
    for key, value in modules[0].state_dict(keep_vars=True).items():
        if id(value) not in known:  # such as what get_extra_state returns
            return f"its state_dict() has {key}, which is neither a parameter nor a buffer"
    return _changed("another seed makes another model: {} differs", *map(attributes, modules))


def _changed(words: str, before: dict[str, Any], after: dict[str, Any]) -> str | None:
    """What has come of a module's attributes."""
    place = first_change(before, after)
    if place is None:
        return None
    if isinstance(after.get(place, before.get(place)), torch.Tensor):
        return f"it keeps a tensor outside of parameters and buffers: {place}"
    return words.format(place)


def _beside_tensors(modules: Sequence[nn.Module], data: DeviceData) -> str | None:
    """Whether more decides what a pass gives than parameters, buffers and inputs."""
    one, other = modules
    started, before = [*map(copies, modules)], attributes(one)
    examples = data.train.features[: ROWS * EXAMPLES].cpu()

    def numbers(module: nn.Module) -> str:
        text, _ = behaviour(module, started[0], examples, outputs=data.outputs, seed=0)
        return text

    first = numbers(one)
    # Not only where the numbers change: a counter may matter after more passes than are tried.
    reason = _changed("its forward pass changes {}", before, attributes(one))
    if reason is None and numbers(other) != first:
        reason = "another seed makes another model: the same weights give other numbers"
    if reason is None and numbers(one) != first:
        reason = "its forward pass leaves something behind that changes the next one"
    for module, tensors in zip(modules, started, strict=True):
        load(module, tensors)
    return reason


def _tried(modules: Sequence[nn.Module], data: DeviceData) -> str | None:
    """What running them tells, mode by mode."""
    features = data.train.features
    index = torch.arange(ROWS * EXAMPLES, device=features.device) % len(features)
    inputs = features[index].unflatten(0, (ROWS, EXAMPLES))
    # The gradient at the outputs is drawn: that of a simple loss might vanish.
    direction = torch.randn(EXAMPLES, data.outputs).to(features)
    for mode in MODES:
        for module in modules:
            _set_mode(module, mode)
        reason, is_random = _tried_in(mode, modules, inputs, direction)
        if reason is not None:
            return reason
        if mode == "train" and not is_random:
            break
    return None


def _set_mode(module: nn.Module, mode: str) -> None:
    module.train(mode != "eval")
    for part in module.modules():
        if mode == "quiet" and isinstance(part, DROPOUT_LAYERS):
            part.eval()


def _tried_in(
    mode: str, modules: Sequence[nn.Module], inputs: torch.Tensor, direction: torch.Tensor
) -> tuple[str | None, bool]:
    """A reason or None, and whether torch's random numbers were drawn, in the mode set before."""
    stack = StackedParameters(modules)  # a copy: what follows changes the modules' own tensors
    examples = inputs[0] if mode == "eval" else inputs
    states = generator_states(inputs.device)
    alone = [
        _alone(module, examples if mode == "eval" else examples[row], direction)
        for row, module in enumerate(modules)
    ]
    of_python, of_numpy, *of_torch = map(state_differs, states, generator_states(inputs.device))
    reason = None
    if of_python or of_numpy:
        reason = "its forward pass draws random numbers of NumPy or Python"
    elif mode == "eval" and any(of_torch):
        reason = "its forward pass draws random numbers in eval mode too"
    elif mode == "train":
        reason = _without_gradient(stack, alone[0]["gradients"])
    if reason is not None:
        return reason, any(of_torch)
    try:
        together = _together(stack, modules[0], examples, direction, shared=mode == "eval")
    except BaseException as error:  # vmap, or the user's code inside it, may raise anything
        let_signals_through(error)
        return _why(error), any(of_torch)
    if not any(of_torch):
        reason = _difference(alone, together, _tolerance(inputs))
    where = "eval" if mode == "eval" else "train"
    return (None if reason is None else f"in {where} mode {reason}"), any(of_torch)


def _alone(module: nn.Module, examples: torch.Tensor, direction: torch.Tensor) -> Tried:
    tried: Tried = {"outputs": [], "gradients": []}
    for _ in range(PASSES):
        outputs = module(examples.clone())
        tried["gradients"] += gradients(module, outputs, direction)
        tried["outputs"].append(outputs.detach())
    fixed = [weight for weight in module.parameters() if not weight.requires_grad]
    weights = [weight for weight in module.parameters() if weight.requires_grad]
    return {**tried, "weights": [*weights], "buffers": [*fixed, *module.buffers()]}


def _together(
    stack: StackedParameters,
    module: nn.Module,
    examples: torch.Tensor,
    direction: torch.Tensor,
    *,
    shared: bool,
) -> Tried:
    """The same with a dimension for the rows in front."""
    tried: Tried = {"outputs": [], "gradients": []}
    network, leaves = VmappedNetwork(module), [*stack.leaves.values()]
    for _ in range(PASSES):
        inputs = examples if shared else examples.clone()
        outputs = network.in_its_mode(stack.leaves, stack.buffers, inputs, shared=shared)
        outputs = outputs.transpose(1, 2)
        if outputs.requires_grad:
            towards = direction.expand_as(outputs)
            tried["gradients"] += torch.autograd.grad(outputs, leaves, towards, allow_unused=True)
        else:  # a module may turn gradients off in eval mode
            tried["gradients"] += [None] * len(leaves)
        tried["outputs"].append(outputs.detach())
    return {**tried, "weights": [*leaves], "buffers": [*stack.buffers.values()]}


def _without_gradient(
    stack: StackedParameters, gradients: Sequence[torch.Tensor | None]
) -> str | None:
    for name, gradient in zip(stack.leaves, gradients, strict=False):  # of the first pass
        if gradient is None:
            return f"its parameter {name} gets no gradient, and is not to be updated"
    return None


def _difference(alone: Sequence[Tried], together: Tried, tolerance: float) -> str | None:
    for kind, stacked in together.items():
        for row, tried in enumerate(alone):
            mine = [None if tensor is None else tensor[row] for tensor in stacked]
            share = _deviation(tried[kind], mine)
            if share > tolerance:
                by = f" by {share:.1g} of the largest" if math.isfinite(share) else ""
                return f"its {kind} in a stack and alone differ{by}"
    return None


def _deviation(
    alone: Sequence[torch.Tensor | None], stacked: Sequence[torch.Tensor | None]
) -> float:
    """The largest difference, as a share of the largest value of all these tensors.

    Not tensor by tensor: a gradient may be zero but for rounding, as that of a bias before a batch
    norm is. Infinite if shapes, whole numbers, or places of NaN or infinity differ.
    """
    largest = difference = 0.0
    for one, other in zip(alone, stacked, strict=True):
        if one is None and other is None:
            continue
        if one is None or other is None or one.shape != other.shape:
            return math.inf
        if not one.is_floating_point():
            difference = max(difference, 0.0 if torch.equal(one, other) else math.inf)
        elif one.numel():
            apart = torch.where((one == other) | (one.isnan() & other.isnan()), 0, one - other)
            difference = max(difference, apart.abs().nan_to_num(nan=math.inf).max().item())
            largest = max(largest, one.abs().nan_to_num(posinf=0.0).max().item())
    return difference / largest if largest else difference and math.inf


def _tolerance(features: torch.Tensor) -> float:
    """Another order of a sum changes last digits, a number of another row the first ones.

    Half of the digits is between them.
    """
    return math.sqrt(torch.finfo(features.dtype).eps)


def _why(error: BaseException) -> str:
    text = text_of(error)
    for part, reason in KNOWN_FAILURES.items():
        if part in text:
            return reason
    if rule := NO_RULE.search(text):
        return f"torch has no vmap rule for {rule[1]}"
    return f"in a stack it raises {in_a_line(error)}"
