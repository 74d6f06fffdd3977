"""Which arguments of a user's factory give models that may share a stack."""

from __future__ import annotations

import json
import warnings
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import nn

from dltune.data.device import DeviceData, in_double
from dltune.models.build import build_model
from dltune.recipe.schema import Config
from dltune.training.randomness import RandomStream, seed_all
from dltune.training.stacked.behaviour import behaviour, copies, tried_examples
from dltune.training.stacked.structure import structure

# If so many sets of arguments of one structure all act differently, the others are taken to do so
# too: one of the arguments is a continuous number that no tensor holds, such as a share of dropout.
# To try one set costs a dozen updates, so that eight cost less than one short training.
ENOUGH_TO_TELL = 8


def kinds(
    configs: Sequence[Config], data: DeviceData, *, folder: Path, seed: int
) -> list[str | None]:
    """For each config a text, equal where the models may be rows of one stack.

    configs  with a user's model, alike in the data, the size of a batch and the precision.
    folder   where the factory is looked up.
    seed     of the weights that the models are tried with.

    A stack has one module for all rows, and for each row only its own parameters and buffers. So
    models may share one if their arguments are equal, or if they have the same layers and shapes
    and, with the same numbers in them, do the same to the last bit (`behaviour`): the arguments
    then act through the tensors alone. What cannot be decided is a kind of its own.

    The text is that of the arguments of the first config of its kind, the same for the same configs
    in every process. None stands for a model that cannot be built. Nothing that the user's code
    raises passes through, and the global random numbers stay as they are.
    """
    keys = [json.dumps(one.model.model_dump(mode="json"), sort_keys=True) for one in configs]
    sets = dict(zip(keys, configs, strict=True))
    if len(sets) == 1:
        return [*keys]
    maker = _Maker(data, folder, seed)
    found: dict[str, str | None] = {}
    with RandomStream(seed, data.device).active(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the trials will repeat them
        for shape, alike in maker.by_structure(sets).items():
            found |= dict.fromkeys(alike) if shape is None else maker.by_behaviour(alike)
    return [found[key] for key in keys]


class _Maker:
    """Builds modules, all with the same random numbers, and sorts sets of arguments by them."""

    def __init__(self, data: DeviceData, folder: Path, seed: int) -> None:
        self._data, self._folder, self._seed = data, folder, seed

    def _build(self, config: Config) -> nn.Module:
        data = self._data
        seed_all(self._seed, data.device)
        return build_model(
            config.model, inputs=data.inputs, outputs=data.outputs, folder=self._folder
        )

    def by_structure(self, sets: Mapping[str, Config]) -> dict[str | None, dict[str, Config]]:
        """The sets of arguments by what their modules are made of; by None if that is unknown."""
        found: defaultdict[str | None, dict[str, Config]] = defaultdict(dict)
        for key, config in sets.items():
            try:
                shape = json.dumps(structure(self._build(config)))
            except Exception:  # the user's code may raise anything; the trial will tell what
                shape = None
            found[shape][key] = config
        return found

    def by_behaviour(self, sets: Mapping[str, Config]) -> dict[str, str]:
        """For each of these sets, whose modules are of one structure, the first that acts alike."""
        if len(sets) == 1:
            return {key: key for key in sets}
        tensors: list[torch.Tensor] | None = None  # of the first
        first: dict[str, str] = {}  # by behaviour
        found: dict[str, str] = {}
        for key, config in sets.items():
            if len(first) == len(found) == ENOUGH_TO_TELL:
                break
            data = in_double(self._data) if config.train.precision == "float64" else self._data
            examples = tried_examples(data, config.train)
            try:
                module = self._build(config).to(examples.dtype)
                tensors = tensors or copies(module)
                acts = behaviour(module, tensors, examples, outputs=data.outputs, seed=self._seed)
            except Exception:  # the user's code may raise anything
                acts = key
            found[key] = first.setdefault(acts, key)
        return {key: key for key in sets} | found
