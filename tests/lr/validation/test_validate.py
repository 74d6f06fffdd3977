from __future__ import annotations

import dataclasses
import math
import random
from pathlib import Path

import numpy as np
import pytest
import torch

from dltune.data.device import DeviceData, Tensors
from dltune.lr.validation.plan import Rung, ValidationPlan, compressed
from dltune.lr.validation.validate import EXTENSION, EXTENSIONS, Validation, validate
from dltune.recipe.files import parse_recipe
from dltune.recipe.schema import Config
from dltune.training.history import Trial
from dltune.training.learner import Learner
from dltune.training.loop import train_cohort
from dltune.training.seeds import derive_seed

QUARTER = 10.0**0.25


def config_of(text: str) -> Config:
    return parse_recipe(f'data.source = "sklearn:wine"\n{text}', folder=".").config()


WINE = config_of("""
model = { hidden = [16], dropout = 0.1 }
optim.name = "adam"
schedule = { name = "cosine", warmup = 0.1 }
train = { epochs = 6, batch_size = 32 }
""")


def plan_of(*rungs: tuple[int, int, float]) -> ValidationPlan:
    """Rounds of so many candidates, with so many seeds, for such a share of the epochs."""
    return ValidationPlan(
        rungs=tuple(Rung(candidates=c, seeds=s, share=share) for c, s, share in rungs),
        row_cost=1.0,
    )


def with_train(config: Config, **values: object) -> Config:
    return config.model_copy(update={"train": config.train.model_copy(update=values)})


TWO_ROUNDS = plan_of((5, 2, 0.5), (2, 3, 1.0))
ONE_ROUND = plan_of((5, 1, 1.0))


def tried(
    data: DeviceData,
    config: Config = WINE,
    *,
    center: float = 0.03,
    own: float | None = None,
    seed: int = 0,
    plan: ValidationPlan = TWO_ROUNDS,
    stacked: bool = True,
    **others,
) -> Validation:
    return validate(
        config,
        center=center,
        own=own,
        seed=seed,
        plan=plan,
        data=data,
        folder=Path(),
        stacked=stacked,
        **others,
    )


def rates_of(validation: Validation) -> list[float]:
    return [one.rate for one in validation.candidates]


def lowest_dev_loss(data: DeviceData, config: Config, seed: int) -> float:
    """Of a training that knows of no other."""
    training = train_cohort([Trial(number=0, config=config, seed=seed)], data, folder=Path())
    losses: list[float] = []
    while True:
        try:
            losses += [record.dev_loss for record in next(training).records]
        except StopIteration:
            return min(losses)


def test_a_candidate_is_the_training_that_dltune_train_makes(wine: DeviceData) -> None:
    """Bit for bit, with any rate, in any round; so all rates share weights and batches by seed."""
    found = tried(wine, seed=5, stacked=False)
    seeds = [5, derive_seed(5, "lr-find", 1), derive_seed(5, "lr-find", 2)]
    longest = [one for one in found.candidates if len(one.rounds) == 2]
    assert len(longest) == 2
    for one in found.candidates[:2] + tuple(longest):
        for rung, losses in zip(TWO_ROUNDS.rungs, one.rounds, strict=False):
            alone = compressed(WINE, rung.share, lr=one.rate)
            assert losses == tuple(
                lowest_dev_loss(wine, alone, seed) for seed in seeds[: rung.seeds]
            )


def test_stacked_and_looped_say_the_same(wine: DeviceData) -> None:
    config = with_train(WINE, precision="float64")  # in float32 sums in another order differ
    looped, stacked = (tried(wine, config, stacked=way) for way in (False, True))
    assert stacked.choice.rate == looped.choice.rate
    assert (stacked.choice.tied, stacked.choice.band) == (looped.choice.tied, looped.choice.band)
    assert (stacked.trainings, stacked.updates) == (looped.trainings, looped.updates)
    assert stacked.untrained == looped.untrained
    for one, other in zip(stacked.candidates, looped.candidates, strict=True):
        assert one.rate == other.rate
        for losses, others in zip(one.rounds, other.rounds, strict=True):
            assert losses == pytest.approx(others, rel=1e-9)


def test_the_same_question_has_the_same_answer(wine: DeviceData) -> None:
    assert tried(wine, seed=3) == tried(wine, seed=3)
    assert tried(wine, seed=3).candidates != tried(wine, seed=4).candidates


def test_rates_are_a_quarter_of_a_decade_apart_around_the_center(wine: DeviceData) -> None:
    found = tried(wine, center=0.03)
    assert rates_of(found)[:5] == [0.0095, 0.017, 0.03, 0.053, 0.095]
    steps = np.diff(np.log10(rates_of(found)))
    assert steps == pytest.approx(0.25, abs=0.02)  # two digits


@pytest.mark.parametrize(
    ("own", "rates"),
    [
        pytest.param(None, [0.017, 0.03, 0.053], id="none"),
        pytest.param(0.001, [0.001, 0.017, 0.03, 0.053], id="far off"),
        pytest.param(0.04, [0.017, 0.03, 0.04, 0.053], id="between two"),
        pytest.param(0.031, [0.017, 0.031, 0.053], id="instead of its neighbour"),
    ],
)
def test_the_recipes_own_rate_is_one_of_them(
    wine: DeviceData, own: float | None, rates: list[float]
) -> None:
    found = tried(wine, with_train(WINE, epochs=1), own=own, plan=plan_of((3, 1, 1.0)))
    assert set(rates) <= set(rates_of(found))
    assert rates_of(found) == sorted(rates_of(found))
    assert [one.rate for one in found.candidates if one.own] == ([] if own is None else [own])


def test_the_best_go_on_and_are_trained_anew(wine: DeviceData) -> None:
    found = tried(wine)
    by_first = sorted(found.candidates, key=lambda one: one.first_loss)
    assert [len(one.rounds) for one in by_first] == [2, 2] + [1] * (len(by_first) - 2)
    for one in found.candidates:
        assert [len(losses) for losses in one.rounds] == [2, 3][: len(one.rounds)]
    assert found.choice.rate in {one.rate for one in by_first[:2]}


def test_what_it_cost_is_counted(wine: DeviceData) -> None:
    """106 wines in batches of 32: the last one of 10 makes it 4 updates an epoch."""
    found = tried(wine)
    epochs = len(found.candidates) * 2 * 3 + 2 * 3 * 6
    assert found.updates == 4 * epochs
    assert found.trainings == pytest.approx(epochs / 6)
    assert found.plan is TWO_ROUNDS


def test_the_untrained_loss_is_that_of_the_first_seeds_model(wine: DeviceData) -> None:
    learner = Learner(WINE, seed=7, data=wine, folder=Path())
    assert tried(wine, seed=7, plan=ONE_ROUND).untrained == learner.measure(wine.dev).loss


def test_watch_is_called_with_the_trainings_done(wine: DeviceData) -> None:
    told: list[tuple[str, float, float]] = []
    found = tried(wine, watch=lambda *what: told.append(what))
    seen = [done for _, done, _ in told]
    assert {(stage, total) for stage, _, total in told} == {("validation", found.plan.trainings)}
    assert seen == sorted(seen)
    assert len(seen) > 6  # an epoch of all that are trained at once
    assert seen[-1] == found.trainings


@pytest.mark.parametrize("stacked", [False, True])
def test_random_states_are_as_before(wine: DeviceData, stacked: bool) -> None:
    def drawn() -> tuple[float, float, float]:
        return random.random(), float(np.random.rand()), float(torch.rand(()))

    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    expected = drawn()
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    tried(wine, plan=ONE_ROUND, stacked=stacked)
    assert drawn() == expected


# Where the curve of the sweeps misled.

SGD = config_of("""
model.hidden = [16]
optim.name = "sgd"
train = { epochs = 10, batch_size = 32 }
""")


@pytest.mark.parametrize("factor", [0.01, 100.0])
def test_from_far_off_it_comes_back(wine: DeviceData, factor: float) -> None:
    near = tried(wine, SGD, center=0.5, plan=plan_of((7, 1, 1.0))).choice
    assert near.rate is not None
    far = tried(wine, SGD, center=0.5 * factor, plan=plan_of((7, 1, 1.0)))
    assert far.choice.rate is not None
    assert abs(math.log10(far.choice.rate / near.rate)) <= 0.5
    assert len(far.candidates) > 7


def test_it_goes_no_further_than_two_decades_beyond_an_end(wine: DeviceData) -> None:
    found = tried(wine, SGD, center=1e-4, plan=ONE_ROUND)
    assert len(found.candidates) == 5 + EXTENSIONS * EXTENSION
    assert math.log10(rates_of(found)[-1] / 1e-4) == pytest.approx(0.5 + 2.0, abs=0.02)


# A quadratic, whose losses are known.


@dataclasses.dataclass(frozen=True)
class Quadratic:
    """Full-batch descent on mean squared error; the Hessian is diagonal in these features.

    data      the train split, which is the dev split as well.
    hessian   its eigenvalues: 2 mean(x_i^2) for each feature, and 2 for the bias.
    """

    data: DeviceData
    hessian: np.ndarray

    def excess(self, start: np.ndarray, rate: float, updates: int) -> float:
        """Lowest loss after any number of updates from some weights, above that of the optimum.

        L(w) - L* = sum_i h_i (w_i - w*_i)^2 / 2, and each update takes 1 - rate h_i of w_i - w*_i.
        """
        apart = start - np.array([*SLOPES, 0.0])
        steps = np.arange(1, updates + 1)[:, None]
        with np.errstate(over="ignore"):
            shrunk = (1.0 - rate * self.hessian) ** (2 * steps)
            return float((self.hessian * apart**2 * shrunk).sum(axis=1).min() / 2)


SLOPES = (3.0, -4.0)
SPREADS = (1.0, 0.2)


@pytest.fixture(scope="module")
def quadratic() -> Quadratic:
    signs = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]]).repeat(8, 1)
    features = (signs * torch.tensor(SPREADS)).float()
    targets = (features @ torch.tensor(SLOPES))[:, None]
    split = Tensors(features=features, targets=targets)
    data = DeviceData(
        device=torch.device("cpu"),
        task="regression",
        inputs=(2,),
        outputs=1,
        train=split,
        dev=split,
        test=None,
        train_dev=None,
    )
    return Quadratic(data=data, hessian=np.array([2.0 * s**2 for s in SPREADS] + [2.0]))


DESCENT = config_of("""
model.hidden = []
optim.name = "sgd"
objective = { metric = "dev_loss", loss = "mse" }
train = { epochs = 30, batch_size = "full" }
""")


def start_of(data: DeviceData, seed: int) -> np.ndarray:
    """The initial weights of a training with a seed, the bias last."""
    parameters = Learner(DESCENT, seed=seed, data=data, folder=Path()).parameters
    return np.concatenate([weight.detach().numpy().ravel() for weight in parameters])


@pytest.mark.parametrize("center", [0.01, 0.2, 0.7, 1.0, 30.0])
@pytest.mark.parametrize("seeds", [1, 3])
def test_the_best_rate_of_a_quadratic(quadratic: Quadratic, center: float, seeds: int) -> None:
    """From the eigenvalues of its Hessian, up to a quarter of a decade."""
    found = tried(quadratic.data, DESCENT, center=center, plan=plan_of((7, seeds, 1.0)))
    of_seeds = [0, *(derive_seed(0, "lr-find", number) for number in range(1, seeds))]
    starts = [start_of(quadratic.data, seed) for seed in of_seeds]

    def loss(rate: float) -> float:
        return float(np.mean([quadratic.excess(start, rate, 30) for start in starts]))

    for one in found.candidates:
        if math.isfinite(one.loss) and one.rate < 2 / quadratic.hessian.max():
            assert one.loss == pytest.approx(loss(one.rate), rel=1e-3, abs=1e-6)
    rates = np.geomspace(1e-3, 1.0, 3001)
    best = float(rates[np.argmin([loss(rate) for rate in rates])])
    # Up to 2 / (largest + smallest eigenvalue) the slow direction still gains: 2 / 2.08 = 0.96.
    assert 0.8 < best < 1.0
    assert found.choice.rate is not None
    assert abs(math.log10(found.choice.rate / best)) <= 0.25
    assert found.choice.band is not None
    assert found.choice.band[0] < found.choice.rate < found.choice.band[1]


def test_where_every_candidate_diverges_there_is_no_answer(quadratic: Quadratic) -> None:
    """Above 1, twice the inverse of the largest eigenvalue, descent diverges; it looks below."""
    config = with_train(DESCENT, epochs=2000)
    plan = plan_of((3, 2, 0.5), (2, 2, 1.0))
    found = tried(quadratic.data, config, center=1e5, plan=plan)
    assert [one.loss for one in found.candidates] == [math.inf] * (3 + EXTENSIONS * EXTENSION)
    assert rates_of(found)[0] == pytest.approx(1e5 / QUARTER / 100, rel=0.05)
    assert (found.choice.rate, found.choice.band, found.choice.tied) == (None, None, ())
    assert found.choice.reason == "no candidate learned anything"
    assert {len(one.rounds) for one in found.candidates} == {1}  # none was fit to go on
