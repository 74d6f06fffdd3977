"""torch's optimizers by their recipe name, in the fastest form the device has.

For a small model that is all its parameters as one vector (`FlatParameters`): one tensor to update.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from dltune.recipe.schema import OptimConfig

# The three differ in their settings only: torch has one class for them.
CLASSES: dict[str, type[torch.optim.Optimizer]] = {
    "sgd": torch.optim.SGD,
    "momentum": torch.optim.SGD,
    "nesterov": torch.optim.SGD,
    "adagrad": torch.optim.Adagrad,
    "rmsprop": torch.optim.RMSprop,
    "adadelta": torch.optim.Adadelta,
    "adam": torch.optim.Adam,
    "adamax": torch.optim.Adamax,
    "nadam": torch.optim.NAdam,
    "adamw": torch.optim.AdamW,
}

# One kernel for all parameters (torch 2.13 has them on the CPU and CUDA for these; Adagrad's is on
# the CPU only).
FUSED = {
    torch.optim.SGD: ("cpu", "cuda", "mps"),
    torch.optim.Adam: ("cpu", "cuda", "mps"),
    torch.optim.AdamW: ("cpu", "cuda", "mps"),
    torch.optim.Adagrad: ("cpu",),
}

# Slots that an optimizer has only where a setting asks for them.
ASKED_FOR = {"momentum_buffer": "momentum", "grad_avg": "centered", "max_exp_avg_sq": "amsgrad"}
# Slots that are one number for a whole tensor.
SCALARS = ("step", "mu_product")


def build_optimizer(
    optim: OptimConfig, parameters: Iterable[torch.nn.Parameter], *, device: torch.device
) -> torch.optim.Optimizer:
    """A torch optimizer with the config's hyperparameters, fused if possible, else foreach.

    optim       the config's [optim]; every value goes to torch under torch's name.
    parameters  of one model, already on `device`.

    >>> from dltune.recipe.schema import AdamConfig
    >>> optimizer = build_optimizer(
    ...     AdamConfig(lr=0.01), [torch.nn.Parameter(torch.ones(2))], device=torch.device("cpu")
    ... )
    >>> optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["fused"]
    (0.01, True)
    """
    form = "fused" if device.type in FUSED.get(CLASSES[optim.name], ()) else "foreach"
    return bare_class(optim.name)(list(parameters), **settings_of(optim), **{form: True})


def settings_of(optim: OptimConfig) -> dict[str, Any]:
    """The config's values as torch's arguments.

    >>> from dltune.recipe.schema import NesterovConfig
    >>> settings_of(NesterovConfig())
    {'weight_decay': 0.0, 'lr': 0.001, 'momentum': 0.9, 'nesterov': True}
    """
    settings = optim.model_dump(exclude={"name"})
    if optim.name == "nesterov":
        settings["nesterov"] = True
    return settings


@functools.cache
def bare_class(name: str) -> Callable[..., torch.optim.Optimizer]:
    """The optimizer of this name without what torch wraps around its methods.

    The wrappers serve torch's compiler and profiler. They import the compiler, which takes more
    than a second at the start of every process, and half of a small update. Without them a method
    is the function that it was decorated from; where torch does not wrap, nothing changes.
    """
    kind = CLASSES[name]
    step: Any = torch.no_grad()(inspect.unwrap(kind.step))
    step.hooked = True  # else torch wraps it again
    methods: dict[str, Any] = {
        "step": step,
        "add_param_group": inspect.unwrap(kind.add_param_group),
    }
    return type(kind.__name__, (kind,), methods)


def set_rate(optimizer: torch.optim.Optimizer, lr: float, momentum: float | None = None) -> None:
    """Give every parameter group this learning rate and, if stated, this momentum or first beta."""
    for group in optimizer.param_groups:
        group["lr"] = lr
        if momentum is None:
            continue
        if "betas" in group:
            group["betas"] = (momentum, *group["betas"][1:])
        elif optimizer.defaults.get("momentum"):  # the config's: a schedule may touch 0
            group["momentum"] = momentum


def slots_of(
    optimizer: torch.optim.Optimizer,
    updated: Sequence[nn.Parameter],
    named: Mapping[str, nn.Parameter],
) -> dict[str, dict[str, torch.Tensor]]:
    """An optimizer's state by slot and parameter, on the CPU.

    updated  what the optimizer updates: the parameters, or all of them as one vector.
    named    the trainable parameters of the model by name, in the order in which they were given.

    A parameter that was in no update yet has no state.

    >>> layer = nn.Linear(2, 1)
    >>> optimizer = torch.optim.SGD(layer.parameters(), momentum=0.9)
    >>> layer(torch.ones(1, 2)).sum().backward(); optimizer.step()
    >>> slots_of(optimizer, list(layer.parameters()), dict(layer.named_parameters()))
    {'momentum_buffer': {'weight': tensor([[1., 1.]]), 'bias': tensor([1.])}}
    """
    slots: dict[str, dict[str, torch.Tensor]] = {}
    for names, one in _owners(updated, named):
        for slot, value in optimizer.state.get(one, {}).items():
            if not torch.is_tensor(value):
                continue  # a momentum that has not begun
            value = value.detach().cpu()
            parts = dict.fromkeys(names, value)
            if slot not in SCALARS:
                split = value.reshape(-1).split([named[name].numel() for name in names])
                parts = {n: part.view(named[n].shape) for n, part in zip(names, split, strict=True)}
            slots.setdefault(slot, {}).update({n: part.clone() for n, part in parts.items()})
    return slots


def load_slots(
    optimizer: torch.optim.Optimizer,
    updated: Sequence[nn.Parameter],
    named: Mapping[str, nn.Parameter],
    slots: Mapping[str, Mapping[str, torch.Tensor]],
) -> None:
    """Give an optimizer the state that `slots_of` has taken, from this one or one of a stack.

    What its settings do not ask for is left out, and what they do and is not there begins at zero,
    or with the first gradient for momentum of SGD: momentum that was 0 in between begins anew.

    torch's own `load_state_dict` would import its compiler, which takes more than a second.
    """
    asked = {slot: bool(optimizer.defaults.get(key)) for slot, key in ASKED_FOR.items()}
    slots = {slot: of for slot, of in slots.items() if asked.get(slot, True)}
    fused = bool(optimizer.defaults.get("fused"))
    for names, one in _owners(updated, named):
        state: dict[str, torch.Tensor] = {}
        for slot, of in slots.items():
            parts = [of[name] for name in names if name in of]
            if len(parts) < len(names):
                continue
            if slot not in SCALARS:
                flat = torch.cat([part.reshape(-1) for part in parts])
                state[slot] = flat.view(one.shape).to(one.device, one.dtype, copy=True)
            else:  # counts are single precision, as torch has them, and stay there unless fused
                where = one.device if fused else "cpu"
                state[slot] = parts[0].to(where, torch.float32, copy=True)
        if state.keys() - set(SCALARS):  # else a count is left of a velocity that is not asked for
            missing = [slot for slot, is_asked in asked.items() if is_asked and slot not in state]
            optimizer.state[one] = state | {slot: torch.zeros_like(one) for slot in missing}


def _owners(
    updated: Sequence[nn.Parameter], named: Mapping[str, nn.Parameter]
) -> Iterator[tuple[list[str], nn.Parameter]]:
    """What an optimizer updates, with the names of the parameters that are in it."""
    names = list(named)
    if len(updated) == len(names) and all(
        one is other for one, other in zip(updated, named.values(), strict=True)
    ):
        yield from (([name], one) for name, one in named.items())
    else:
        (vector,) = updated
        yield names, vector


class FlatParameters:
    """One vector that the parameters of a model are views of.

    parameters  trainable ones, all on one device and of one type; each must take part in every
                forward pass, since what has no gradient cannot be left out of a vector.

    For a small model the calls per tensor cost more than the arithmetic: with the six tensors of a
    64-128-128-10 perceptron an update takes half the time in one piece. Every optimizer here works
    element by element, so the numbers are the same.

    >>> layer = nn.Linear(2, 1)
    >>> flat = FlatParameters(list(layer.parameters()))
    >>> with torch.no_grad(): _ = flat.vector.fill_(3.0)
    >>> layer.weight.tolist(), layer.bias.tolist()
    ([[3.0, 3.0]], [3.0])
    """

    def __init__(self, parameters: Sequence[nn.Parameter]) -> None:
        self._parameters = parameters
        self.vector = nn.Parameter(parameters_to_vector(parameters).detach().clone())
        vector_to_parameters(self.vector.detach(), parameters)

    def gather_gradients(self) -> None:
        """Copy the gradients of the parameters, in their order, into the vector's."""
        gradients = [weight.grad for weight in self._parameters if weight.grad is not None]
        self.vector.grad = torch.cat([gradient.reshape(-1) for gradient in gradients])
