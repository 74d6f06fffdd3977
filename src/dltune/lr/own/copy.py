"""Copies of a user's model and loss, so that a sweep trains nothing that is not its own."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from dltune.errors import ModelError, ran_out_of_memory

Objective = Callable[[Any, Any], torch.Tensor]
ModelOrFactory = nn.Module | Callable[[], nn.Module]

FACTORY_HINT = "Pass a function that builds the model: lr_find(build_model, ...)."


@dataclasses.dataclass(frozen=True, kw_only=True)
class OwnCopy:
    """A model to train, and the loss that goes with it.

    model       a deep copy of the user's, or what the user's function built.
    objective   the user's loss or forward function; a copy where it is a module or a module's
                method.
    parameters  those of both, each once.
    memo        of `copy.deepcopy`: what each of the user's own objects became, by its id.
    """

    model: nn.Module
    objective: Objective
    parameters: tuple[nn.Parameter, ...]
    memo: dict[int, Any]

    def trainable(self) -> list[nn.Parameter]:
        """The parameters that ask for a gradient."""
        return [parameter for parameter in self.parameters if parameter.requires_grad]


def copied(model: ModelOrFactory, objective: Objective, *, device: torch.device | None) -> OwnCopy:
    """A model and a loss that share no tensor with the user's.

    model      a module, or a function that builds one.
    objective  a function; if it is a module or a module's method, it is copied as well.
    device     where to put the copies; None leaves them where they are.

    Modules are in train mode afterwards if the whole model was not; parts that alone are in
    evaluation mode, such as frozen batch norm, stay so. A function that gives the same model twice
    does no harm.

    Raises ModelError if the model cannot be copied, or cannot be trained.
    """
    memo: dict[int, Any] = {}
    original = model if isinstance(model, nn.Module) else _built(model)
    own = _deep(original, memo, rebuild=None if isinstance(model, nn.Module) else model)
    is_method = inspect.ismethod(objective) and isinstance(objective.__self__, nn.Module)
    own_objective = objective
    if isinstance(objective, nn.Module) or is_method:
        own_objective = _deep(objective, memo, rebuild=None)
    outer = _parameters(original, objective)
    for one in _modules(own, own_objective):
        if not one.training:
            one.train()
        if device is not None:
            one.to(device)
    parameters = _parameters(own, own_objective)
    if isinstance(model, nn.Module):  # `to` may have made new parameters
        memo.update({id(was): now for was, now in zip(outer, parameters, strict=True)})
    else:  # what was built has no optimizer yet, and need not be kept
        memo = {}
    result = OwnCopy(model=own, objective=own_objective, parameters=parameters, memo=memo)
    _check_trainable(result)
    return result


def _modules(model: nn.Module, objective: Objective) -> list[nn.Module]:
    return [model, objective] if isinstance(objective, nn.Module) else [model]


def _parameters(model: nn.Module, objective: Objective) -> tuple[nn.Parameter, ...]:
    every = (p for module in _modules(model, objective) for p in module.parameters())
    return tuple({id(parameter): parameter for parameter in every}.values())


def _built(factory: Callable[[], nn.Module]) -> nn.Module:
    if not callable(factory):
        raise ModelError(
            f"the model is a {type(factory).__name__}: a torch.nn.Module is needed, "
            "or a function without arguments that builds one"
        )
    built = factory()
    if not isinstance(built, nn.Module):
        raise ModelError(
            f"the function that builds the model returned a {type(built).__name__}: "
            "a torch.nn.Module is needed"
        )
    return built


def _deep(one: Any, memo: dict[int, Any], *, rebuild: Callable[[], nn.Module] | None) -> Any:
    try:
        return copy.deepcopy(one, memo)
    except Exception as error:  # whatever the parts of a user's module raise
        if ran_out_of_memory(error):
            raise
        first_line = str(error).partition("\n")[0]
        found = f"copy.deepcopy of the {type(one).__name__} raised {type(error).__name__}: "
        if rebuild is None:
            raise ModelError(found + first_line, hint=FACTORY_HINT) from error
        if _tensors(one) & _tensors(rebuild()):
            raise ModelError(
                f"{found}{first_line}; and the function that builds it gives the same tensors "
                "every time",
                hint="Construct all of the module inside the function.",
            ) from error
        memo.clear()
        return one


def _tensors(module: nn.Module) -> set[int]:
    return {id(tensor) for tensor in (*module.parameters(), *module.buffers())}


def _check_trainable(own: OwnCopy) -> None:
    if any(is_lazy(parameter) for parameter in own.parameters):
        raise ModelError(
            "the model has lazy parameters, whose shapes are not known yet",
            hint="Pass one batch through it first: model(inputs).",
        )
    if not own.trainable():
        raise ModelError(
            "the model has no trainable parameters: requires_grad is false for all, "
            "or there are none"
        )


@contextlib.contextmanager
def untouched_buffers(model: ModelOrFactory) -> Iterator[None]:
    """Inside, a loss that goes through the user's model instead of the copy changes no buffer."""
    modules = list(model.modules()) if isinstance(model, nn.Module) else []
    kept = [
        (module._buffers, name, buffer, buffer.detach().clone())
        for module in modules
        for name, buffer in module._buffers.items()
        if buffer is not None
    ]
    try:
        yield
    finally:
        with torch.no_grad():
            for buffers, name, buffer, value in kept:
                buffers[name] = buffer
                # Batch norm's own kernel does not count up `_version`, so the values are compared.
                if not torch.equal(buffer, value):
                    buffer.copy_(value)
