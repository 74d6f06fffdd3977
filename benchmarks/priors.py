"""What a start in a recipe is worth: `--strategy random` with and without `--prior`.

    python benchmarks/priors.py
    python benchmarks/priors.py --models mlp-32 --pool 256 --seeds 20       # for a look
    python benchmarks/priors.py --pools priors.json     # of an earlier --json, without training

Six minutes on two cores that do nothing else. Of each model, `--pool` random trials are trained
once. Searches then take their trials from this pool: what the strategy proposes, under `--seeds`
seeds, becomes the nearest trial of the pool (Euclidean, in the unit cube) that the search does not
have yet. So thousands of searches cost no training, and each has the noise of real trainings. Trial
0, which a start makes the same in all of them, is one of the nearest 8, drawn under the seed: else
the luck of one training would count two hundred times.

A start is the middle of a tenth of its range: of the tenth whose best trials are best (good), or of
that whose best are worst (wrong), each by the dev error that one in ten of its trials reaches: a
search keeps the best, and says nothing of the others. With "no rate" the learning rate has no
start, and the others have good ones. Random search without any start is what all are measured
against; under one seed, the trials that are not drawn around a start are the same on both sides.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from search_against_peers import run_dltune
from tasks import TASKS, Task, tasks_named
from timing import add_json_option, note, report

from dltune.recipe.files import parse_recipe
from dltune.recipe.space import Space
from dltune.search.strategies.random import RandomSearch

PACKAGES = ("dltune", "torch", "numpy")
SHARES = (0.0, 0.1, 0.25, 0.5)  # 0: a start without --prior, where only trial 0 is another
AFTER = (16, 64)  # trials, a short search and a longer one
TARGET = 32  # trials of random search, whose result is to be reached
MOST = 4 * TARGET  # trials of a search
NEAREST = 8  # of 1,024 trials in three ranges, an eighth of a range around
POOL_SEED = 1000  # of none of the searches
RATE = "optim.lr"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pool:
    """Random trials of one task.

    points      (trials, ranges), in the unit cube.
    dev_errors  (trials,), of their best epochs; 1 for one that failed.
    """

    points: np.ndarray
    dev_errors: np.ndarray

    def to_lists(self) -> dict[str, Any]:
        """As JSON has it."""
        return {"points": self.points.tolist(), "dev_errors": self.dev_errors.tolist()}

    @classmethod
    def from_lists(cls, lists: dict[str, Any]) -> Pool:
        """What `to_lists` gave."""
        return cls(**{name: np.array(one) for name, one in lists.items()})

    def errors_of(self, points: np.ndarray, seed: int) -> np.ndarray:
        """Dev errors of the nearest trials, each taken once, in the order of the points.

        points  (searched, ranges), no more than there are trials.
        seed    of the draw among the `NEAREST` of the first point.
        """
        differences = points[:, None, :] - self.points  # (searched, trials, ranges)
        distances = (differences**2).sum(axis=2)
        near = np.argsort(distances[0])[:NEAREST]
        taken = [int(np.random.default_rng(seed).choice(near))]
        for row in distances[1:]:
            row[taken] = np.inf
            taken.append(int(row.argmin()))
        return self.dev_errors[taken]

    def tenths(self) -> np.ndarray:
        """(ranges, 10): the dev error that one in ten trials of each tenth of a range reaches."""
        cells = np.minimum((self.points * 10).astype(int), 9)
        return np.array(
            [
                [np.quantile(self.dev_errors[column == tenth], 0.1) for tenth in range(10)]
                for column in cells.T
            ]
        )


def train_pool(task: Task, trials: int, folder: Path) -> Pool:
    """Train a pool with `dltune search`; its points are those that the strategy proposes."""
    measured = run_dltune(task, trials=trials, seed=POOL_SEED, folder=folder, more=[])
    space = parse_recipe(task.recipe(), folder=folder).space
    points = [space.to_unit(one.values) for one in RandomSearch(space, POOL_SEED).ask(trials)]
    note(f"{task.title}: {trials} trials in {measured.seconds:.0f} s")
    return Pool(points=np.array(points), dev_errors=np.array(measured.dev_errors))


def with_starts(space: Space, tenths: Sequence[int | None]) -> Space:
    """The space with a start in the middle of a tenth of each range, from 0; None for no start."""
    begun = []
    for dimension, tenth in zip(space.dimensions, tenths, strict=True):
        start = None if tenth is None else dimension.range.from_unit((tenth + 0.5) / 10)
        values = dataclasses.replace(dimension.range, start=start)
        begun.append(dataclasses.replace(dimension, range=values))
    return Space(tuple(begun))


def spaces_of(space: Space, pool: Pool) -> dict[str, Space]:
    """The space with each kind of starts."""
    tenths = pool.tenths()
    good, wrong = tenths.argmin(axis=1).tolist(), tenths.argmax(axis=1).tolist()
    no_rate = [
        None if one.name == RATE else tenth
        for one, tenth in zip(space.dimensions, good, strict=True)
    ]
    kinds = {"good": good, "no rate": no_rate, "wrong": wrong}
    return {kind: with_starts(space, tenths) for kind, tenths in kinds.items()}


def best_so_far(pool: Pool, space: Space, *, share: float, seeds: int) -> np.ndarray:
    """(seeds, MOST): the best dev error of each search after each of its trials.

    share  of `--prior`; 0 for none.
    """
    curves = []
    for seed in range(seeds):
        strategy = RandomSearch(space, seed, prior=share or None)
        points = np.array([space.to_unit(one.values) for one in strategy.ask(MOST)])
        curves.append(np.minimum.accumulate(pool.errors_of(points, seed)))
    return np.array(curves)


def trials_to(curve: np.ndarray, target: float) -> float:
    """After how many trials a falling curve is at the target, between two trials on a line.

    curve  (trials,). One that does not come to the target counts as if it did at its end.

    >>> trials_to(np.array([0.4, 0.4, 0.2, 0.1]), 0.3), trials_to(np.array([0.4, 0.3]), 0.1)
    (2.5, 2.0)
    """
    reached = np.flatnonzero(curve <= target)
    if len(reached) == 0 or reached[0] == 0:
        return float(len(curve)) if len(reached) == 0 else 1.0
    after = int(reached[0])
    before, now = curve[after - 1], curve[after]
    return float(after + (before - target) / (before - now))


def ratios(curves: np.ndarray, plain: np.ndarray) -> dict[str, float]:
    """What searches come to, as shares of what random search without starts comes to.

    curves, plain  (seeds, MOST), as of `best_so_far`.
    """
    mean, of_plain = curves.mean(axis=0), plain.mean(axis=0)
    errors = {f"dev error after {n}": float(mean[n - 1] / of_plain[n - 1]) for n in AFTER}
    needed = trials_to(mean, of_plain[TARGET - 1]) / TARGET
    return {**errors, f"trials to random's best of {TARGET}": needed}


def rows_of(task: Task, pool: Pool, *, seeds: int) -> list[dict[str, Any]]:
    """A row for each kind of starts and share."""
    space = parse_recipe(task.recipe(), folder=".").space
    plain = best_so_far(pool, space, share=0.0, seeds=seeds)
    rows = []
    for kind, begun in spaces_of(space, pool).items():
        for share in SHARES:
            curves = best_so_far(pool, begun, share=share, seeds=seeds)
            head = {"model": task.title, "starts": kind, "--prior": share or "none"}
            rows.append(head | ratios(curves, plain))
    return rows


def means_of(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows of all models as one: of each kind and share, the geometric mean of the ratios."""
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["starts"], row["--prior"]), []).append(row)
    means = []
    for group in groups.values():
        numbers = {
            key: float(np.exp(np.mean(np.log([row[key] for row in group]))))
            for key, value in group[0].items()
            if isinstance(value, float) and key != "--prior"
        }
        means.append({**group[0], "model": "all", **numbers})
    return means


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--models", default="mlp-32,mlp-128,cnn", metavar="NAMES", help="default: %(default)s"
    )
    parser.add_argument("--pools", type=Path, metavar="FILE", help="take those of this --json")
    parser.add_argument("--pool", type=int, default=1024, metavar="N", help="default: %(default)s")
    parser.add_argument("--seeds", type=int, default=200, metavar="N", help="default: %(default)s")
    add_json_option(parser)
    options = parser.parse_args()
    try:
        options.models = tasks_named(options.models, TASKS)
    except ValueError as error:
        parser.error(str(error))
    if options.pool < MOST:
        parser.error(f"--pool {options.pool}: must be at least {MOST}, the trials of a search")
    return options


def main() -> None:
    """Train the pools, search in them and print the table."""
    options = read_options()
    if options.pools:
        stored = json.loads(options.pools.read_text(encoding="utf-8"))["pools"]
        pools = {name: Pool.from_lists(one) for name, one in stored.items()}
    else:
        with tempfile.TemporaryDirectory() as folder:
            pools = {
                task.name: train_pool(task, options.pool, Path(folder)) for task in options.models
            }
    rows = [
        row
        for task in options.models
        for row in rows_of(task, pools[task.name], seeds=options.seeds)
    ]
    sizes = sorted({len(one.points) for one in pools.values()})
    report(
        f"ratios to random search without starts; pools of {', '.join(map(str, sizes))} trials, "
        f"{options.seeds} seeds",
        rows + means_of(rows),
        packages=PACKAGES,
        json_file=options.json,
        seeds=options.seeds,
        pools={name: one.to_lists() for name, one in pools.items()},
    )


if __name__ == "__main__":
    main()
