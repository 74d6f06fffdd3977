"""The settings of the diagnosed training, as far as they are known."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """One trial's config by dotted path, and how its epochs went.

    config      every hyperparameter; None stands for "unset", or "not in this model".
    epochs      epochs that were run.
    best_epoch  the epoch the errors are of, from 1.
    task        classification or regression.

    >>> Settings(config={"train.epochs": 20}).number("train.epochs")
    20
    """

    config: Mapping[str, Any]
    epochs: int | None = None
    best_epoch: int | None = None
    task: str | None = None

    def number(self, key: str) -> int | float | None:
        """The value if it is a number."""
        value = self.config.get(key)
        return None if isinstance(value, bool) or not isinstance(value, int | float) else value

    def text(self, key: str) -> str:
        """The value if it is text, else empty."""
        value = self.config.get(key)
        return value if isinstance(value, str) else ""

    def counts(self, key: str) -> list[int] | None:
        """The value if it is a list of whole numbers, or one whole number."""
        value = self.config.get(key)
        values = value if isinstance(value, list) else [value]
        whole = [item for item in values if isinstance(item, int) and not isinstance(item, bool)]
        return whole if len(whole) == len(values) else None

    @property
    def stopped_early(self) -> bool:
        """Early stopping ended the training before its epochs were used up."""
        planned = self.number("train.epochs")
        if planned is None or self.epochs is None:
            return False
        return self.number("regularize.early_stop") is not None and self.epochs < planned

    @property
    def best_at_end(self) -> bool:
        """The best epoch lies in the last tenth of the training: it was still getting better.

        Source: the tuning playbook's questions about curves, with a tenth for "the end"; at least
        the last epoch itself counts.
        """
        if self.epochs is None or self.best_epoch is None or self.stopped_early:
            return False
        return self.best_epoch >= self.epochs - self.epochs // 10
