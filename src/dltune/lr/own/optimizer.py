"""A user's optimizer on a copy of the model: its settings, groups and state, and its rates."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from pydantic import TypeAdapter
from torch import nn

from dltune.errors import TrainingError, closest
from dltune.lr.own.copy import OwnCopy
from dltune.recipe.schema import OptimConfig
from dltune.training.optimizers import CLASSES, build_optimizer

Optimizer = torch.optim.Optimizer
OptimizerChoice = str | Optimizer | Callable[[list[nn.Parameter]], Optimizer]

OPTIMIZER_HINT = 'Try optimizer="adam", torch.optim.SGD, or an optimizer over your model.'


def optimizer_on(own: OwnCopy, choice: OptimizerChoice) -> Optimizer:
    """The user's optimizer on a copy of the model; the user's own is only read.

    choice  an optimizer over the user's model, which is taken over with all settings, groups and
            state; a class or a function that gets the list of trainable parameters; or a name in
            a recipe, with the recipe's defaults.

    Raises TrainingError if that is none of these, or not an optimizer of this model.
    """
    if isinstance(choice, str):
        return _by_name(choice, own)
    if isinstance(choice, Optimizer):
        made = _taken_over(choice, own)
    elif callable(choice):
        made = choice(own.trainable())
    else:
        made = choice
    if not isinstance(made, Optimizer):
        raise TrainingError(
            f"optimizer is or gives a {type(made).__name__}: a torch.optim.Optimizer is needed",
            hint=OPTIMIZER_HINT,
        )
    if isinstance(made, torch.optim.LBFGS):
        raise TrainingError(
            "optimizer is LBFGS, whose step evaluates the loss many times: "
            "a sweep needs one evaluation an update",
            hint=OPTIMIZER_HINT,
        )
    known = {id(parameter) for parameter in own.parameters}
    _check_known(made, known)
    return made


def _check_known(optimizer: Optimizer, known: set[int]) -> None:
    every = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    unknown = sum(id(parameter) not in known for parameter in every)
    if unknown:
        raise TrainingError(
            f"optimizer: {unknown} of its {len(every)} parameters are not among those of the model",
            hint="Pass an optimizer over model.parameters(), or a function of the parameters: "
            "optimizer=lambda parameters: torch.optim.SGD(parameters, momentum=0.9).",
        )


def _by_name(name: str, own: OwnCopy) -> Optimizer:
    if name not in CLASSES:
        near = closest(name, CLASSES)
        known = f"Known are {', '.join(CLASSES)}."
        raise TrainingError(
            f"optimizer = {name!r} is not the name of an optimizer",
            hint=f"Did you mean {near!r}? {known}" if near else known,
        )
    config: Any = TypeAdapter(OptimConfig).validate_python({"name": name})
    parameters = own.trainable()
    return build_optimizer(config, parameters, device=parameters[0].device)


def _taken_over(optimizer: Optimizer, own: OwnCopy) -> Optimizer:
    _check_known(optimizer, {key for key, now in own.memo.items() if isinstance(now, nn.Parameter)})
    taken = copy.deepcopy(optimizer, own.memo)
    for name, value in vars(optimizer).items():
        # A schedule has put its own `step` on the object; pickling, and so copying, leaves out what
        # a class adds to the three attributes of every optimizer.
        if name not in vars(taken) and name != "step":
            setattr(taken, name, copy.deepcopy(value, own.memo))
    devices = {p.device for group in optimizer.param_groups for p in group["params"]}
    if devices != {p.device for group in taken.param_groups for p in group["params"]}:
        taken.load_state_dict(taken.state_dict())  # brings the state to the parameters' device
    return taken


def recipe_name(optimizer: Optimizer) -> str:
    """The recipe's name for an optimizer; for a class they do not have, that of the class.

    >>> recipe_name(torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=0.1, momentum=0.9))
    'momentum'
    """
    if isinstance(optimizer, torch.optim.SGD):
        groups = optimizer.param_groups
        if any(group.get("nesterov") for group in groups):
            return "nesterov"
        return "momentum" if any(group.get("momentum") for group in groups) else "sgd"
    if isinstance(optimizer, torch.optim.ASGD):  # its steps are those of plain descent
        return "sgd"
    # The most special class first: torch's AdamW is an Adam.
    known = sorted(CLASSES.items(), key=lambda item: -len(item[1].__mro__))
    own = type(optimizer).__name__.lower()
    return next((name for name, kind in known if isinstance(optimizer, kind)), own)


def rate_ratios(optimizer: Optimizer) -> list[float]:
    """What each parameter group's learning rate is of the largest.

    Where a schedule that warms up has them all at 0, those it starts from count.

    Raises TrainingError for groups without a learning rate, or with one below 0.

    >>> first, second = nn.Parameter(torch.ones(1)), nn.Parameter(torch.ones(1))
    >>> groups = [{"params": [first], "lr": 0.1}, {"params": [second], "lr": 0.05}]
    >>> rate_ratios(torch.optim.SGD(groups, lr=1.0))
    [1.0, 0.5]
    """
    rates = [float(group.get("lr", math.nan)) for group in optimizer.param_groups]
    if not all(0 <= rate < math.inf for rate in rates):
        raise TrainingError(
            f"the parameter groups of {type(optimizer).__name__} have the learning rates {rates}: "
            "a finite one of at least 0 is needed in each",
            hint=OPTIMIZER_HINT,
        )
    if not any(rates):
        rates = [float(group.get("initial_lr", 0.0)) for group in optimizer.param_groups]
    highest = max(rates)
    return [rate / highest if highest > 0 else 1.0 for rate in rates]


def set_rates(optimizer: Optimizer, rates: Sequence[float]) -> None:
    """Give each parameter group its learning rate."""
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        if isinstance(group["lr"], torch.Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate
