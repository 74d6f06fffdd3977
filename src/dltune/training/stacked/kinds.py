"""Which arguments of a user's factory give models that may share a stack."""

from __future__ import annotations

import json
import math
import time
import warnings
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from dltune.data.device import DeviceData, in_double
from dltune.models.build import build_model
from dltune.recipe.schema import Config
from dltune.recipe.users_code import let_signals_through
from dltune.training.randomness import RandomStream, seed_all
from dltune.training.stacked.behaviour import behaviour, copies, tried_examples
from dltune.training.stacked.stackable import DROPOUT_LAYERS
from dltune.training.stacked.structure import structure

# If the first so many sets of arguments all make different kinds, the others are taken to do so
# too, and are not built: one of the arguments is a continuous number that no tensor holds, such as
# a share of dropout. To try one costs a dozen updates: eight cost less than one short training.
ENOUGH_TO_TELL = 8


def kinds(
    configs: Sequence[Config],
    data: DeviceData,
    *,
    folder: Path,
    seed: int,
    seconds_at_most: float = math.inf,
) -> list[str | None]:
    """For each config a text, equal where the models may be rows of one stack.

    configs  with a user's model, alike in the data, the size of a batch and the precision.
    folder   where the factory is looked up.
    seed     of the weights that the models are tried with.
    seconds_at_most  after which no further model is tried, and each is a kind of its own.

    A stack has one module for all rows, and for each row only its own parameters and buffers. So
    models may share one if their arguments are equal, or if they have the same layers and shapes
    and, with the same numbers in them, did the same to the last bit (`behaviour`). What cannot be
    decided, such as what random numbers do, is a kind of its own.

    The text is that of the arguments of the first config of its kind, the same for the same configs
    in every process. None stands for a model that cannot be built. Nothing that the user's code
    raises passes through, and the global random numbers stay as they are.
    """
    keys = [json.dumps(one.model.model_dump(mode="json"), sort_keys=True) for one in configs]
    sets = dict(zip(keys, configs, strict=True))
    if len(sets) == 1:
        return [*keys]
    first: dict[tuple[str, str], str] = {}  # by what modules are made of, and what they do
    starts: dict[str, list[torch.Tensor]] = {}  # by what they are made of: tensors of the first
    found: dict[str, str | None] = {}
    end = time.monotonic() + seconds_at_most
    with RandomStream(seed, data.device).active(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the trials will repeat them
        for key, config in sets.items():
            if len(first) == len(found) == ENOUGH_TO_TELL or time.monotonic() >= end:
                break
            built = _build(config, data, folder, seed)
            if built is None:
                found[key] = None
                continue
            module, made_of = built
            start = starts.setdefault(made_of, copies(module))
            does = _behaviour(module, start, config, data, seed) or key
            found[key] = first.setdefault((made_of, does), key)
    return [found.get(key, key) for key in keys]


def _build(
    config: Config, data: DeviceData, folder: Path, seed: int
) -> tuple[nn.Module, str] | None:
    """The module, and what it is made of; None if it cannot be built."""
    seed_all(seed, data.device)
    try:
        module = build_model(config.model, inputs=data.inputs, outputs=data.outputs, folder=folder)
        made_of = json.dumps(structure(module))
        return module.to(_in_its_precision(config, data).train.features.dtype), made_of
    except BaseException as error:  # the trial will tell what
        let_signals_through(error)
        return None


def _behaviour(
    module: nn.Module,
    start: Sequence[torch.Tensor],
    config: Config,
    data: DeviceData,
    seed: int,
) -> str | None:
    """See `behaviour`; None for a module that raises, or draws random numbers of its own.

    Of torch's dropout layers the shares are part of the text.
    """
    examples = tried_examples(_in_its_precision(config, data), config.train)
    try:
        text, draws = behaviour(module, start, examples, outputs=data.outputs, seed=seed)
        if not draws:
            return text
        dropout = [part for part in module.modules() if isinstance(part, DROPOUT_LAYERS)]
        shares = [part.p for part in dropout]
        for part in dropout:
            part.p = 0.0  # then it draws none
        quiet, draws = behaviour(module, start, examples, outputs=data.outputs, seed=seed)
    except BaseException as error:  # the user's code may raise anything
        let_signals_through(error)
        return None
    return None if draws else f"{text} {quiet} {shares}"


def _in_its_precision(config: Config, data: DeviceData) -> DeviceData:
    return in_double(data) if config.train.precision == "float64" else data
