"""Whether two of a user's modules differ in their tensors' values alone."""

from __future__ import annotations

import hashlib
import uuid

from torch import nn

from dltune.training.stacked.description import describe


def fingerprint(module: nn.Module) -> str:
    """A text that is equal for two modules if they may be rows of one stack.

    They may if they have the same layers, shapes and tied weights, and every attribute of every
    layer that is not a parameter or buffer has the same value: the share of a dropout, a slope, a
    function. A stack has one module for all rows, so such a value would be shared silently.
    What cannot be compared for certain makes every module different from every other one.

    The text is the same in every process.

    >>> same = fingerprint(nn.Dropout(0.1)) == fingerprint(nn.Dropout(0.1))
    >>> same, fingerprint(nn.Dropout(0.1)) == fingerprint(nn.Dropout(0.2))
    (True, False)
    >>> fingerprint(nn.Linear(2, 1)) == fingerprint(nn.Linear(2, 1))  # other weights
    True
    """
    description = describe(module)
    lines = [f"{place}: {text}" for place, text in description.texts.items()]
    if description.incomparable:
        lines.append(str(uuid.uuid4()))
    return hashlib.blake2b("\n".join(lines).encode(), digest_size=16).hexdigest()
