"""What every learning rate of a grid comes to on every task: `oracle.json`, measure of all rules.

    python benchmarks/lr_find/oracle.py                   all tasks, about half an hour on two cores
    python benchmarks/lr_find/oracle.py --only wine       those whose name contains "wine"

Four rates a decade, five seeds, the recipe's whole training, by the stacked engine. The grid is
extended until the best rate has two others on each side. Tasks that are in the file already are
left alone.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import dataclasses
import json
import math
import sys
from collections.abc import Sequence

import numpy as np
import torch
from tasks import FOLDER, TASKS, Task

from dltune.data.device import DeviceData, to_device
from dltune.data.load import load_data
from dltune.training.history import Trial, TrialRecord, TrialState
from dltune.training.learner import Learner
from dltune.training.loop import train_cohort

FILE = FOLDER / "oracle.json"
SEEDS = (1000, 1001, 1002, 1003, 1004)  # none of those that the finders get
PER_DECADE = 4
MARGIN = 2  # rates beyond the best one, on both sides
# Quarter decades, as exponents times four, before any extension.
FIRST_GRID = {"sgd": (-12, 4), "momentum": (-14, 2)}
FIRST_GRID_SCALED = (-16, 0)  # adam, adamw, rmsprop
STACK = 32


@dataclasses.dataclass(frozen=True, kw_only=True)
class Oracle:
    """The grid of one task.

    quarters   exponents of the rates times four, rising.
    best       (rates, seeds) dev loss at the best epoch; infinite for a training that diverged.
    final      (rates, seeds) dev loss after the last epoch.
    untrained  (seeds,) dev loss before any update.
    """

    quarters: list[int]
    best: np.ndarray
    final: np.ndarray
    untrained: np.ndarray

    @property
    def rates(self) -> np.ndarray:
        """Learning rates, rising."""
        return 10.0 ** (np.array(self.quarters) / PER_DECADE)

    def levels(self, losses: np.ndarray) -> np.ndarray:
        """(rates,) mean over the seeds; nothing counts as worse than to have learned nothing."""
        return np.minimum(losses, self.untrained).mean(axis=1)

    def normalized(self, losses: np.ndarray, *, by: str = "best") -> np.ndarray:
        """Regret of dev losses: 0 is the grid's best, 1 is to have learned nothing."""
        lowest = self.levels(getattr(self, by)).min()
        start = float(self.untrained.mean())
        return (losses - lowest) / (start - lowest)

    def regret(self, rate: float | None, *, by: str = "best") -> float:
        """Of training at a rate, between the grid's rates in the logarithm; of none at all, 1."""
        if rate is None or not rate > 0:
            return 1.0
        regrets = self.normalized(self.levels(getattr(self, by)), by=by)
        exponents = np.array(self.quarters) / PER_DECADE
        if not exponents[0] <= math.log10(rate) <= exponents[-1]:
            return 1.0 if math.log10(rate) > exponents[-1] else float(regrets[0])
        return float(np.interp(math.log10(rate), exponents, regrets))

    def best_rate(self) -> float:
        """The rate of the grid with the lowest mean dev loss."""
        return float(self.rates[int(self.levels(self.best).argmin())])


def task_data(task: Task) -> DeviceData:
    """The task's data on the CPU."""
    return to_device(load_data(task.config().data, folder=FOLDER), torch.device("cpu"))


def train_all(trials: Sequence[Trial], data: DeviceData) -> list[TrialRecord]:
    """Train in stacks and return the results in order."""
    results = []
    for start in range(0, len(trials), STACK):
        training = train_cohort(trials[start : start + STACK], data, folder=FOLDER, stacked=True)
        while True:
            try:
                next(training)
            except StopIteration as end:
                results += [outcome.record for outcome in end.value]
                break
    return results


def losses_of(result: TrialRecord) -> tuple[float, float]:
    """Best and final dev loss; infinite where the training diverged."""
    if result.state is not TrialState.COMPLETE or result.dev_loss is None:
        return math.inf, math.inf
    return result.dev_loss, result.history[-1].dev_loss


def find_oracle(task: Task) -> Oracle:
    """Train the grid, and more of it until the best rate lies inside."""
    torch.set_num_threads(1)
    data = task_data(task)
    untrained = np.array(
        [
            Learner(task.config(), seed=seed, data=data, folder=FOLDER).measure(data.dev).loss
            for seed in SEEDS
        ]
    )
    low, high = FIRST_GRID.get(task.optimizer, FIRST_GRID_SCALED)
    wanted = list(range(low, high + 1))
    measured: dict[int, list[TrialRecord]] = {}
    while True:
        missing = [quarter for quarter in wanted if quarter not in measured]
        trials = [
            Trial(number=number, config=task.config(10.0 ** (quarter / PER_DECADE)), seed=seed)
            for number, (quarter, seed) in enumerate((q, s) for q in missing for s in SEEDS)
        ]
        results = train_all(trials, data)
        for index, quarter in enumerate(missing):
            measured[quarter] = results[index * len(SEEDS) : (index + 1) * len(SEEDS)]
        losses = [[losses_of(one) for one in measured[quarter]] for quarter in wanted]
        pairs = np.array(losses)  # (rates, seeds, 2)
        found = Oracle(
            quarters=wanted, best=pairs[..., 0], final=pairs[..., 1], untrained=untrained
        )
        place = int(found.levels(found.best).argmin())
        below, above = max(0, MARGIN - place), max(0, place - (len(wanted) - 1 - MARGIN))
        if not below and not above:
            return found
        wanted = list(range(wanted[0] - 2 * bool(below), wanted[-1] + 1 + 2 * bool(above)))


def _finite_or_inf(values: list) -> np.ndarray:
    array = np.array(values, dtype=float)  # null becomes NaN
    return np.where(np.isnan(array), math.inf, array)


def read_oracles() -> dict[str, Oracle]:
    """The grids in the file, by the task's name."""
    if not FILE.exists():
        return {}
    return {
        name: Oracle(
            quarters=one["quarters"],
            **{key: _finite_or_inf(one[key]) for key in ("best", "final", "untrained")},
        )
        for name, one in json.loads(FILE.read_text(encoding="utf-8")).items()
    }


def write_oracles(oracles: dict[str, Oracle]) -> None:
    """One line a task; six digits, and null for a training that diverged."""

    def rounded(values: np.ndarray) -> list:
        if values.ndim > 1:
            return [rounded(row) for row in values]
        return [float(f"{x:.6g}") if math.isfinite(x) else None for x in values.tolist()]

    lines = [
        f"{json.dumps(name)}: "
        + json.dumps(
            {
                "quarters": one.quarters,
                "untrained": rounded(one.untrained),
                "best": rounded(one.best),
                "final": rounded(one.final),
            }
        )
        for name, one in sorted(oracles.items())
    ]
    FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def main() -> None:
    """Train what is missing in the file."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", default="", help="part of a task's name")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    oracles = read_oracles()
    wanted = [one for one in TASKS if options.only in one.name and one.name not in oracles]
    with concurrent.futures.ProcessPoolExecutor(options.workers) as pool:
        running = {pool.submit(find_oracle, task): task for task in wanted}
        for done in concurrent.futures.as_completed(running):
            task = running[done]
            oracles[task.name] = found = done.result()
            write_oracles(oracles)
            best, rates = found.best_rate(), found.rates
            text = f"{task.name}: best {best:.2g} of {rates[0]:.2g} to {rates[-1]:.2g}"
            print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
