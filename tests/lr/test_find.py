"""From a config to a learning rate; nothing else changes."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from dltune.errors import DataError, ModelError
from dltune.lr.curve import LrCurve
from dltune.lr.extend import DEFAULT_RANGES
from dltune.lr.find import LrFind, find_lr, load, middle_config
from dltune.lr.read import LrStatus
from dltune.lr.suggest import band_around, search_range, suggest
from dltune.lr.sweep import sweep_seeds
from dltune.lr.validation.plan import describe_plan
from dltune.recipe.files import parse_recipe
from dltune.recipe.schema import Config
from dltune.training.history import Trial
from dltune.training.loop import train_cohort
from dltune.training.outcome import TrialOutcome

IRIS = 'data.source = "sklearn:iris"\nmodel.hidden = [16]\ntrain.device = "cpu"\n'
HERE = Path()


def config(*lines: str) -> Config:
    return parse_recipe(IRIS + "\n".join(lines), folder=HERE).config()


def losses_of(found: LrFind) -> list[tuple[float, ...]]:
    return [curve.losses for curve in found.curves]


def test_the_defaults() -> None:
    """Five seeds, fifty updates a decade from 2e-5 to 10, no validation."""
    found = find_lr(config(), folder=HERE)
    assert [(one.low, one.high, one.steps) for one in found.curves] == [(2e-5, 10.0, 286)] * 5
    assert [curve.seed for curve in found.curves] == sweep_seeds(0, 5)
    assert found.validation is None
    assert found.plan is not None
    assert found.updates == sum(len(curve.losses) for curve in found.curves)
    assert (found.seed, found.epochs, found.decays) == (0, config().train.epochs, False)
    assert found.notes == (
        "task: classification, as sklearn:iris is meant",
        "iris: 150 examples; train 90, dev 30, test 30 (stratified, seed 0)",
    )


@pytest.mark.parametrize("optimizer", sorted(DEFAULT_RANGES))
def test_every_optimizer_finds_a_rate_on_iris(optimizer: str) -> None:
    found = find_lr(config(f'optim.name = "{optimizer}"'), folder=HERE)
    assert found.suggestion.status is LrStatus.OK, found.suggestion.reason
    assert found.suggestion.edge is not None
    assert found.rate is not None
    assert found.rate < found.suggestion.edge / 3
    assert all(one.suggestion is not None for one in found.suggestion.seeds)


def test_the_suggestion_is_what_the_curves_support() -> None:
    found = find_lr(config(), folder=HERE)
    again = suggest(found.curves)
    assert found.suggestion.suggestion == again.suggestion
    assert found.suggestion.mean == again.mean


def test_rate_and_schedule_play_no_part_in_the_sweep() -> None:
    plain = find_lr(config(), folder=HERE, seeds=2)
    other = find_lr(
        config("optim.lr = 7.0", 'schedule.name = "one-cycle"', "train.epochs = 1"),
        folder=HERE,
        seeds=2,
    )
    assert plain.curves == other.curves
    assert plain.suggestion.suggestion == other.suggestion.suggestion


@pytest.mark.parametrize(
    ("schedule", "decays"),
    [
        pytest.param("constant", False, id="constant"),
        pytest.param("step", True, id="step"),
        pytest.param("exponential", True, id="exponential"),
        pytest.param("cosine", True, id="cosine"),
        pytest.param("one-cycle", True, id="one-cycle"),
    ],
)
def test_the_rate_is_for_the_schedule(schedule: str, decays: bool) -> None:
    found = find_lr(config(f'schedule.name = "{schedule}"'), folder=HERE, seeds=1)
    rate = found.suggestion.peak if decays else found.suggestion.suggestion
    assert rate is not None
    assert (found.decays, found.rate) == (decays, rate)
    assert found.band == band_around(rate)
    assert found.search_range == search_range(rate, found.suggestion.edge)


def test_seeds_derive_from_that_of_the_recipe() -> None:
    """More of them are the same ones, and others."""
    first, second = (
        find_lr(config(f"train.seed = {seed}"), folder=HERE, seeds=2) for seed in (0, 1)
    )
    assert (first.seed, second.seed) == (0, 1)
    assert len({*losses_of(first), *losses_of(second)}) == 4
    double = config('train.precision = "float64"')
    two, three = (find_lr(double, folder=HERE, seeds=count, high=0.1) for count in (2, 3))
    for mine, other in zip(two.curves, three.curves, strict=False):
        assert mine.losses == pytest.approx(other.losses, rel=1e-9)


def test_one_seed_is_that_of_the_recipe() -> None:
    (curve,) = find_lr(config("train.seed = 9"), folder=HERE, seeds=1).curves
    assert curve.seed == 9


def test_the_same_config_gives_the_same_answer() -> None:
    first, again = (find_lr(config("model.dropout = 0.3"), folder=HERE, seeds=3) for _ in range(2))
    assert first.curves == again.curves


def test_the_range_can_be_given_at_either_end() -> None:
    found = find_lr(config(), folder=HERE, low=1e-4, steps=60, seeds=2)
    assert [(one.low, one.high, one.steps) for one in found.curves] == [(1e-4, 10.0, 60)] * 2


def test_a_range_that_had_to_grow_is_noted() -> None:
    """A penalty turns descent unstable above 2 / l2 = 2e-4: the usual lowest is 5e-5."""
    made = config('optim.name = "sgd"', "regularize.l2 = 1e4")
    found = find_lr(made, folder=HERE, seeds=1, steps=300)
    assert found.notes[2:] == (
        "the loss only rises from the lowest rate, 5e-05, on: swept again from 5e-07 to 1e+02",
    )
    assert found.curves[0].low == pytest.approx(5e-7)
    chosen = find_lr(made, folder=HERE, seeds=1, steps=300, low=5e-5)
    assert chosen.notes == found.notes[:2]
    assert chosen.suggestion.status is LrStatus.RISING


def test_a_validation_where_it_is_asked_for() -> None:
    said: list[str] = []
    found = find_lr(
        config("train.epochs = 5"), folder=HERE, seeds=2, validate=True, say=said.append
    )
    assert found.validation is not None
    assert found.plan is not None
    assert said == [describe_plan(found.plan, 5)]
    assert found.validation.plan == found.plan
    assert found.rate == found.validation.choice.rate
    assert found.band == found.validation.choice.band
    assert found.rate is not None
    assert found.search_range == search_range(found.rate, found.suggestion.edge)


@pytest.mark.parametrize(
    ("epochs", "validate", "validated"),
    [
        pytest.param(2, True, True, id="asked for"),
        pytest.param(2, None, True, id="cheap"),
        pytest.param(10**7, None, False, id="dear"),
        pytest.param(2, False, False, id="not asked for"),
    ],
)
def test_whether_there_is_a_validation(epochs: int, validate: bool | None, validated: bool) -> None:
    said: list[str] = []
    found = find_lr(
        config(f"train.epochs = {epochs}"),
        folder=HERE,
        seeds=1,
        validate=validate,
        say=said.append,
    )
    assert (found.validation is not None) is validated
    assert bool(said) is validated
    assert found.plan is not None


def test_a_larger_budget_validates_more() -> None:
    small, large = (
        find_lr(config(), folder=HERE, seeds=1, budget=budget).plan for budget in (1.0, 20.0)
    )
    assert small is not None
    assert large is not None
    assert small.trainings < large.trainings


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_candidates_are_around_the_rate_and_the_own_is_among_them(schedule: str) -> None:
    found = find_lr(
        config("train.epochs = 3", f'schedule.name = "{schedule}"'),
        folder=HERE,
        seeds=2,
        validate=True,
        own=0.0123,
    )
    assert found.validation is not None
    assert [one.rate for one in found.validation.candidates if one.own] == [0.0123]
    center = found.suggestion.peak if schedule == "cosine" else found.suggestion.suggestion
    assert center in [one.rate for one in found.validation.candidates]


def test_a_curve_without_an_answer_has_no_rate() -> None:
    """A gradient cut to nothing: there is no edge to start a validation from."""
    nothing = config('optim.name = "sgd"', "regularize.clip_norm = 1e-12")
    found = find_lr(nothing, folder=HERE, seeds=2, steps=40, validate=True)
    assert found.suggestion.status is LrStatus.FLAT
    assert found.rate is found.band is found.search_range is found.validation is None


def test_data_that_are_there_are_not_loaded_again() -> None:
    loaded = load(config(), folder=HERE)
    found = find_lr(config(), folder=HERE, seeds=1, loaded=loaded)
    assert found.curves == find_lr(config(), folder=HERE, seeds=1).curves
    other = load(config("data.seed = 5"), folder=HERE)
    assert find_lr(config(), folder=HERE, seeds=1, loaded=other).curves != found.curves


def test_watch_is_told_of_sweep_and_validation() -> None:
    seen: list[tuple[str, float, float]] = []
    find_lr(
        config("train.epochs = 2"),
        folder=HERE,
        seeds=2,
        steps=40,
        validate=True,
        watch=lambda *what: seen.append(what),
    )
    stages = [stage for stage, _, _ in seen]
    assert stages == sorted(stages)  # first the sweep, then the validation
    assert set(stages) == {"sweep", "validation"}
    assert {total for stage, _, total in seen if stage == "sweep"} == {40}
    for stage in ("sweep", "validation"):
        done = [one for name, one, _ in seen if name == stage]
        assert done == sorted(done)


def test_mistakes_of_the_data_pass_through() -> None:
    broken = parse_recipe('data.source = "sklearn:irish"', folder=HERE).config()
    with pytest.raises(DataError, match="iris"):
        find_lr(broken, folder=HERE)


# A training is the same before and after.


def trained(made: Config) -> TrialOutcome:
    training = train_cohort(
        [Trial(number=0, config=made, seed=made.train.seed)],
        load(made, folder=HERE).data,
        folder=HERE,
    )
    while True:
        try:
            next(training)
        except StopIteration as end:
            (outcome,) = end.value
            return outcome


def assert_bit_identical(one: TrialOutcome, other: TrialOutcome) -> None:
    histories = [
        [dataclasses.replace(record, seconds=0.0) for record in outcome.record.history]
        for outcome in (one, other)
    ]
    assert histories[0] == histories[1]
    assert one.weights.keys() == other.weights.keys()
    assert all(torch.equal(one.weights[name], other.weights[name]) for name in one.weights)


def raise_at(stage: str, error: BaseException) -> Callable[[str, float, float], None]:
    def watch(name: str, _done: float, _total: float) -> None:
        if name == stage:
            raise error

    return watch


ERRORS = [
    pytest.param(RuntimeError("a bug in a progress bar"), id="exception"),
    pytest.param(KeyboardInterrupt(), id="interrupt"),
]
WITH_DROPOUT = ("model.dropout = 0.3", "model.batch_norm = true", "train.epochs = 3")


def test_a_training_is_the_same_after_a_sweep_and_a_validation() -> None:
    made = config(*WITH_DROPOUT)
    before, state = trained(made), torch.get_rng_state()
    found = find_lr(made, folder=HERE, validate=True)
    assert found.validation is not None
    assert torch.equal(torch.get_rng_state(), state)
    assert_bit_identical(before, trained(made))


@pytest.mark.parametrize("stage", ["sweep", "validation"])
@pytest.mark.parametrize("error", ERRORS)
def test_a_training_is_the_same_after_what_broke_off(stage: str, error: BaseException) -> None:
    made = config(*WITH_DROPOUT)
    before, state, threads = trained(made), torch.get_rng_state(), torch.get_num_threads()
    with pytest.raises(type(error)):
        find_lr(made, folder=HERE, seeds=2, validate=True, watch=raise_at(stage, error))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads
    assert_bit_identical(before, trained(made))


def test_a_training_is_the_same_after_a_users_model_broke(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(
        "import torch\n\n\ndef build(inputs, outputs):\n"
        "    torch.manual_seed(1)\n    raise RuntimeError('not today')\n"
    )
    made = config(*WITH_DROPOUT)
    broken = Config.model_validate(
        {"data": {"source": "sklearn:iris"}, "model": {"factory": "own.py:build"}}
    )
    before, state = trained(made), torch.get_rng_state()
    with pytest.raises(ModelError, match="not today"):
        find_lr(broken, folder=tmp_path)
    assert torch.equal(torch.get_rng_state(), state)
    assert_bit_identical(before, trained(made))


def test_a_sweep_is_the_same_after_a_training() -> None:
    first = find_lr(config(*WITH_DROPOUT), folder=HERE, seeds=2)
    trained(config(*WITH_DROPOUT))
    torch.manual_seed(77)
    assert find_lr(config(*WITH_DROPOUT), folder=HERE, seeds=2).curves == first.curves


def test_curves_are_plain_values() -> None:
    """Nothing of torch or NumPy is left in them: they go into a document as they are."""
    found = find_lr(config(), folder=HERE, seeds=2)
    for curve in found.curves:
        assert isinstance(curve, LrCurve)
        json.dumps(dataclasses.asdict(curve), allow_nan=False)


# Which values a recipe with ranges is swept with.


def test_the_middle_of_every_range_but_the_rate() -> None:
    recipe = parse_recipe(
        IRIS + "optim.lr = { log = [1e-4, 1e-2] }\n"
        "model.dropout = { uniform = [0.0, 0.5] }\n"
        "train.batch_size = { choice = [16, 32, 64] }\n",
        folder=HERE,
    )
    made, chosen = middle_config(recipe)
    assert chosen == {"model.dropout": 0.25, "train.batch_size": 32}
    assert (made.model.dropout, made.train.batch_size) == (0.25, 32)


def test_a_recipe_without_ranges_is_taken_as_it_is() -> None:
    recipe = parse_recipe(IRIS, folder=HERE)
    assert middle_config(recipe) == (recipe.config(), {})
