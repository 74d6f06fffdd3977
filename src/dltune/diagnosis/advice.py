"""Remedies that need no config: relative edits for bare numbers, and what is no setting at all."""

from __future__ import annotations

from dltune.diagnosis.finding import Edit


def _relative(key: str, after: str, reason: str) -> Edit:
    return Edit(key=key, before=None, after=after, reason=reason)


# The same rules and bounds as in `remedies`, for a model that is not known.
RELATIVE_BIAS = (
    _relative("model.hidden", "x2", "a wider network can fit what this one cannot"),
    _relative("train.epochs", "x2", "a longer training fits the training set better"),
    _relative("optim.lr", "x0.1 to x10", "errors do not say which way: search a decade both ways"),
)
RELATIVE_VARIANCE = (
    _relative("optim.weight_decay", "x10, at least 1e-4", "small weights make a smooth function"),
    _relative("model.dropout", "+0.2, at most 0.5", "units that share the work memorise less"),
    _relative(
        "regularize.early_stop", "epochs / 10, at least 3", "stops before the dev error rises again"
    ),
)
RELATIVE_TRAIN_DEV = _relative(
    "data.split.train-dev", "0.1", "tells variance from a mismatch of train and dev data"
)

BIAS_ADVICE = (
    "Try an architecture made for the data: convolutions for images, recurrence for sequences.",
    "Look at training examples the model gets wrong: is the answer in the features at all?",
)
VARIANCE_ADVICE = (
    "Get more training data, or augment what there is.",
    "Check that train and dev examples come from the same source.",
    "Try another architecture, one that shares weights where the data repeat themselves.",
)
MISMATCH_ADVICE = (
    "Compare dev examples the model gets wrong with training examples: what differs?",
    "Get training data like the dev data, or change training data to look like them.",
)
DEV_OVERFIT_ADVICE = (
    "Get a fresh or a larger dev set, and choose the settings again on it.",
    "Compare fewer trials on one dev set.",
)
DEV_BELOW_TRAIN_ADVICE = (
    "Measure the train error after the epoch with dropout and augmentation off.",
    "Look for dev examples that are copies of training examples, or for an easier dev set.",
)
