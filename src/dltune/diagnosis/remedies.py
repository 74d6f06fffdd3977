"""Remedies of high bias and high variance as bounded edits of the diagnosed settings.

Each rule looks at one key and answers with one edit, or with None where the key does not exist in
this model or is at its bound. Which remedies there are: Ng, Machine Learning Yearning, chapters
25-27 and 30; the steps and bounds are ours and stand at each rule.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from dltune.diagnosis.finding import Edit
from dltune.diagnosis.settings import Settings

Rule = Callable[[Settings], Edit | None]

WIDEST = 2048  # doubling past this costs more memory than it tells; a layer is added instead
FIRST_WIDTH = 128  # the width of a recipe that names none
# Keys under which models carry their widths; a factory's own keys count only if they are these.
WIDTH_KEYS = ("filters", "hidden", "width", "widths", "channels", "units", "hidden_size")
HEAVY_DROPOUT = 0.5  # Srivastava et al. 2014 use 0.5 in hidden layers as the strong setting
HEAVY_DECAY = 1e-2
# AdamW's decay is multiplied by the rate at each step; its default of 1e-2 is not heavy.
HEAVY_DECOUPLED_DECAY = 1e-1
DROPOUT_STEP = 0.2
FIRST_DECAY = 1e-4  # the usual value in published recipes for images (He et al. 2016)
STRONGEST_DECAY = 1.0
SMOOTHING = 0.1  # Szegedy et al. 2016, section 7
SATURATING = ("sigmoid", "tanh")


def tidy(number: float) -> float:
    """A product without the dust of binary fractions.

    >>> 0.003 * 0.1, tidy(0.003 * 0.1)
    (0.00030000000000000003, 0.0003)
    """
    return float(f"{number:.6g}")


def train_longer(settings: Settings) -> Edit | None:
    """Twice the epochs; twice the patience where early stopping cut the training short."""
    epochs, patience = settings.number("train.epochs"), settings.number("regularize.early_stop")
    if settings.stopped_early and patience is not None:
        reason = f"early stopping ended the training after {settings.epochs} of {epochs} epochs"
        return Edit(key="regularize.early_stop", before=patience, after=2 * patience, reason=reason)
    if epochs is None:
        return None
    reason = "a longer training fits the training set better"
    if settings.best_at_end:
        best = f"the best epoch is {settings.best_epoch} of {settings.epochs}"
        reason = f"{best}, so the dev error may fall further"
    return Edit(key="train.epochs", before=epochs, after=2 * epochs, reason=reason)


def widen(key: str) -> Rule:
    """Twice the units of every layer under a key of the model; another layer past `WIDEST`.

    >>> widen("hidden")(Settings(config={"model.hidden": [128, 64]})).after
    [256, 128]
    """
    path = f"model.{key}"

    def rule(settings: Settings) -> Edit | None:
        widths, before = settings.counts(path), settings.config.get(path)
        if widths is None:
            return None
        if not widths:
            reason = "without a hidden layer the model is linear"
            return Edit(key=path, before=before, after=[FIRST_WIDTH], reason=reason)
        wider = [2 * width for width in widths]
        if max(wider) <= WIDEST:
            after: Any = wider if isinstance(before, list) else wider[0]
            reason = "a wider network can fit what this one cannot"
            return Edit(key=path, before=before, after=after, reason=reason)
        if not isinstance(before, list):
            return None
        reason = f"the layers are wide already; one more is cheaper than going past {WIDEST}"
        return Edit(key=path, before=before, after=[*widths, widths[-1]], reason=reason)

    return rule


def less_dropout(settings: Settings) -> Edit | None:
    """0.2 less where dropout is heavy."""
    shares = _dropout(settings)
    if not shares or max(shares) < HEAVY_DROPOUT:
        return None
    after = [tidy(max(0.0, share - DROPOUT_STEP)) for share in shares]
    reason = "heavy dropout keeps the network from fitting the training set"
    return _dropout_edit(settings, after, reason)


def less_decay(settings: Settings) -> Edit | None:
    """A tenth of the weight decay where it is heavy."""
    decay = settings.number("optim.weight_decay")
    decoupled = settings.text("optim.name") == "adamw"
    heavy = HEAVY_DECOUPLED_DECAY if decoupled else HEAVY_DECAY
    if decay is None or decay < heavy:
        return None
    reason = "heavy weight decay keeps the network from fitting the training set"
    return Edit(key="optim.weight_decay", before=decay, after=tidy(decay / 10), reason=reason)


def faster_activation(settings: Settings) -> Edit | None:
    """A rectifier in place of a saturating activation in a network of two layers or more."""
    activation, widths = settings.text("model.activation"), settings.counts("model.hidden") or []
    layers = len(widths) + len(settings.counts("model.filters") or [])
    if activation not in SATURATING or layers < 2:
        return None
    reason = f"{activation} saturates, and its gradient vanishes through {layers} layers"
    return Edit(key="model.activation", before=activation, after="relu", reason=reason)


def batch_norm(settings: Settings) -> Edit | None:
    """Batch normalisation where the model has the switch and it is off."""
    if settings.config.get("model.batch_norm") is not False:
        return None
    reason = "normalised activations train faster and with a wider choice of rates"
    return Edit(key="model.batch_norm", before=False, after=True, reason=reason)


def momentum(settings: Settings) -> Edit | None:
    """Momentum in place of plain gradient descent."""
    if settings.text("optim.name") != "sgd":
        return None
    reason = "momentum of 0.9 crosses plateaus and ravines that plain descent gets stuck in"
    return Edit(key="optim.name", before="sgd", after="momentum", reason=reason)


def search_rate(settings: Settings) -> Edit | None:
    """The rate as a range of a decade to both sides: errors alone do not say which way."""
    rate = settings.number("optim.lr")
    if rate is None:
        return None
    # Bounds of a search need no more than two digits.
    after = {"log": [float(f"{rate / 10:.2g}"), float(f"{rate * 10:.2g}")]}
    reason = "errors do not tell a rate that is too low from one that is too high: search both ways"
    return Edit(key="optim.lr", before=rate, after=after, reason=reason)


def robust_loss(settings: Settings) -> Edit | None:
    """Huber's loss in place of the squared one."""
    if settings.task != "regression" or settings.text("objective.loss") not in ("", "mse"):
        return None
    reason = "where a few targets lie far off, they alone make up the squared error"
    before = settings.config.get("objective.loss")
    return Edit(key="objective.loss", before=before, after="huber", reason=reason)


def more_decay(settings: Settings) -> Edit | None:
    """Ten times the weight decay, at least 1e-4, at most 1."""
    decay = settings.number("optim.weight_decay")
    if decay is None or decay * 10 > STRONGEST_DECAY:
        return None
    reason = "smaller weights make a smoother function"
    after = tidy(max(FIRST_DECAY, decay * 10))
    return Edit(key="optim.weight_decay", before=decay, after=after, reason=reason)


def more_dropout(settings: Settings) -> Edit | None:
    """0.2 more dropout, at most 0.5."""
    shares = _dropout(settings)
    if not shares or min(shares) >= HEAVY_DROPOUT:
        return None
    after = [
        share if share >= HEAVY_DROPOUT else tidy(min(HEAVY_DROPOUT, share + DROPOUT_STEP))
        for share in shares
    ]
    return _dropout_edit(settings, after, "units that cannot rely on each other memorise less")


def _dropout(settings: Settings) -> list[float]:
    value = settings.config.get("model.dropout")
    values = value if isinstance(value, list) else [value]
    shares = [
        float(item)
        for item in values
        if isinstance(item, int | float) and not isinstance(item, bool)
    ]
    return shares if len(shares) == len(values) else []


def _dropout_edit(settings: Settings, after: Sequence[float], reason: str) -> Edit:
    before = settings.config["model.dropout"]
    value = list(after) if isinstance(before, list) else after[0]
    return Edit(key="model.dropout", before=before, after=value, reason=reason)


def smooth_labels(settings: Settings) -> Edit | None:
    """Label smoothing of 0.1 for a classifier that has none."""
    if settings.task != "classification" or settings.number("regularize.label_smoothing") != 0:
        return None
    reason = "softened labels punish overconfidence"
    return Edit(key="regularize.label_smoothing", before=0.0, after=SMOOTHING, reason=reason)


def stop_early(settings: Settings) -> Edit | None:
    """Early stopping with a patience of a tenth of the epochs, at least 3."""
    epochs = settings.number("train.epochs")
    if epochs is None or settings.number("regularize.early_stop") is not None or epochs <= 3:
        return None
    after = max(3, math.ceil(epochs / 10))
    reason = "the errors are those of the best epoch already: this saves the epochs after it"
    return Edit(key="regularize.early_stop", before=None, after=after, reason=reason)


def cut_train_dev(settings: Settings) -> Edit | None:
    """A train-dev split, which tells variance from a difference between train and dev data."""
    if settings.number("data.split.train-dev") != 0:
        return None
    reason = "errors on held-out training data tell variance from a mismatch of train and dev data"
    return Edit(key="data.split.train-dev", before=0.0, after=0.1, reason=reason)


def slower(settings: Settings) -> Edit | None:
    """A tenth of the rate, unless the training has tried it itself."""
    rate = settings.number("optim.lr")
    if rate is None or settings.text("train.on_divergence") == "lr/10":
        return None
    reason = "a rate that is too high is the commonest cause of divergence"
    return Edit(key="optim.lr", before=rate, after=tidy(rate / 10), reason=reason)


def clip(settings: Settings) -> Edit | None:
    """Gradients clipped to a norm of 1 (Pascanu et al. 2013) where nothing clips them."""
    if settings.number("regularize.clip_norm") is not None:
        return None
    reason = "one steep batch can then not throw the weights away"
    return Edit(key="regularize.clip_norm", before=None, after=1.0, reason=reason)


def warm_up(settings: Settings) -> Edit | None:
    """A warm-up of a tenth of the steps where there is none; one-cycle has its own."""
    if settings.number("schedule.warmup") != 0 or settings.text("schedule.name") == "one-cycle":
        return None
    reason = "the first steps, where the loss is steepest, are then small"
    return Edit(key="schedule.warmup", before=0.0, after=0.1, reason=reason)


def smaller_batch(settings: Settings) -> Edit | None:
    """Half the batch, for a training that ran out of memory."""
    batch = settings.number("train.batch_size")
    if batch is None or batch < 2:
        return None
    reason = "memory grows with the batch"
    return Edit(key="train.batch_size", before=batch, after=int(batch) // 2, reason=reason)


def edits_for_bias(settings: Settings, *, variance_high: bool) -> tuple[Edit, ...]:
    """Edits against high bias, the one to try first in front.

    Heavy regularisation comes off first, unless variance is high too; a training that was cut short
    runs on before the network grows.
    """
    lighter: list[Rule] = [] if variance_high else [less_dropout, less_decay]
    bigger = [widen(key) for key in WIDTH_KEYS]
    unfinished = settings.best_at_end or settings.stopped_early
    size_and_time = [train_longer, *bigger] if unfinished else [*bigger, train_longer]
    rest: list[Rule] = [faster_activation, search_rate, momentum, batch_norm, robust_loss]
    return _applied([*lighter, *size_and_time, *rest], settings)


def edits_for_variance(settings: Settings) -> tuple[Edit, ...]:
    """Edits against high variance, the one to try first in front."""
    rules: list[Rule] = [more_decay, more_dropout, smooth_labels, stop_early, cut_train_dev]
    return _applied(rules, settings)


def edits_for_divergence(settings: Settings) -> tuple[Edit, ...]:
    """Edits for a training whose loss grew without bound."""
    return _applied([slower, clip, warm_up], settings)


def edits_for_memory(settings: Settings) -> tuple[Edit, ...]:
    """Edits for a training that ran out of memory."""
    return _applied([smaller_batch], settings)


def _applied(rules: Sequence[Rule], settings: Settings) -> tuple[Edit, ...]:
    return tuple(edit for rule in rules if (edit := rule(settings)) is not None)
