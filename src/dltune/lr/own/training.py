"""How a user's own model is trained: its loss on a batch, and what an update is."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import nn

from dltune.errors import DataError, ModelError, TrainingError
from dltune.lr.own.copy import ModelOrFactory, OwnCopy, copied
from dltune.lr.own.optimizer import OptimizerChoice

Loss = Callable[[Any, Any], torch.Tensor]
Forward = Callable[[Any, Any], torch.Tensor]

FORWARD_HINT = "Pass forward=lambda model, batch: ..., which returns the loss, and loss=None."


@dataclasses.dataclass(frozen=True, kw_only=True)
class OwnTraining:
    """How a user's model is trained; one update takes `accumulate` batches.

    model       a module, whose present weights every sweep starts with, or a function without
                arguments that builds one, so that each seed has initial weights of its own.
    loss        (outputs, targets) -> scalar tensor, for batches (inputs, targets); None where
                `forward` is given.
    forward     (model, batch) -> scalar tensor, for all other batches; else None.
    optimizer   an optimizer over the module's parameters, a class, a function of the list of
                parameters, or a name.
    accumulate  batches an update, at least 1; their mean losses count alike.
    clip_norm   largest norm of the gradient over all parameters, above 0; None for any.
    clip_value  largest absolute value in the gradient, above 0; None for any.
    device      where to train; None for where the module is.

    Raises ModelError or TrainingError for values that cannot be.
    """

    model: ModelOrFactory
    loss: Loss | None
    forward: Forward | None = None
    optimizer: OptimizerChoice = "adam"
    accumulate: int = 1
    clip_norm: float | None = None
    clip_value: float | None = None
    device: torch.device | None = None

    def __post_init__(self) -> None:
        if (self.loss is None) == (self.forward is None):
            both = "are both given" if self.loss is not None else "are both missing"
            raise ModelError(
                f"loss and forward {both}: one of them gives the loss",
                hint="Pass loss=torch.nn.functional.cross_entropy, "
                "or loss=None and forward=lambda model, batch: ...",
            )
        if self.accumulate < 1:
            raise TrainingError(
                f"accumulate = {self.accumulate}: an update takes at least 1 batch",
                hint="Try accumulate=1.",
            )
        for name in ("clip_norm", "clip_value"):
            limit = getattr(self, name)
            if limit is not None and not limit > 0:
                raise TrainingError(
                    f"{name} = {limit}: must be greater than 0, or None", hint=f"Try {name}=1.0."
                )

    def copy(self) -> OwnCopy:
        """A model that is not the user's, on the device: see `copied`."""
        objective = self.forward or self.loss
        assert objective is not None  # checked when it was made
        return copied(self.model, objective, device=self.device)

    def loss_on(self, own: OwnCopy, batch: Any) -> torch.Tensor:
        """The loss of a copy on a batch, a scalar that has a gradient.

        Raises DataError if the batch is no pair, ModelError if the loss is no such scalar.
        """
        if self.forward is not None:
            return _checked_loss(own.objective(own.model, batch), "forward returned")
        inputs, targets = _split(batch)
        if isinstance(inputs, Mapping):
            outputs = own.model(**inputs)
        elif isinstance(inputs, tuple | list):
            outputs = own.model(*inputs)
        else:
            outputs = own.model(inputs)
        return _checked_loss(own.objective(outputs, targets), "the loss is")


def _split(batch: Any) -> tuple[Any, Any]:
    if isinstance(batch, tuple | list) and len(batch) == 2:
        return batch[0], batch[1]
    kind = type(batch).__name__
    size = f" of {len(batch)}" if isinstance(batch, tuple | list | Mapping) else ""
    raise DataError(f"a batch is a {kind}{size}: (inputs, targets) is needed", hint=FORWARD_HINT)


def _checked_loss(loss: Any, lead: str) -> torch.Tensor:
    mean = "Return a mean over the batch, as a tensor: (outputs - targets).square().mean()."
    if not isinstance(loss, torch.Tensor):
        raise ModelError(f"{lead} a {type(loss).__name__}: a scalar tensor is needed", hint=mean)
    if loss.numel() != 1 or not loss.is_floating_point():
        raise ModelError(
            f"{lead} a tensor of shape {tuple(loss.shape)} and type {loss.dtype}: "
            "a scalar of floating point is needed",
            hint=mean,
        )
    if not loss.requires_grad:
        raise ModelError(
            f"{lead} a tensor without a gradient: it must depend on the model's parameters",
            hint="Leave out detach(), item() and no_grad() on the way to the loss.",
        )
    return loss.reshape(())


def check_graph(loss: torch.Tensor, parameters: Iterable[nn.Parameter]) -> None:
    """Raise ModelError if the loss goes through parameters other than the copy's."""
    own = {id(parameter) for parameter in parameters}
    waiting, seen = [loss.grad_fn], set()
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        leaf = getattr(node, "variable", None)
        if isinstance(leaf, nn.Parameter) and id(leaf) not in own:
            raise ModelError(
                f"the loss depends on a parameter of shape {tuple(leaf.shape)} that is not the "
                "copy's: the sweep trains a copy of the model, and leaves the model alone",
                hint="Use the model that forward=lambda model, batch: ... is given, "
                "or make the loss an nn.Module that holds the parameter.",
            )
        waiting += [below for below, _ in node.next_functions]
