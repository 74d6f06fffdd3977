"""What a search is asked for, and whether it makes sense: every mistake comes before any work."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Mapping
from typing import Any

from dltune.errors import RunFolderError, UsageError
from dltune.recipe.comparable import check_comparable, clashes, ways_out
from dltune.recipe.files import relocate
from dltune.recipe.recipe import Recipe
from dltune.recipe.validation import probes
from dltune.runs.resume import (
    check_same_kind,
    check_same_options,
    check_same_recipe,
    check_stored_values,
)
from dltune.runs.run import Run
from dltune.search.block import longest_training
from dltune.search.pruning.base import Pruner
from dltune.search.pruning.registry import NONE, build_pruner, check_acts
from dltune.search.strategies.base import Strategy
from dltune.search.strategies.pbt import PopulationBased, check_movable
from dltune.search.strategies.registry import build_strategy

DEFAULT_STRATEGY = "random"  # needs no tuning of its own, and any number of trials is a fair sample
DEFAULT_SEED = 0

# Of the rules, halving saves most (docs/benchmarks.md, pruning). Of a hundred trials a ninth comes
# to its end: eleven, as many as the table of the best shows.
DEFAULT_PRUNER = "halving"
PRUNED_FROM = 100


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """What a search is asked for; None stands for the default, or for "as before" in a resume.

    Raises UsageError for a number of trials below 1, or of audited ones below 0.
    """

    strategy: str | None
    trials: int | None
    seed: int | None
    options: Mapping[str, Any]
    prune: str | None
    prune_options: Mapping[str, Any]
    audit: int
    note: str
    accept_changes: bool

    def __post_init__(self) -> None:
        if self.trials is not None and self.trials < 1:
            raise UsageError(f"--trials {self.trials}: must be at least 1", hint="Try --trials 32.")
        if self.audit < 0:
            raise UsageError(
                f"--audit-pruning {self.audit}: must be at least 0 trials",
                hint="Try --audit-pruning 10.",
            )


def only_given(options: Mapping[str, Any] | None) -> dict[str, Any]:
    """The options that are not None.

    >>> only_given({"step": 0.2, "parents": None}), only_given(None)
    ({'step': 0.2}, {})
    """
    return {name: value for name, value in (options or {}).items() if value is not None}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Asked:
    """A request that makes sense.

    name    of the strategy.
    prune   name of the pruner.
    pruner  None for "none".
    audit   pruned trials to train to their ends.
    seed    of the study.
    total   trials that there are to be in all.
    """

    strategy: Strategy
    name: str
    prune: str
    pruner: Pruner | None
    audit: int
    seed: int
    total: int


def asked_anew(typed: Recipe, recipe: Recipe, request: Request) -> Asked:
    """What a new study is to do; UsageError for what makes no sense.

    typed   the recipe as it was typed, for the advice.
    recipe  the same as it will lie in the run folder.
    """
    seed, name = request.seed or DEFAULT_SEED, request.strategy or DEFAULT_STRATEGY
    strategy = build_strategy(name, recipe.space, seed, **request.options)
    check_comparable(typed)
    total = _total(strategy, name, request.trials)
    if isinstance(strategy, PopulationBased):
        _check_population(strategy, recipe, request, total)
    moves = isinstance(strategy, PopulationBased)
    prune, pruner = (NONE, None) if moves else _pruner(request, recipe, strategy, total)
    return Asked(
        strategy=strategy,
        name=name,
        prune=prune,
        pruner=pruner,
        audit=request.audit,
        seed=seed,
        total=total,
    )


def _pruner(
    request: Request, recipe: Recipe, strategy: Strategy, total: int
) -> tuple[str, Pruner | None]:
    """The pruner that was asked for, or that suits so many trials, by name.

    Raises UsageError for one that could end no trial, or leaves too few to breed from.
    """
    name, options = request.prune, request.prune_options
    breeds, is_asked = strategy.generation is not None, name is not None or bool(options)
    if name is None:
        many = total >= PRUNED_FROM and not breeds
        name = DEFAULT_PRUNER if options or many else NONE
    pruner = build_pruner(name, options)
    if breeds and name not in (NONE, "bad-start"):
        raise UsageError(
            f"--prune {name} leaves too few trials that come to their ends: a strategy that breeds "
            "does so from those",
            hint="Take --prune bad-start, or --strategy random.",
        )
    if pruner is not None:
        try:
            check_acts(name, pruner, trials=total, epochs=longest_training(recipe))
        except UsageError:
            if is_asked:
                raise
            name, pruner = NONE, None
    _check_audit(request, name)
    return name, pruner


def _check_population(
    strategy: PopulationBased, recipe: Recipe, request: Request, total: int
) -> None:
    config = recipe.config(next(probes(recipe.space)))
    check_movable(recipe.space, dict(config))
    if request.prune not in (None, NONE) or request.prune_options:
        raise UsageError(
            "--strategy pbt ends no trial early: its losers take over the winners' trainings",
            hint="Leave --prune and its options out, or take --strategy random.",
        )
    _check_audit(request, NONE)
    if total < 2 or not strategy.turns(config.train.epochs):
        short = f"trainings of {config.train.epochs} epoch{'s' * (config.train.epochs != 1)}"
        what = "a population of 1 trial" if total < 2 else f"{short} without a turn before the end"
        raise UsageError(
            f"--strategy pbt can replace nobody: {what}",
            hint="Raise --trials." if total < 2 else "Raise train.epochs, or lower --interval.",
        )


def _check_audit(request: Request, prune: str) -> None:
    if request.audit and prune == NONE:
        raise UsageError(
            f"--audit-pruning {request.audit}: no trial is pruned here",
            hint="Leave it out, or type --prune halving in a new search.",
        )


def asked_again(recipe: Recipe | None, run: Run, request: Request) -> Asked:
    """What a study is to go on with.

    recipe  as it was typed; None for the stored one.

    Raises UsageError for what makes no sense, RunFolderError for what is not as before.
    """
    check_same_kind(run)
    check_stored_values(run)
    path, about = run.path, run.about
    if recipe is not None:
        check_same_recipe(path, run.recipe, relocate(recipe, path))
    check_same_options(
        path,
        about,
        strategy=request.strategy,
        seed=request.seed,
        options=request.options,
        prune=request.prune,
        prune_options=request.prune_options,
        last=max((trial.number for trial in run.trials), default=None),
        trials=request.trials,
    )
    _check_audit(request, about.pruner)
    if about.strategy == "pbt" and request.trials not in (None, about.trials):
        raise RunFolderError(
            f"{path} is a population of {about.trials}, and --trials {request.trials} another one",
            hint="Leave --trials out to go on, or start another search.",
        )
    strategy = build_strategy(about.strategy, run.recipe.space, about.seed, **about.options)
    total = _total(strategy, about.strategy, request.trials or about.trials)
    if total > len(run.done):
        _check_still_comparable(run)
    return Asked(
        strategy=strategy,
        name=about.strategy,
        prune=about.pruner,
        audit=request.audit,
        pruner=build_pruner(about.pruner, about.pruner_options),
        seed=about.seed,
        total=total,
    )


def _check_still_comparable(run: Run) -> None:
    """Of an older dltune, which took such ranges."""
    found = clashes(run.recipe)
    if found:
        recipe, edits = shlex.quote(str(run.path / "recipe.toml")), " ".join(ways_out(run.recipe))
        raise UsageError(
            "\n".join(one.found for one in found),
            hint=f"Start a new study: dltune search {recipe} {edits} --trials {run.about.trials}",
        )


def _total(strategy: Strategy, name: str, trials: int | None) -> int:
    """How many trials there will be: what was asked for, or what the strategy has."""
    if strategy.total is not None:
        return strategy.total if trials is None else min(trials, strategy.total)
    if trials is None:
        raise UsageError(
            f"--strategy {name} has no end of its own, and no --trials is given",
            hint="Say how many: --trials 32.",
        )
    return trials
