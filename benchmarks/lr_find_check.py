"""How much is lost by training at the learning rate that `dltune lr-find` suggests.

    python benchmarks/lr_find_check.py            every task; about four minutes on two cores
    python benchmarks/lr_find_check.py wine       the tasks whose name contains "wine"

For every task and optimizer: models are trained from scratch on a grid of four learning rates a
decade, with two seeds, and their best dev loss is averaged; then the sweep is run with five other
seeds. The regret of a rate is

    (dev loss at the rate - lowest dev loss on the grid) / (dev loss untrained - lowest dev loss)

with the dev loss between grid points interpolated linearly in the logarithm of the rate, and that
of a training that diverged taken as untrained. 0 is as good as the grid, 1 as bad as no training;
above 0.1 counts as a failure. The rule's two constants were chosen on the tasks marked "chosen on";
the others were only measured.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import sys
from pathlib import Path

import numpy as np
import torch

from dltune.data.device import DeviceData, to_device
from dltune.data.load import load_data
from dltune.lr import suggest as rule_module
from dltune.lr.curve import LrCurve
from dltune.lr.find import DEFAULT_RANGES, DEFAULT_STEPS
from dltune.lr.suggest import suggest
from dltune.lr.sweep import sweep
from dltune.recipe.files import parse_recipe
from dltune.recipe.schema import Config
from dltune.training.history import Trial, TrialState
from dltune.training.learner import Learner
from dltune.training.loop import train_cohort

GRID_SEEDS = (100, 101)
SWEEP_SEEDS = (0, 1, 2, 3, 4)
PER_DECADE = 4
GRID_DECADES = 5  # downwards from the sweep's highest rate
FAILURE = 0.1
SHARES, DIVISORS = (0.5, 0.25, 0.1), (3.0, 4.0, 6.0, 8.0, 10.0)
HERE = Path(".")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task:
    """One recipe but for the optimizer, and the optimizers to try it with."""

    name: str
    recipe: str
    optimizers: tuple[str, ...]
    chosen_on: bool = False


def task(name: str, source: str, model: str, train: str, *optimizers: str, chosen: bool) -> Task:
    """A task with its sections as inline tables."""
    recipe = (
        f'data = {{ source = "sklearn:{source}" }}\nmodel = {{ {model} }}\ntrain = {{ {train} }}\n'
        'objective = { metric = "dev_loss" }\n'
    )
    return Task(name=name, recipe=recipe, optimizers=optimizers, chosen_on=chosen)


BASIC = ("sgd", "momentum", "adam")
TANH = 'hidden = [16, 16, 16, 16, 16, 16, 16, 16], activation = "tanh"'
TASKS = (
    task("digits", "digits", "hidden = [128, 128]", "epochs = 10", *BASIC, chosen=True),
    task("digits deep tanh", "digits", TANH, "epochs = 15", *BASIC, chosen=True),
    task(
        "digits batch norm",
        "digits",
        "hidden = [64, 64], batch_norm = true",
        "epochs = 10",
        *BASIC,
        chosen=True,
    ),
    task(
        "digits linear, full batch",
        "digits",
        "hidden = []",
        'epochs = 60, batch_size = "full"',
        *BASIC,
        chosen=True,
    ),
    task(
        "breast cancer",
        "breast_cancer",
        "hidden = [32]",
        "epochs = 15, batch_size = 32",
        *BASIC,
        chosen=True,
    ),
    task("wine", "wine", "hidden = [32]", "epochs = 15, batch_size = 16", *BASIC, chosen=True),
    task(
        "diabetes",
        "diabetes",
        "hidden = [32, 32]",
        "epochs = 15, batch_size = 32",
        *BASIC,
        chosen=True,
    ),
    task(
        "digits gelu",
        "digits",
        'hidden = [64], activation = "gelu"',
        "epochs = 10, batch_size = 128",
        *("sgd", "nesterov", "adagrad", "rmsprop", "adamw"),
        chosen=False,
    ),
    task(
        "digits cnn",
        "digits",
        'name = "cnn", filters = [8], hidden = [32]',
        "epochs = 8",
        *("momentum", "adam"),
        chosen=False,
    ),
    task(
        "iris sigmoid",
        "iris",
        'hidden = [16, 16], activation = "sigmoid"',
        "epochs = 30, batch_size = 16",
        *("sgd", "momentum", "adamw", "rmsprop"),
        chosen=False,
    ),
    task(
        "diabetes, accumulated",
        "diabetes",
        "hidden = [16]",
        "epochs = 20, batch_size = 16, accumulate = 4",
        *("sgd", "nesterov", "adamax", "nadam"),
        chosen=False,
    ),
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """One task with one optimizer: what its grid and its sweeps measured."""

    task: Task
    optimizer: str
    exponents: np.ndarray  # (grid,) log10 of the rates
    regrets: np.ndarray  # (grid,)
    curves: list[LrCurve]
    default: float  # torch's learning rate

    def regret(self, rate: float) -> float:
        """Between the points of the grid."""
        return float(np.interp(math.log10(rate), self.exponents, self.regrets))


def config_of(which: Task, optimizer: str, lr: float | None = None) -> Config:
    """The task's config with this optimizer and, if given, this learning rate."""
    rate = "" if lr is None else f", lr = {lr!r}"
    text = f'{which.recipe}optim = {{ name = "{optimizer}"{rate} }}\n'
    return parse_recipe(text, folder=HERE).config()


def train_grid(
    which: Task, optimizer: str, data: DeviceData
) -> tuple[np.ndarray, np.ndarray]:  # (grid,) log10 rates, (grid,) regrets
    """Train at every rate of the grid, from several seeds."""
    top = math.log10(DEFAULT_RANGES[optimizer][1])
    exponents = np.linspace(top - GRID_DECADES, top, PER_DECADE * GRID_DECADES + 1)
    losses, untrained = [], []
    for seed in GRID_SEEDS:
        fresh = Learner(config_of(which, optimizer), seed=seed, data=data, folder=HERE)
        untrained.append(fresh.measure(data.dev).loss)
        trials = [
            Trial(number=number, config=config_of(which, optimizer, float(10.0**e)), seed=seed)
            for number, e in enumerate(exponents)
        ]
        training = train_cohort(trials, data, folder=HERE)
        while True:
            try:
                next(training)
            except StopIteration as end:
                results = [outcome.result for outcome in end.value]
                break
        losses.append([r.dev_loss if r.state is TrialState.COMPLETE else math.inf for r in results])
    start = float(np.mean(untrained))
    mean = np.minimum(np.array(losses, dtype=float), start).mean(axis=0)  # (seeds, grid) → (grid,)
    return exponents, (mean - mean.min()) / (start - mean.min())


def measure(which: Task, optimizer: str, data: DeviceData) -> Row:
    """Grid and sweeps of one task with one optimizer."""
    exponents, regrets = train_grid(which, optimizer, data)
    config = config_of(which, optimizer)
    low, high = DEFAULT_RANGES[optimizer]
    curves = [
        sweep(config, seed=seed, data=data, folder=HERE, low=low, high=high, steps=DEFAULT_STEPS)
        for seed in SWEEP_SEEDS
    ]
    return Row(
        task=which,
        optimizer=optimizer,
        exponents=exponents,
        regrets=regrets,
        curves=curves,
        default=config.optim.lr,
    )


def regrets_by_rule(rows: list[Row]) -> dict[str, list[float]]:
    """Of the suggestion, of other rules on the same smoothed curves, and of torch's default."""
    regrets: dict[str, list[float]] = {}
    for row in rows:
        for found in map(suggest, row.curves):
            if found.suggestion is None or found.minimum is None or found.steepest is None:
                continue
            rates = {
                "suggestion": found.suggestion,
                "steepest": found.steepest,
                "minimum / 10": found.minimum / 10.0,
                "torch default": row.default,
            }
            for rule, rate in rates.items():
                regrets.setdefault(rule, []).append(row.regret(rate))
    return regrets


def line(title: str, rule: str, regrets: list[float]) -> str:
    """Mean, median and largest regret, and the share of failures, as a row of a table."""
    values = np.array(regrets)
    return (
        f"| {title} | {rule} | {len(values)} | {values.mean():.3f} | {np.median(values):.3f} | "
        f"{(values > FAILURE).mean():.0%} | {values.max():.2f} |"
    )


def constants(rows: list[Row], title: str) -> list[str]:
    """The suggestion again, with other constants, on the same curves."""
    chosen = (rule_module.SLOPE_SHARE, rule_module.EDGE_DIVISOR)
    lines = []
    for share in SHARES:
        for divisor in DIVISORS:
            rule_module.SLOPE_SHARE, rule_module.EDGE_DIVISOR = share, divisor
            regrets = regrets_by_rule(rows)["suggestion"]
            lines.append(line(title, f"share {share:g}, edge / {divisor:g}", regrets))
    rule_module.SLOPE_SHARE, rule_module.EDGE_DIVISOR = chosen
    return lines


def report(rows: list[Row]) -> str:
    """Three Markdown tables: by task, by rule, and by the constants of the rule."""
    lines = ["| task | optimizer | best on grid | suggested | mean regret | refused |"]
    lines += ["|---|---|---|---|---|---|"]
    for row in rows:
        found = [suggest(curve) for curve in row.curves]
        rates = sorted(one.suggestion for one in found if one.suggestion is not None)
        refused = ", ".join(str(one.status) for one in found if one.suggestion is None) or "-"
        best = 10.0 ** row.exponents[int(np.argmin(row.regrets))]
        span = f"{rates[0]:.2g} to {rates[-1]:.2g}" if rates else "-"
        regret = f"{np.mean([row.regret(rate) for rate in rates]):.3f}" if rates else "-"
        name = row.task.name
        lines.append(f"| {name} | {row.optimizer} | {best:.2g} | {span} | {regret} | {refused} |")
    heads = ["| sweeps | mean | median | failures | largest |", "|---|---|---|---|---|"]
    groups = {
        "chosen on": [row for row in rows if row.task.chosen_on],
        "held out": [row for row in rows if not row.task.chosen_on],
    }
    lines += ["", f"| tasks | rule {heads[0]}", f"|---|---{heads[1]}"]
    for title, group in groups.items():
        lines += [line(title, rule, values) for rule, values in regrets_by_rule(group).items()]
    lines += ["", f"| tasks | constants {heads[0]}", f"|---|---{heads[1]}"]
    for title, group in groups.items():
        lines += constants(group, title) if group else []
    return "\n".join(lines)


def main() -> None:
    """Run the tasks that were asked for and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("name", nargs="?", default="", help="part of a task's name")
    wanted = [one for one in TASKS if parser.parse_args().name in one.name]
    torch.set_num_threads(1)  # these models are too small for two
    rows = []
    for which in wanted:
        config = config_of(which, which.optimizers[0])
        data = to_device(load_data(config.data, folder=HERE), torch.device("cpu"))
        for optimizer in which.optimizers:
            rows.append(measure(which, optimizer, data))
            print(f"{which.name}, {optimizer}", file=sys.stderr)
    print(report(rows))


if __name__ == "__main__":
    main()
