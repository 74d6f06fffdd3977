"""All that a user's module holds beside the numbers in its parameters and buffers, as text."""

from __future__ import annotations

import dataclasses
import enum
import functools
import hashlib
import logging
import pathlib
import sys
import types
import weakref
from collections import defaultdict, deque
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import nn

# What torch keeps on every module beside the user's own attributes. Of its hooks the functions
# count, not the keys, which come from a counter of the process. `training` is set before each pass.
TORCH_OWN = frozenset(vars(nn.Module()))
HOOKS = sorted(name for name in TORCH_OWN if name.endswith("_hooks"))
# Aliases of its registered parameters, which a recurrent layer keeps up to date itself.
RECURRENT_OWN = TORCH_OWN | {"_flat_weights", "_flat_weight_refs"}

# Values that are equal if their types and texts are.
PLAIN = frozenset((bool, int, float, complex, str, bytes, range, type(None), type(...)))
PLAIN_KINDS = (
    *(torch.dtype, torch.device, torch.Size, torch.layout, torch.memory_format),
    *(np.generic, np.dtype, pathlib.PurePath),
)
# What is written into a class whatever it does.
OF_EVERY_CLASS = {
    *("__dict__", "__weakref__", "__doc__", "__module__", "__qualname__", "__annotations__"),
    *("__firstlineno__", "__static_attributes__", "__abstractmethods__", "_abc_impl"),
    *("__annotate__", "__annotate_func__", "__annotations_cache__"),
}
# What kinds of value that are written in C hold beside attributes and entries.
PARTS: tuple[tuple[type, tuple[str, ...]], ...] = (
    (types.MethodType, ("__func__", "__self__")),
    (types.BuiltinFunctionType, ("__name__", "__self__")),
    (functools.partial, ("func", "args", "keywords")),
    (property, ("fget", "fset", "fdel")),
    (staticmethod, ("__func__",)),
    (classmethod, ("__func__",)),
    (slice, ("start", "stop", "step")),
    (types.SimpleNamespace, ()),
    (defaultdict, ("default_factory",)),
    (deque, ("maxlen",)),
    (types.GetSetDescriptorType, ("__objclass__", "__name__")),
    (types.MemberDescriptorType, ("__objclass__", "__name__")),
    (types.MethodDescriptorType, ("__objclass__", "__name__")),
    (types.WrapperDescriptorType, ("__objclass__", "__name__")),
)
# Bits of a type's __flags__, from CPython's Include/object.h.
MADE_AT_RUN_TIME, IMMUTABLE, NOT_TO_BE_CALLED = 1 << 9, 1 << 8, 1 << 7


@dataclasses.dataclass(frozen=True, kw_only=True)
class Description:
    """What a module is.

    texts          by place, such as "self.layers.0.p": what stands there. For two modules they are
                   equal if and only if the modules are, as far as they can be compared.
    loose_tensors  the places of tensors that are neither parameters nor buffers.
    incomparable   the places of values that cannot be compared, such as an open file.
    """

    texts: dict[str, str]
    loose_tensors: tuple[str, ...]
    incomparable: tuple[str, ...]


def describe(module: nn.Module) -> Description:
    """What a module is: its layers, shapes, tied tensors, and all its attributes.

    A class or function that a file has at its top level is told by its name. Others (a lambda, a
    class inside a function) are read: their code, their defaults, the values that they close over.

    >>> describe(nn.Dropout(0.1)).texts["self.p"]
    'float 0.1'
    """
    reader = _Reader(module)
    reader.read("self", module)
    return Description(
        texts=reader.texts,
        loose_tensors=tuple(reader.loose_tensors),
        incomparable=tuple(reader.incomparable),
    )


class _Reader:
    """Goes through all that a module holds; what it meets a second time it names by its place."""

    def __init__(self, module: nn.Module) -> None:
        self.texts: dict[str, str] = {}
        self.loose_tensors: list[str] = []
        self.incomparable: list[str] = []
        self._registered = {id(part) for part in module.modules()}
        self._seen: dict[int, tuple[str, Any]] = {}  # place and value, which keeps its id taken

    def read(self, place: str, value: Any) -> None:
        text = _plain_text(value) or _importable_name(value)
        if text is not None:
            self.texts[place] = text
        elif isinstance(value, torch.Tensor):
            self.loose_tensors.append(place)
            if self._is_new(place, value):
                self._numbers(place, value)
        elif isinstance(value, tuple | frozenset) or self._is_new(place, value):
            self._compound(place, value)

    def _is_new(self, place: str, value: Any) -> bool:
        known, _ = self._seen.setdefault(id(value), (place, value))
        if known != place:
            self.texts[place] = f"is {known}"
        return known == place

    def _compound(self, place: str, value: Any) -> None:
        parts = next((names for kind, names in PARTS if isinstance(value, kind)), None)
        for name in parts or ():
            self.read(f"{place}.{name}", getattr(value, name))
        match value:
            case nn.Module():
                self._module(place, value)
            case list() | tuple() | deque():
                self._object(place, value)
                self._each(place, value)
            case dict() | types.MappingProxyType():
                self._object(place, value)
                self._mapping(place, value)
            case set() | frozenset():
                self._set(place, value)
            case np.ndarray() if type(value) is np.ndarray:
                self._numbers(place, value)
            case type():
                self._class(place, value)
            case types.FunctionType():
                self._function(place, value)
            case weakref.ref():
                self.texts[place] = "weak reference"
                self.read(f"{place}()", value())
            case _ if parts is not None or _is_pure_python(type(value)):
                self._object(place, value)
            case _:
                self._give_up(place, value)

    def _give_up(self, place: str, value: Any) -> None:
        self.texts[place] = f"incomparable {_name(type(value))}"
        self.incomparable.append(place)

    def _module(self, place: str, module: nn.Module) -> None:
        for kind, tensors in (("parameter", module._parameters), ("buffer", module._buffers)):
            for name, tensor in tensors.items():
                slot = f"{place}.{name}"
                if tensor is None:
                    self.texts[slot] = f"no {kind}"
                elif self._is_new(slot, tensor):
                    trained = "trained" if tensor.requires_grad else "fixed"
                    saved = "" if name not in module._non_persistent_buffers_set else " not saved"
                    self.texts[slot] = f"{trained} {kind} {tensor.dtype} {[*tensor.shape]}{saved}"
                if tensor is not None and id(module) not in self._registered:
                    self.loose_tensors.append(slot)
        for name, child in module._modules.items():
            self.read(f"{place}.{name}", child)
        for name in HOOKS:
            self._each(f"{place}.{name}", vars(module).get(name, {}).values())
        skipped = RECURRENT_OWN if isinstance(module, nn.RNNBase) else TORCH_OWN
        self._object(place, module, skipped=skipped)

    def _object(self, place: str, value: Any, *, skipped: frozenset[str] = frozenset()) -> None:
        """The class of a value and its attributes."""
        kind = type(value)
        self.texts[place] = _name(kind)
        if _importable_name(kind) is None:
            self.read(f"{place}.__class__", kind)
        attributes = dict(getattr(value, "__dict__", {}))
        for base in kind.__mro__:
            for name, slot in vars(base).items():
                if isinstance(slot, types.MemberDescriptorType) and _is_pure_python(base):
                    try:
                        attributes[name] = slot.__get__(value)
                    except AttributeError:
                        self.texts[f"{place}.{name}"] = "not set"
        for name in sorted(attributes.keys() - skipped):
            self.read(f"{place}.{name}", attributes[name])

    def _each(self, place: str, entries: Iterable[Any]) -> None:
        for number, entry in enumerate(entries):
            self.read(f"{place}[{number}]", entry)

    def _mapping(self, place: str, value: Any) -> None:
        for number, (key, entry) in enumerate(value.items()):  # their order may matter
            label = repr(key) if _plain_text(key) is not None else str(number)
            self.read(f"{place}.keys[{number}]", key)
            self.read(f"{place}[{label}]", entry)

    def _set(self, place: str, value: Any) -> None:
        texts = [_plain_text(entry) or _importable_name(entry) for entry in value]
        if None in texts:  # what cannot be sorted stands in another order in every process
            self._give_up(place, value)
        else:
            self._object(place, value)
            self.texts[f"{place}.values"] = str(sorted(map(str, texts)))

    def _class(self, place: str, kind: type) -> None:
        self.texts[place] = f"class {_name(kind)}"
        self._each(f"{place}.__bases__", kind.__bases__)
        for name, attribute in sorted(vars(kind).items()):
            if name not in OF_EVERY_CLASS:
                self.read(f"{place}.{name}", attribute)

    def _function(self, place: str, function: types.FunctionType) -> None:
        self.texts[place] = f"function {_name(function)}"
        self._code(f"{place}.__code__", function.__code__)
        for name in ("__defaults__", "__kwdefaults__", "__dict__"):
            self.read(f"{place}.{name}", getattr(function, name))
        for name, cell in zip(
            function.__code__.co_freevars, function.__closure__ or (), strict=True
        ):
            try:
                self.read(f"{place}.{name}", cell.cell_contents)
            except ValueError:  # the variable has no value
                self.texts[f"{place}.{name}"] = "not set"

    def _code(self, place: str, code: types.CodeType) -> None:
        names = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
        counts = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags)
        self.texts[place] = f"{code.co_code.hex()} {code.co_exceptiontable.hex()} {names} {counts}"
        for number, constant in enumerate(code.co_consts):
            if isinstance(constant, types.CodeType):
                self._code(f"{place}[{number}]", constant)
            else:
                self.read(f"{place}[{number}]", constant)

    def _numbers(self, place: str, value: torch.Tensor | np.ndarray[Any, Any]) -> None:
        try:
            digest = hashlib.blake2b(_bytes(value), digest_size=16).hexdigest()
        except (RuntimeError, TypeError):  # a sparse tensor, an array of Python objects
            self._give_up(place, value)
        else:
            self.texts[place] = f"{_name(type(value))} {value.dtype} {[*value.shape]} {digest}"


def _plain_text(value: Any) -> str | None:
    """The text of a value that is told by its type and text."""
    kind = type(value)
    if kind in PLAIN or isinstance(value, PLAIN_KINDS):
        return f"{kind.__name__} {value!r}"
    if isinstance(value, enum.Enum) and _importable_name(kind) is not None:
        return f"{_name(kind)}.{value.name}"
    if isinstance(value, types.ModuleType):
        return f"module {value.__name__}"
    return f"logger {value.name}" if isinstance(value, logging.Logger) else None


def _importable_name(value: Any) -> str | None:
    """The name by which a class or function is found at the top level of its file."""
    if not isinstance(value, type | types.FunctionType | types.BuiltinFunctionType):
        return None
    found: Any = sys.modules.get(value.__module__ or "")
    for part in value.__qualname__.split("."):
        found = vars(found).get(part) if isinstance(found, types.ModuleType | type) else None
    found = found.__func__ if isinstance(found, staticmethod) else found
    return _name(value) if found is value else None


def _name(thing: Any) -> str:
    return f"{thing.__module__}.{thing.__qualname__}"


def _is_pure_python(kind: type) -> bool:
    """Whether all that an instance holds are its attributes: its classes are not written in C."""
    return kind is not object and all(
        one.__flags__ & (MADE_AT_RUN_TIME | IMMUTABLE | NOT_TO_BE_CALLED) == MADE_AT_RUN_TIME
        and not isinstance(vars(one).get("__new__"), types.BuiltinFunctionType)
        for one in kind.__mro__[:-1]
    )


def _bytes(value: torch.Tensor | np.ndarray[Any, Any]) -> bytes:
    if isinstance(value, torch.Tensor):
        plain = value.detach().cpu().contiguous().resolve_conj().resolve_neg()
        value = plain.flatten().view(torch.uint8).numpy()
    elif value.dtype.hasobject:
        raise TypeError("an array of Python objects has no bytes")
    return value.tobytes()
