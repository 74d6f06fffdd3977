"""How `benchmarks/priors.py` takes searches from a pool, and what it makes of them."""

from __future__ import annotations

import importlib
from types import ModuleType

import numpy as np
import pytest

from dltune.recipe.files import parse_recipe


@pytest.fixture
def script() -> ModuleType:
    return importlib.import_module("priors")


def test_a_search_takes_the_nearest_trials_and_none_twice(script: ModuleType) -> None:
    near = [[0.1 * step, 0.1] for step in range(script.NEAREST)]
    pool = script.Pool(
        points=np.array([*near, [0.9, 0.9], [0.95, 0.9]]), dev_errors=np.arange(10) / 10
    )
    points = np.array([[0.0, 0.1], [0.91, 0.91], [0.91, 0.91]])
    first, *others = pool.errors_of(points, seed=0).tolist()
    assert others == [0.8, 0.9]
    # The first is any of the nearest: a start is the same point under every seed.
    firsts = {first, *(pool.errors_of(points, seed)[0] for seed in range(1, 100))}
    assert firsts == {step / 10 for step in range(script.NEAREST)}


def test_starts_stand_in_the_best_and_the_worst_tenth(script: ModuleType) -> None:
    text = 'data.source = "a.csv"\noptim.lr = {log = [1e-5, 1e5]}\n'
    text += "model.dropout = {uniform = [0, 0.5]}"
    space = parse_recipe(text, folder=".").space
    middles = (np.arange(10) + 0.5) / 10
    points = np.stack([middles, middles[::-1]], axis=1)  # (trials, ranges)
    pool = script.Pool(points=points, dev_errors=np.arange(10) / 10)
    spaces = script.spaces_of(space, pool)
    assert {
        kind: [one.range.start for one in begun.dimensions] for kind, begun in spaces.items()
    } == {
        "good": pytest.approx([10**-4.5, 0.475]),
        "no rate": [None, pytest.approx(0.475)],
        "wrong": pytest.approx([10**4.5, 0.025]),
    }


def test_searches_are_measured_against_random_search(script: ModuleType) -> None:
    # Both fall on a line: the mean error of random search is 1 - n / 256 after n trials.
    plain = np.tile(1 - np.arange(1, script.MOST + 1) / 256, (3, 1))
    twice = np.tile(1 - np.arange(1, script.MOST + 1) / 512, (3, 1))
    (short, long), target = script.AFTER, script.TARGET
    assert script.ratios(plain, plain) == {
        f"dev error after {short}": 1.0,
        f"dev error after {long}": 1.0,
        f"trials to random's best of {target}": 1.0,
    }
    assert script.ratios(twice, plain) == {
        f"dev error after {short}": pytest.approx((1 - short / 512) / (1 - short / 256)),
        f"dev error after {long}": pytest.approx((1 - long / 512) / (1 - long / 256)),
        f"trials to random's best of {target}": pytest.approx(2.0),
    }
    assert script.trials_to(plain[0], 0.1) == script.MOST


def test_the_rows_of_all_models_are_geometric_means(script: ModuleType) -> None:
    rows = [
        {"model": "a", "starts": "good", "--prior": 0.25, "dev error after 16": 0.5},
        {"model": "b", "starts": "good", "--prior": 0.25, "dev error after 16": 2.0},
        {"model": "b", "starts": "wrong", "--prior": "none", "dev error after 16": 1.5},
    ]
    assert script.means_of(rows) == [
        {"model": "all", "starts": "good", "--prior": 0.25, "dev error after 16": pytest.approx(1)},
        rows[2] | {"model": "all", "dev error after 16": pytest.approx(1.5)},
    ]
