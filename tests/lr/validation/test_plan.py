from __future__ import annotations

import itertools
import math

import pytest
import torch

from dltune.lr.validation.plan import (
    DEFAULT_BUDGET,
    LADDER,
    ValidationPlan,
    compressed,
    describe_plan,
    is_cheap,
    plan_validation,
)
from dltune.recipe.files import parse_recipe
from dltune.recipe.schema import Config
from dltune.training.schedules import lr_factor, warmup_updates

CPU = torch.device("cpu")
MODELS = {
    "mlp": "model.hidden = [16]",
    "cnn": 'model.name = "cnn"',
    "own": 'model.factory = "net.py:build"',
}


def config_of(text: str = "") -> Config:
    return parse_recipe(f'data.source = "sklearn:digits"\n{text}', folder=".").config()


def plan_of(
    kind: str = "mlp",
    *,
    budget: float = DEFAULT_BUDGET,
    stacked: bool = True,
    parameters: int = 1000,
    device: torch.device = CPU,
) -> ValidationPlan:
    return plan_validation(
        config_of(MODELS[kind]),
        parameters=parameters,
        examples=1000,
        device=device,
        stacked=stacked,
        budget=budget,
    )


def test_the_ladder_trains_to_the_end_and_rises_in_cost() -> None:
    # candidates x seeds x share of the epochs, and what is kept of them, by hand
    whole = [5 * 0.2 + 2, 7 * 0.3 + 3, 5 * 0.3 + 6, 14 * 0.3 + 6, 14 * 0.5 + 12, 45]
    plans = [ValidationPlan(rungs=rungs, row_cost=1.0) for rungs in LADDER]
    assert [plan.trainings for plan in plans] == pytest.approx(whole)
    assert whole == sorted(whole)
    for rungs in LADDER:
        assert rungs[-1].share == 1.0
        for rung, following in itertools.pairwise(rungs):
            assert following.candidates < rung.candidates
            assert following.seeds >= rung.seeds
            assert following.share > rung.share


def test_a_larger_budget_never_shortens_the_horizon() -> None:
    """The first round decides who goes on: a short one favours small rates."""
    horizons = [rungs[0].share for rungs in LADDER]
    assert horizons == sorted(horizons)
    assert len(set(horizons)) > 2


@pytest.mark.parametrize(
    ("kind", "stacked", "budget", "step"),
    [
        # Alone, a training costs one: 3, 5.1, 7.5, 10.2, 19 and 45.
        pytest.param("mlp", False, 0.1, 0, id="the least if none fits"),
        pytest.param("mlp", False, 3.0, 0, id="just the first"),
        pytest.param("mlp", False, 5.0, 0, id="not quite the second"),
        pytest.param("mlp", False, 5.2, 1, id="the second"),
        pytest.param("mlp", False, 7.6, 2, id="the third"),
        pytest.param("cnn", False, 18.9, 3, id="not quite the fifth"),
        pytest.param("own", False, 45.0, 5, id="the last"),
        pytest.param("own", False, 1e6, 5, id="nothing beyond the last"),
        # In a stack a small perceptron costs 0.18 + 6 * 1000 * 64 / 2.8e7 = 0.1937 of that:
        # 0.58, 0.99, 1.45, 1.98, 3.68 and 8.7.
        pytest.param("mlp", True, 3.0, 3, id="perceptrons in a stack"),
        pytest.param("mlp", True, 1.9, 2, id="perceptrons for less"),
        pytest.param("mlp", True, 8.8, 5, id="perceptrons for more"),
        # 0.5: 1.5, 2.55, 3.75, 5.1, 9.5 and 22.5.
        pytest.param("cnn", True, 3.0, 1, id="convolutions in a stack"),
        pytest.param("cnn", True, 4.0, 2, id="convolutions for more"),
        # 0.9: 2.7, 4.59, 6.75, 9.18, 17.1 and 40.5.
        pytest.param("own", True, 3.0, 0, id="own models by vmap"),
        pytest.param("own", True, 4.6, 1, id="own models for more"),
    ],
)
def test_the_furthest_step_that_the_budget_allows(
    kind: str, stacked: bool, budget: float, step: int
) -> None:
    plan = plan_of(kind, stacked=stacked, budget=budget)
    assert plan.rungs == LADDER[step]
    assert plan.cost <= max(budget, ValidationPlan(rungs=LADDER[0], row_cost=1.0).cost)


def test_the_larger_a_perceptron_the_less_a_stack_saves() -> None:
    """At 200,000 weights and 64 examples: 0.18 + 6 * 2e5 * 64 / 2.8e7 = 2.92, so as alone."""
    small, large = plan_of(parameters=1000), plan_of(parameters=200_000)
    assert small.row_cost == pytest.approx(0.18 + 384_000 / 2.8e7)
    assert large.row_cost == 1.0
    assert large.rungs == LADDER[0]


@pytest.mark.parametrize("kind", MODELS)
def test_on_a_gpu_rows_cost_next_to_nothing(kind: str) -> None:
    plan = plan_of(kind, device=torch.device("cuda"), parameters=200_000)
    assert (plan.row_cost, plan.rungs) == (0.1, LADDER[4])  # 19 * 0.1 <= 3 < 45 * 0.1


def test_the_same_question_has_the_same_plan() -> None:
    assert plan_of() == plan_of()


@pytest.mark.parametrize(
    ("kind", "parameters", "epochs", "cheap"),
    [
        # 1000 examples in batches of 64: 16 updates an epoch of 384 flops a weight. The plan of a
        # small perceptron amounts to 10.2 trainings: 10.2 * 16 * 384 * weights * epochs < 2e11.
        pytest.param("mlp", 1000, 20, True, id="small"),
        pytest.param("mlp", 1000, 3191, True, id="2.0e11"),
        pytest.param("mlp", 1000, 3192, False, id="just above"),
        # 5.1 and 3 trainings, and weights that are used 30 times.
        pytest.param("cnn", 10_600, 20, True, id="convolutions, 2.0e11"),
        pytest.param("cnn", 10_700, 20, False, id="convolutions, just above"),
        pytest.param("own", 18_000, 20, True, id="an own model, 2.0e11"),
        pytest.param("own", 18_100, 20, False, id="an own model, just above"),
    ],
)
def test_cheap_is_a_question_of_arithmetic(
    kind: str, parameters: int, epochs: int, cheap: bool
) -> None:
    config = config_of(f"{MODELS[kind]}\ntrain.epochs = {epochs}")
    plan = plan_of(kind, parameters=parameters)
    assert is_cheap(config, parameters=parameters, examples=1000, plan=plan) is cheap


@pytest.mark.parametrize(("parameters", "cheap"), [(7400, True), (7500, False)])
@pytest.mark.parametrize("accumulate", [1, 4])
def test_accumulated_batches_count_for_cost(accumulate: int, parameters: int, cheap: bool) -> None:
    """64 updates an epoch with 16 examples, or 16 with 4 times 16: as many operations."""
    config = config_of(f"train = {{ epochs = 430, batch_size = 16, accumulate = {accumulate} }}")
    assert is_cheap(config, parameters=parameters, examples=1024, plan=plan_of()) is cheap


SCHEDULES = {
    "constant": "",
    "step": 'schedule = { name = "step", every = 10, factor = 0.5 }',
    "exponential": 'schedule = { name = "exponential", decay = 0.1 }',
    "cosine": 'schedule = { name = "cosine", floor = 0.1 }',
    "warmup": 'schedule = { name = "cosine", warmup = 0.2 }',
    "step after a warmup": 'schedule = { name = "step", every = 10, warmup = 0.2 }',
    "one-cycle": 'schedule.name = "one-cycle"',
    "piecewise": 'schedule = { name = "piecewise", at = [10, 30], factors = [0.5, 0.1] }',
}


def factors(config: Config, per_epoch: int = 10) -> list[float]:
    """The schedule's factor at every update."""
    updates = per_epoch * config.train.epochs
    return [
        lr_factor(config.schedule, update, updates=updates, updates_per_epoch=per_epoch)
        for update in range(updates)
    ]


@pytest.mark.parametrize(
    ("name", "places", "within"),
    [
        pytest.param("constant", 1, 0.0, id="constant"),
        pytest.param("step", 1, 0.0, id="step"),
        # An epoch of the short one is as long as 3.3 of the long one: at its start they agree.
        pytest.param("exponential", 10, 0.1, id="exponential"),
        pytest.param("cosine", 1, 0.01, id="cosine"),
        pytest.param("warmup", 1, 0.05, id="warmup"),
        pytest.param("step after a warmup", 1, 0.05, id="step after a warmup"),
        pytest.param("one-cycle", 1, 0.03, id="one-cycle"),
        pytest.param("piecewise", 1, 0.0, id="piecewise"),
    ],
)
def test_a_compressed_schedule_is_the_whole_of_it(name: str, places: int, within: float) -> None:
    """40 epochs in 12: at every share of the training the factor is what it was."""
    config = config_of(f"train.epochs = 40\n{SCHEDULES[name]}")
    short = compressed(config, 0.3, lr=0.5)
    assert (short.train.epochs, short.optim.lr) == (12, 0.5)
    long, whole = factors(config), factors(short)
    assert (len(long), len(whole)) == (400, 120)
    for place in range(0, 120, places):
        assert whole[place] == pytest.approx(long[place * 10 // 3], abs=within), place
    assert min(whole) == pytest.approx(min(long), abs=0.02)


@pytest.mark.parametrize(
    ("every", "share", "shortened"),
    [(10, 0.3, 3), (10, 0.5, 5), (2, 0.2, 1), (1, 0.2, 1), (40, 0.2, 8)],
)
def test_steps_come_as_often(every: int, share: float, shortened: int) -> None:
    text = f'train.epochs = 40\nschedule = {{ name = "step", every = {every} }}'
    assert compressed(config_of(text), share, lr=0.1).schedule.every == shortened


def test_pieces_that_fall_together_leave_the_later_one() -> None:
    text = 'schedule = { name = "piecewise", at = [10, 11, 40], factors = [0.5, 0.2, 0.1] }'
    short = compressed(config_of(f"train.epochs = 40\n{text}"), 0.2, lr=0.1).schedule
    assert (short.at, short.factors) == ([2, 8], [0.2, 0.1])
    assert type(short).model_validate(short.model_dump()) == short


@pytest.mark.parametrize(
    ("patience", "cooldown", "shortened"), [(10, 0, (3, 0)), (5, 4, (2, 1)), (1, 1, (1, 1))]
)
def test_a_plateau_waits_as_long_a_share(
    patience: int, cooldown: int, shortened: tuple[int, int]
) -> None:
    keys = f'name = "plateau", patience = {patience}, cooldown = {cooldown}'
    config = config_of(f"train.epochs = 40\nschedule = {{ {keys} }}")
    short = compressed(config, 0.3, lr=0.1).schedule
    assert (short.patience, short.cooldown) == shortened


def test_newbob_counts_in_no_epochs() -> None:
    config = config_of('schedule.name = "newbob"')
    assert compressed(config, 0.3, lr=0.1).schedule == config.schedule


def test_a_candidate_that_diverges_is_no_candidate() -> None:
    """At a tenth of itself another rate would be judged."""
    config = config_of('train.on_divergence = "lr/10"')
    assert compressed(config, 1.0, lr=0.1).train.on_divergence == "stop"


def test_an_exponential_decay_ends_as_deep() -> None:
    config = config_of(f"train.epochs = 40\n{SCHEDULES['exponential']}")
    short = compressed(config, 0.2, lr=0.1)
    assert short.schedule.decay * short.train.epochs == pytest.approx(0.1 * 40)
    # 3 epochs of 10 asked for 0.21: rounded up, the decay goes by what is really trained.
    odd = compressed(config_of("train.epochs = 10\n" + SCHEDULES["exponential"]), 0.21, lr=0.1)
    assert (odd.train.epochs, odd.schedule.decay) == (3, pytest.approx(0.1 * 10 / 3))


def test_warmup_keeps_its_share() -> None:
    config = config_of(f"train.epochs = 40\n{SCHEDULES['warmup']}")
    short = compressed(config, 0.3, lr=0.1)
    assert short.schedule == config.schedule
    assert warmup_updates(short.schedule, updates=120) == 24  # a fifth
    whole = factors(short)
    assert whole[:24] == pytest.approx([(update + 1) / 24 for update in range(24)])
    assert max(whole) == whole[24] == 1.0


@pytest.mark.parametrize(
    ("epochs", "share", "trained"),
    [
        (20, 0.3, 6),
        (10, 0.3, 3),
        (10, 0.2, 2),
        (7, 0.5, 4),
        (1, 0.2, 1),
        (20, 1.0, 20),
        (3, 0.3, 1),
    ],
)
def test_epochs_are_rounded_up_but_not_by_rounding_errors(
    epochs: int, share: float, trained: int
) -> None:
    """0.3 * 10 is 3.0000000000000004 in some orders: 3 epochs, not 4."""
    config = config_of(f"train.epochs = {epochs}")
    assert (
        compressed(config, share, lr=0.1).train.epochs
        == trained
        == math.ceil(round(share * epochs, 6))
    )


def test_the_last_round_is_the_recipe_at_another_rate() -> None:
    for text in SCHEDULES.values():
        config = config_of(text)
        same = compressed(config, 1.0, lr=0.25)
        back = same.model_copy(
            update={"optim": same.optim.model_copy(update={"lr": config.optim.lr})}
        )
        assert back == config
        assert same.optim.lr == 0.25


def test_a_candidate_keeps_its_rate() -> None:
    """What changes in a training would put another one in its place."""
    config = config_of('replay = {"optim.lr" = [[2, 0.5]], "regularize.l2" = [[3, 0.1]]}')
    assert compressed(config, 1.0, lr=0.25).replay == {}


def test_nothing_else_changes() -> None:
    config = config_of(f"optim.weight_decay = 0.01\n{SCHEDULES['step']}")
    before = config.model_dump()
    short = compressed(config, 0.3, lr=0.25).model_dump()
    assert config.model_dump() == before
    differ = {
        (section, key)
        for section, values in before.items()
        for key in values
        if short[section][key] != values[key]
    }
    assert differ == {("train", "epochs"), ("optim", "lr"), ("schedule", "every")}


@pytest.mark.parametrize(
    ("step", "said"),
    [
        (0, "5 rates x 1 seed for 4 epochs, then 2 x 1 for 20: the time of about 3 trainings"),
        (3, "7 rates x 2 seeds for 6 epochs, then 3 x 2 for 20: the time of about 4 trainings"),
        (5, "9 rates x 5 seeds for 20 epochs: the time of about 6 trainings"),
    ],
)
def test_a_plan_in_words(step: int, said: str) -> None:
    row_cost = {0: 1.0, 3: 0.4, 5: 0.13}[step]
    plan = ValidationPlan(rungs=LADDER[step], row_cost=row_cost)
    assert describe_plan(plan, 20) == f"validation: {said}"
