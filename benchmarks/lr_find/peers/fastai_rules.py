"""fastai's `Learner.lr_find` with its four rules, on one sweep."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable
from typing import Any

from fastai.basics import DataLoaders, Learner, OptimWrapper
from fastai.callback.schedule import minimum, slide, steep, valley

from dltune.data.device import DeviceData
from dltune.recipe.schema import Config
from dltune.training.optimizers import settings_of
from peers.plain import OPTIMIZERS, dev_loader, fresh_model, loss_of, train_loader
from peers.result import PeerResult, run_finder

SUGGEST = (minimum, steep, valley, slide)
RULES = tuple(f"fastai {rule.__name__}" for rule in SUGGEST)


def fastai_rules(config: Config, data: DeviceData, seed: int) -> PeerResult:
    """Rates of minimum / 10, steepest, valley (fastai's default) and slide."""
    failed: dict[str, str] = {}

    def find() -> dict[str, float | None]:
        with tempfile.TemporaryDirectory() as folder:  # lr_find saves the weights to a file
            learner = Learner(
                DataLoaders(train_loader(config, data), dev_loader(data)),
                fresh_model(config, data, seed),
                loss_func=loss_of(data),
                opt_func=_torch_optimizer(config),
                lr=config.optim.lr,
                path=folder,
            )
            guarded = tuple(_guarded(rule, failed) for rule in SUGGEST)
            found = learner.lr_find(suggest_funcs=guarded, show_plot=False)
        return dict(zip(RULES, found, strict=True))

    return run_finder(find, rules=RULES, failed=failed)


def _torch_optimizer(config: Config) -> Callable[..., OptimWrapper]:
    kind, settings = OPTIMIZERS[config.optim.name], settings_of(config.optim)
    return functools.partial(OptimWrapper, opt=functools.partial(kind, **settings))


def _guarded(rule: Callable[..., Any], failed: dict[str, str]) -> Callable[..., Any]:
    """The rule; where it raises, the others still count, as a user has one of them only."""

    @functools.wraps(rule)
    def suggest(*arguments: Any) -> tuple[float | None, Any]:
        try:
            return rule(*arguments)
        except Exception as problem:  # few points, or none
            failed[rule.__name__] = type(problem).__name__
            return None, None

    return suggest
