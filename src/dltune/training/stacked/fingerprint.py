"""Whether two of a user's modules differ in their tensors' values alone."""

from __future__ import annotations

import enum
import hashlib
import types
import uuid
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

# What torch keeps on every module beside the user's own attributes; hooks are compared like any.
TENSORS_AND_CHILDREN = {"_parameters", "_buffers", "_modules", "training"}
PLAIN = (bool, int, float, complex, str, bytes, torch.dtype, torch.device, torch.Size, type(None))


def fingerprint(module: nn.Module) -> str:
    """A text that is equal for two modules if they may be rows of one stack.

    They may if they have the same layers, shapes and tied weights, and every attribute of every
    layer that is not a parameter or buffer has the same value: the share of a dropout, a slope, a
    function. A stack has one module for all rows, so such a value would be shared silently.
    What cannot be compared for certain makes every module different from every other one.

    The text is the same in every process.

    >>> same = fingerprint(nn.Dropout(0.1)) == fingerprint(nn.Dropout(0.1))
    >>> same, fingerprint(nn.Dropout(0.1)) == fingerprint(nn.Dropout(0.2))
    (True, False)
    >>> fingerprint(nn.Linear(2, 1)) == fingerprint(nn.Linear(2, 1))  # other weights
    True
    """
    return hashlib.blake2b("\n".join(_lines(module)).encode(), digest_size=16).hexdigest()


def _lines(module: nn.Module) -> Iterator[str]:
    seen: dict[int, str] = {}  # a tensor that comes again is tied
    for name, part in module.named_modules(remove_duplicate=False):
        yield f"{name}: {_name(type(part))}"
        for kind, tensors in (("parameter", part._parameters), ("buffer", part._buffers)):
            for key, tensor in tensors.items():
                if tensor is None:
                    yield f"{name}.{key} none"
                    continue
                tied = seen.setdefault(id(tensor), f"{name}.{key}")
                described = f"{tuple(tensor.shape)} {tensor.dtype} {tensor.requires_grad}"
                yield f"{name}.{key} {kind} {described} {tied}"
        for key, value in sorted(vars(part).items()):
            if key not in TENSORS_AND_CHILDREN:
                yield f"{name}.{key} = {_text(value)}"


def _text(value: Any) -> str:
    """A value as text; of two values with the same text neither can tell which one it is."""
    match value:
        case enum.Enum():
            return f"{_name(type(value))}.{value.name}"
        case _ if type(value) in PLAIN:
            return f"{type(value).__name__} {value!r}"
        case torch.Tensor():
            numbers = value.detach().cpu()
            return f"tensor {numbers.dtype} {numbers.tolist()!r}"
        case list() | tuple():
            return f"{_name(type(value))} [{', '.join(map(_text, value))}]"
        case dict():
            items = sorted(f"{_text(key)}: {_text(one)}" for key, one in value.items())
            return f"{_name(type(value))} {{{', '.join(items)}}}"
        case set() | frozenset():
            return f"{_name(type(value))} {{{', '.join(sorted(map(_text, value)))}}}"
        case type() | types.BuiltinFunctionType():
            return _name(value)
        case types.FunctionType():
            return _function(value)
        case nn.Module():
            return f"module {fingerprint(value)}"
        case _:
            return f"unknown {uuid.uuid4()}"


def _function(function: types.FunctionType) -> str:
    code = function.__code__
    cells = [cell.cell_contents for cell in function.__closure__ or ()]
    constants = [one for one in code.co_consts if not isinstance(one, types.CodeType)]
    parts = (code.co_code, code.co_names, constants, cells, function.__defaults__)
    return f"{_name(function)} {', '.join(_text(part) for part in parts)}"


def _name(thing: Any) -> str:
    return f"{thing.__module__}.{thing.__qualname__}"
