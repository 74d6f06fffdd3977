"""What a user's module is made of, as far as torch's public interface tells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from dltune.training.stacked.vmapped import named_tensors

TORCH_OWN = frozenset(vars(nn.Module()))  # what torch keeps on every module, such as its mode


def structure(module: nn.Module) -> dict[str, str]:
    """By place, such as "self.layers.0.weight": which layer or tensor stands there.

    Of a layer its class; of a tensor its type, its shape and whether it is trained; of what stands
    in two places, such as tied weights, the other place.

    >>> structure(nn.Linear(2, 1))["self.weight"]
    'trained parameter torch.float32 [1, 2]'
    """
    found: dict[str, str] = {}
    seen: dict[int, str] = {}

    def is_new(place: str, thing: object) -> bool:
        first = seen.setdefault(id(thing), place)
        if first != place:
            found[place] = f"is {first}"
        return first == place

    for name, part in module.named_modules(remove_duplicate=False):
        if is_new(place := _place(name), part):
            found[place] = f"{type(part).__module__}.{type(part).__qualname__}"
    for kind, tensors in (
        ("parameter", module.named_parameters(remove_duplicate=False)),
        ("buffer", module.named_buffers(remove_duplicate=False)),
    ):
        for name, tensor in tensors:
            if is_new(place := _place(name), tensor):
                trained = "trained" if tensor.requires_grad else "fixed"
                found[place] = f"{trained} {kind} {tensor.dtype} {[*tensor.shape]}"
    found["self.state_dict()"] = ", ".join(module.state_dict())
    return found


def attributes(module: nn.Module) -> dict[str, Any]:
    """By place: numbers, texts, and tensors that are neither parameters nor buffers (as copies).

    Those of its layers, in lists and dictionaries too. There are more places to hide a value in: a
    function that closes over it, an object. What they do shows in `behaviour`.

    >>> attributes(nn.Dropout(0.1))
    {'self.p': 0.1, 'self.inplace': False}
    """
    registered = {id(tensor) for _, tensor in named_tensors(module)}
    seen = {id(part) for part in module.modules()}
    found: dict[str, Any] = {}

    def look(place: str, value: object) -> None:
        if isinstance(value, torch.Tensor):
            if id(value) not in registered:
                found[place] = value.detach().clone()
        elif isinstance(value, int | float | complex | str):
            found[place] = value
        elif isinstance(value, dict | list | tuple | nn.Module) and id(value) not in seen:
            seen.add(id(value))
            if isinstance(value, nn.Module):  # a layer that is not registered
                entries = [(f".{name}", tensor) for name, tensor in named_tensors(value)]
            elif isinstance(value, dict):
                entries = [(f"[{key!r}]", entry) for key, entry in value.items()]
            else:
                entries = [(f"[{number}]", entry) for number, entry in enumerate(value)]
            for end, entry in entries:
                look(place + end, entry)

    for name, part in module.named_modules():
        for key, value in vars(part).items():
            if key not in TORCH_OWN:
                look(f"{_place(name)}.{key}", value)
    return found


def first_change(before: Mapping[str, Any], after: Mapping[str, Any]) -> str | None:
    """The first place where two structures, or the attributes of two modules, differ.

    >>> first_change({"self.p": 0.1}, {"self.p": 0.1, "self.passes": 1})
    'self.passes'
    """
    places = [*before, *after]
    return next((p for p in places if not _equal(before.get(p), after.get(p))), None)


def _equal(one: object, other: object) -> bool:
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    return type(one) is type(other) and (one is other or one == other)


def _place(name: str) -> str:
    return f"self.{name}" if name else "self"
