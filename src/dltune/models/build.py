"""From a config's [model] to a module, for built-in architectures and the user's own."""

from __future__ import annotations

import weakref
from pathlib import Path

import torch
from torch import nn

from dltune.errors import DltuneError, ModelError
from dltune.models.cnn import build_cnn
from dltune.models.mlp import build_mlp
from dltune.recipe.places import at, place_of, place_of_error
from dltune.recipe.references import load_reference, neighbours
from dltune.recipe.schema import CnnConfig, FactoryConfig, MlpConfig
from dltune.recipe.users_code import in_words, let_signals_through

# What factories have returned: one that returns a module twice would start a trial with the weights
# that the trial before it has trained.
_RETURNED: weakref.WeakSet[nn.Module] = weakref.WeakSet()

# Batch norm in train mode and squeezed dimensions both behave differently with one example.
PROBE_EXAMPLES = 2


def build_model(
    model: MlpConfig | CnnConfig | FactoryConfig,
    *,
    inputs: tuple[int, ...],
    outputs: int,
    folder: Path,
) -> nn.Module:
    """A freshly initialised module for one trial, on the CPU; the caller sets the random state.

    model    the config's [model].
    inputs   shape of one example, such as (64,) or (1, 8, 8).
    outputs  classes or targets; the module maps (batch, *inputs) to (batch, outputs), logits for
             classes.
    folder   where a relative `model.factory` is looked up.

    Raises ModelError if the model does not fit the data, or if the user's factory does not give a
    module of the right output shape.
    """
    if isinstance(model, MlpConfig):
        return build_mlp(model, inputs=inputs, outputs=outputs)
    if isinstance(model, CnnConfig):
        return build_cnn(model, inputs=inputs, outputs=outputs)
    return _build_from_factory(model, inputs=inputs, outputs=outputs, folder=folder)


def _build_from_factory(
    model: FactoryConfig, *, inputs: tuple[int, ...], outputs: int, folder: Path
) -> nn.Module:
    factory = load_reference(model.factory, folder)
    if not callable(factory):
        raise ModelError(
            f"model.factory = {model.factory!r} is a {type(factory).__name__}: "
            "a function is needed",
            hint="It is called as build(inputs=..., outputs=..., **other values of [model]).",
        )
    try:
        with neighbours(model.factory, folder):
            module = factory(inputs=inputs, outputs=outputs, **model.arguments())
    except DltuneError:
        raise
    except BaseException as error:  # the user's code may raise anything
        let_signals_through(error)
        # Where the arguments do not fit, none of its lines has run.
        place = at(place_of_error(error) or place_of(factory))
        raise ModelError(
            f"model.factory = {model.factory!r} raised {in_words(error)}{place}",
            hint=_call_hint(model, inputs=inputs, outputs=outputs),
        ) from error
    if not isinstance(module, nn.Module):
        raise ModelError(
            f"model.factory = {model.factory!r} returned a {type(module).__name__}: "
            f"a torch.nn.Module is needed{at(place_of(factory))}"
        )
    if module in _RETURNED:
        raise ModelError(
            f"model.factory = {model.factory!r} returned the same module as before: every trial "
            f"needs a fresh one{at(place_of(factory))}",
            hint="Construct the module inside the function, and do not keep it.",
        )
    _RETURNED.add(module)
    try:
        _check_output(module, model.factory, inputs=inputs, outputs=outputs)
    except ModelError as error:
        cause = error.__cause__
        ran = place_of_error(cause) if cause else ""
        place = ran or place_of(type(module)) or place_of(factory)
        raise ModelError(f"{error.found}{at(place)}", hint=error.hint) from cause
    return module


def _call_hint(model: FactoryConfig, *, inputs: tuple[int, ...], outputs: int) -> str:
    extras = "".join(f", {key}={value!r}" for key, value in model.arguments().items())
    return f"It was called as build(inputs={inputs}, outputs={outputs}{extras})."


def _check_output(module: nn.Module, name: str, *, inputs: tuple[int, ...], outputs: int) -> None:
    """One forward pass on zeros: finds a wrong output shape now, and settles lazy modules."""
    module.eval()
    try:
        with torch.no_grad():
            result = module(torch.zeros(PROBE_EXAMPLES, *inputs))
    except BaseException as error:  # the user's code may raise anything
        let_signals_through(error)
        where = f"on a batch of shape {(PROBE_EXAMPLES, *inputs)}"
        raise ModelError(f"the model of {name!r} raised {in_words(error, where)}") from error
    finally:
        module.train()
    found = tuple(result.shape) if isinstance(result, torch.Tensor) else type(result).__name__
    if found != (PROBE_EXAMPLES, outputs):
        raise ModelError(
            f"the model of {name!r} maps {(PROBE_EXAMPLES, *inputs)} to {found}: "
            f"the output must be a tensor of shape {(PROBE_EXAMPLES, outputs)}"
        )
    if not any(parameter.requires_grad for parameter in module.parameters()):
        raise ModelError(f"the model of {name!r} has no trainable parameters")
