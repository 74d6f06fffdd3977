"""Losses by their recipe name, and the error: one scale for every task."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.nn import functional as F

from dltune.errors import TrainingError
from dltune.recipe.schema import Config

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

TASK_OF_LOSS = {
    "cross-entropy": "classification",
    "mse": "regression",
    "mae": "regression",
    "huber": "regression",
}
DEFAULT_LOSS = {"classification": "cross-entropy", "regression": "mse"}


def build_loss(config: Config, *, task: str, smoothing: bool = True) -> Loss:
    """The mean loss over a batch, as a function of (outputs, targets).

    config     its `objective.loss` (the task's usual one if absent), `objective.huber_delta`, and
               `regularize.label_smoothing`.
    task       "classification" or "regression".
    smoothing  False leaves label smoothing out: the loss that is reported.

    cross-entropy  -sum_k q_k log p_k, q = (1 - s) onehot + s / K   (Szegedy et al. 2016, section 7)
    mse            (y - t)^2
    mae            |y - t|
    huber          0.5 (y - t)^2 where |y - t| <= delta, else delta (|y - t| - delta / 2)

    Raises TrainingError if the loss does not belong to the task.

    >>> from dltune.recipe.files import parse_recipe
    >>> from pathlib import Path
    >>> config = parse_recipe('[data]\\nsource = "sklearn:digits"', folder=Path(".")).config()
    >>> loss = build_loss(config, task="classification")
    >>> round(loss(torch.zeros(1, 4), torch.tensor([2])).item(), 4)  # ln 4
    1.3863
    """
    name = config.objective.loss or DEFAULT_LOSS[task]
    if TASK_OF_LOSS[name] != task:
        raise TrainingError(
            f'objective.loss = "{name}" is for {TASK_OF_LOSS[name]}, but the task is {task}',
            hint=f"Try --set objective.loss={DEFAULT_LOSS[task]}, "
            f"or --set data.task={TASK_OF_LOSS[name]}.",
        )
    share = config.regularize.label_smoothing if smoothing else 0.0
    if share and task == "regression":
        raise TrainingError(
            f"regularize.label_smoothing = {share}: regression has no labels to smooth",
            hint="Try --set regularize.label_smoothing=0.",
        )
    later = config.replay.get("regularize.label_smoothing", [])
    if task == "regression" and any(value for _, value in later):
        raise TrainingError(
            "[replay] changes regularize.label_smoothing: regression has no labels to smooth",
            hint="Take it out of [replay].",
        )
    delta = config.objective.huber_delta
    losses: dict[str, Loss] = {
        "cross-entropy": lambda outputs, targets: F.cross_entropy(
            outputs, targets, label_smoothing=share
        ),
        "mse": F.mse_loss,
        "mae": F.l1_loss,
        "huber": lambda outputs, targets: F.huber_loss(outputs, targets, delta=delta),
    }
    return losses[name]


def constant_loss(loss: Loss, targets: torch.Tensor, *, task: str, outputs: int) -> float:
    """What a model that knows nothing of its inputs can come to on these targets.

    loss     mean over a batch, see `build_loss`.
    targets  (n,) classes, or (n, targets).
    outputs  classes or targets.

    The constant is the logarithm of the classes' shares (of the smoothed labels, where they are),
    which is the best one for a cross-entropy, or the mean of the targets, the best one for mse.

    >>> round(constant_loss(F.cross_entropy, torch.tensor([0, 1, 1, 0]), task="classification",
    ...                     outputs=2), 4)  # ln 2
    0.6931
    """
    if task == "classification":
        # The gradient at equal logits is 1 / classes less the share, label smoothing included.
        logits = torch.zeros(outputs, device=targets.device, requires_grad=True)
        with torch.enable_grad():
            equal = loss(logits.expand(len(targets), -1), targets)
            (gradient,) = torch.autograd.grad(equal, logits)
        # A class may be missing.
        constant = (1.0 / outputs - gradient).clamp(min=0.0).log().clamp(min=-100.0)
    else:
        constant = targets.mean(dim=0)
    return loss(constant.expand(len(targets), -1), targets).item()


def error_of(outputs: torch.Tensor, targets: torch.Tensor, *, task: str) -> torch.Tensor:
    """The error of a whole split, a scalar tensor: 0 is perfect.

    outputs  (n, classes) logits, or (n, targets).
    targets  (n,) classes, or (n, targets).

    classification  share misclassified, in [0, 1]
    regression      1 - R^2 = sum (y - t)^2 / sum (t - mean t)^2, the mean over the targets; 1 is as
                    good as predicting the split's own mean, and there is no upper bound

    >>> logits, classes = torch.tensor([[2.0, 1.0], [2.0, 1.0]]), torch.tensor([0, 1])
    >>> error_of(logits, classes, task="classification").item()
    0.5
    >>> outputs, targets = torch.tensor([[1.0], [1.0]]), torch.tensor([[0.0], [2.0]])
    >>> error_of(outputs, targets, task="regression").item()
    1.0
    """
    if task == "classification":
        return (outputs.argmax(dim=1) != targets).float().mean()
    residual = (outputs - targets).square().sum(dim=0)  # (n, targets) → (targets,)
    spread = (targets - targets.mean(dim=0)).square().sum(dim=0)
    return (residual / spread).mean()
