"""How far a validation goes: what it may cost, and what is trained for that."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import torch

from dltune.recipe.schema import (
    CnnConfig,
    Config,
    ExponentialConfig,
    FactoryConfig,
    PiecewiseConfig,
    PlateauConfig,
    ScheduleConfig,
    StepConfig,
)
from dltune.training.arithmetic import update_flops
from dltune.training.updates import batch_examples, updates_per_epoch

# Candidates are a quarter of a decade apart: between two of them, 1.33 from either, a training
# differs from the better one by less than another seed would make it differ.
PER_DECADE = 4

# What one training in a stack of a dozen costs, in trainings alone, on the CPU (measured with the
# models of benchmarks/lr_find: small perceptrons 0.13 to 0.2 and more with the size of their
# products, 0.43 at ten million operations an update; small convolutions 0.5, users' models by vmap
# 0.9).
ROW_COST_DENSE, FLOPS_OF_A_WHOLE_ROW = 0.18, 2.8e7
ROW_COST_CONVOLUTION = 0.5
ROW_COST_VMAPPED = 0.9
# On a GPU a small model's row is next to nothing until the stack fills the device.
ROW_COST_ON_DEVICE = 0.1

DEFAULT_BUDGET = 3.0  # trainings of the recipe, each alone

# Below this a whole validation takes seconds: 2e11 operations are about as many as two cores do in
# 20 s with small models.
CHEAP_FLOPS = 2e11
# Weights of a convolution or of attention are used at many places of one example.
REUSE = 30


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rung:
    """One round of trainings.

    candidates  rates that take part.
    seeds       trainings of each, from as many initial states.
    share       of the recipe's epochs, with the schedule compressed to it.
    """

    candidates: int
    seeds: int
    share: float

    @property
    def trainings(self) -> float:
        """Whole trainings that the round amounts to."""
        return self.candidates * self.seeds * self.share


@dataclasses.dataclass(frozen=True, kw_only=True)
class ValidationPlan:
    """Successive halving in one or two rounds; the last one trains to the end.

    cost  in trainings of the recipe, each alone.
    """

    rungs: tuple[Rung, ...]
    row_cost: float

    @property
    def trainings(self) -> float:
        """Whole trainings that it amounts to."""
        return sum(rung.trainings for rung in self.rungs)

    @property
    def cost(self) -> float:
        """In trainings of the recipe, each alone, which a stack makes cheaper."""
        return self.trainings * self.row_cost


def _halving(candidates: int, seeds: int, share: float, keep: int, last: int) -> tuple[Rung, ...]:
    return (
        Rung(candidates=candidates, seeds=seeds, share=share),
        Rung(candidates=keep, seeds=last, share=1.0),
    )


# By rising cost. A short horizon favours small rates (Wu et al. 2018, 1803.02021), so a larger
# budget goes into seeds and into the horizon of the first round, and only then into more rates. In
# 27 of the tuning half's tasks, replayed from recorded trainings, the mean regret was about 0.009
# (with 15 % of the epochs), 0.004, 0.002, 0.002 and 0.002. What a second seed in the last round is
# worth shows in the worst cases: a rate that is too high may be lucky once.
LADDER = (
    _halving(5, 1, 0.2, 2, 1),  # 3 trainings
    _halving(7, 1, 0.3, 3, 1),  # 5.1
    _halving(5, 1, 0.3, 3, 2),  # 7.5
    _halving(7, 2, 0.3, 3, 2),  # 10.2
    _halving(7, 2, 0.5, 4, 3),  # 19
    (Rung(candidates=9, seeds=5, share=1.0),),  # 45
)


def plan_validation(
    config: Config,
    *,
    parameters: int,
    examples: int,
    device: torch.device,
    stacked: bool,
    budget: float = DEFAULT_BUDGET,
) -> ValidationPlan:
    """The furthest validation for a budget, in trainings of the recipe; the least if none fits.

    parameters  of the model.
    examples    in the train split.
    stacked     whether trials of this config are trained as a stack.
    budget      above 0.

    Only the config, the device and the budget decide, so that the answer is the same everywhere.

    >>> from dltune.recipe.files import parse_recipe
    >>> from pathlib import Path
    >>> config = parse_recipe('[data]\\nsource = "sklearn:digits"', folder=Path(".")).config()
    >>> plan = plan_validation(config, parameters=26_122, examples=1079,
    ...                        device=torch.device("cpu"), stacked=True)
    >>> [(rung.candidates, rung.seeds, rung.share) for rung in plan.rungs]
    [(7, 1, 0.3), (3, 1, 1.0)]
    >>> round(plan.cost, 1)
    2.7
    """
    flops = update_flops(parameters, batch_examples(config.train, examples))
    row_cost = _row_cost(config, flops=flops, device=device) if stacked else 1.0
    plans = [ValidationPlan(rungs=rungs, row_cost=row_cost) for rungs in LADDER]
    affordable = [plan for plan in plans if plan.cost <= budget]
    return affordable[-1] if affordable else plans[0]


def _row_cost(config: Config, *, flops: int, device: torch.device) -> float:
    if device.type != "cpu":
        return ROW_COST_ON_DEVICE
    match config.model:
        case FactoryConfig():
            return ROW_COST_VMAPPED
        case CnnConfig():
            return ROW_COST_CONVOLUTION
    return min(1.0, ROW_COST_DENSE + flops / FLOPS_OF_A_WHOLE_ROW)


def is_cheap(config: Config, *, parameters: int, examples: int, plan: ValidationPlan) -> bool:
    """Whether a validation takes some seconds only, judged by its arithmetic.

    parameters  of the model.
    examples    in the train split.
    """
    reuse = REUSE if isinstance(config.model, CnnConfig | FactoryConfig) else 1
    updates = updates_per_epoch(config.train, examples) * config.train.epochs
    batch = batch_examples(config.train, examples) * config.train.accumulate
    return plan.trainings * updates * update_flops(parameters, batch) * reuse < CHEAP_FLOPS


def compressed(config: Config, share: float, *, lr: float) -> Config:
    """The config at another rate, trained for a share of its epochs under the same schedule.

    share  in (0, 1]; what remains is rounded up to whole epochs.
    lr     the rate.

    Schedules that count in epochs are compressed as the others are, so that every horizon sees the
    whole of them: a step every 10 epochs becomes one every 3, an exponential decay is as deep, the
    patience of a plateau is as long a share. A rate that diverges is no candidate, so none goes on
    at a tenth of itself: that would be the judgement of another rate. So would be one with a
    `[replay]`, which is left out.

    >>> from dltune.recipe.files import parse_recipe
    >>> from pathlib import Path
    >>> text = 'data.source = "sklearn:iris"\\ntrain.epochs = 20\\nschedule = { name = "step" }'
    >>> short = compressed(parse_recipe(text, folder=Path(".")).config(), 0.3, lr=0.1)
    >>> short.train.epochs, short.schedule.every, short.optim.lr
    (6, 3, 0.1)
    """
    epochs = math.ceil(share * config.train.epochs - 1e-9)
    real = epochs / config.train.epochs
    shorter = {"epochs": epochs, "on_divergence": "stop"}
    return config.model_copy(
        update={
            "train": config.train.model_copy(update=shorter),
            "optim": config.optim.model_copy(update={"lr": lr}),
            "schedule": config.schedule.model_copy(update=_in_epochs(config.schedule, real)),
            "replay": {},
        }
    )


def _in_epochs(schedule: ScheduleConfig, share: float) -> dict[str, Any]:
    """The settings of a schedule that count in epochs, for a share of them."""

    def of(epochs: int) -> int:
        return min(epochs, max(1, round(epochs * share)))

    match schedule:
        case StepConfig():
            return {"every": of(schedule.every)}
        case ExponentialConfig():
            return {"decay": schedule.decay / share}
        case PiecewiseConfig():
            # Where two changes come to fall together, the later one holds.
            held = dict(zip(map(of, schedule.at), schedule.factors, strict=True))
            return {"at": list(held), "factors": list(held.values())}
        case PlateauConfig():
            return {"patience": of(schedule.patience), "cooldown": of(schedule.cooldown)}
    return {}


def cost_in_words(plan: ValidationPlan) -> str:
    """What a validation takes, in trainings of the recipe.

    >>> cost_in_words(ValidationPlan(rungs=LADDER[0], row_cost=0.33))
    'about 1 training'
    >>> cost_in_words(ValidationPlan(rungs=LADDER[4], row_cost=0.5))
    'about 10 trainings'
    """
    trainings = float(f"{plan.cost:.1g}")
    return "about 1 training" if trainings == 1 else f"about {trainings:g} trainings"


def describe_plan(plan: ValidationPlan, epochs: int) -> str:
    """What a validation trains and costs, in one sentence.

    epochs  of the recipe.

    >>> describe_plan(ValidationPlan(rungs=LADDER[1], row_cost=0.4), 20)
    'validation: 7 rates x 1 seed for 6 epochs, then 3 x 1 for 20: the time of about 2 trainings'
    """
    parts: list[str] = []
    for rung in plan.rungs:
        length = math.ceil(rung.share * epochs - 1e-9)
        if parts:
            parts.append(f"{rung.candidates} x {rung.seeds} for {length}")
            continue
        seeds = "seed" if rung.seeds == 1 else "seeds"
        many = "epoch" if length == 1 else "epochs"
        parts.append(f"{rung.candidates} rates x {rung.seeds} {seeds} for {length} {many}")
    return f"validation: {', then '.join(parts)}: the time of {cost_in_words(plan)}"
