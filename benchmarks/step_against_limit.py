"""What a trial's update costs, against the machine's limit for the matrix products in it.

    python benchmarks/step_against_limit.py
    python benchmarks/step_against_limit.py --models mlp-32 --stacks 8 --rounds 1     # for a look

For every model: the products of one update are counted (`products.py`), each is timed by itself
with `torch.bmm` at its own shape, and their sum is the limit. Beside it stand the updates of the
looped engine (stack 1) and of stacks, in microseconds of one trial's update: the updates alone, and
with the train and dev error measured after every epoch, whose products then count too. The median
of the rounds; limit and engines are timed in turn.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path
from typing import Any

import torch
from cohorts import make_cohort
from engines import Cost, cost_of
from products import limit_seconds, products_of, seconds
from tasks import TASKS, Task, tasks_named
from timing import add_json_option, note, report

from dltune.data.device import DeviceData
from dltune.models.build import build_model
from dltune.training.history import Trial
from dltune.training.learner import Learner
from dltune.training.stacked.learner import StackedLearner
from dltune.training.updates import batch_examples, updates_per_epoch

ENDLESS = 1_000_000  # epochs: as many as the clock wants
TIMED_SECONDS = 0.5  # for one engine in one round: some ten epochs of the slowest


def limit_of(trial: Trial, data: DeviceData, stacks: list[int]) -> tuple[Cost, int]:
    """What the products alone take, and how many operations they are in an average update."""
    model = build_model(trial.config.model, inputs=data.inputs, outputs=data.outputs, folder=Path())
    train, dev = len(data.train), len(data.dev)
    batch = batch_examples(trial.config.train, train)
    updates = updates_per_epoch(trial.config.train, train)
    of_batch = products_of(model, data.inputs, batch=batch).update
    of_dev = products_of(model, data.inputs, batch=dev).forward
    share = train / updates / batch  # the last batch of an epoch is smaller
    update = share * limit_seconds(of_batch, stacks)
    measuring = (train + dev) / dev * limit_seconds(of_dev, stacks) / updates
    flops = share * sum(product.flops for product in of_batch)
    return Cost(update=update, measured=update + measuring), round(flops)


def learner_of(trials: list[Trial], data: DeviceData) -> Learner | StackedLearner:
    """In the looped engine one trial, in the stacked one more."""
    if len(trials) > 1:
        return StackedLearner(trials, data, folder=Path())
    return Learner(trials[0].config, seed=trials[0].seed, data=data, folder=Path())


def rows_of(task: Task, stacks: list[int], rounds: int) -> list[dict[str, Any]]:
    """A row for every stack size, 1 among them."""
    limits: list[Cost] = []
    costs: dict[int, list[Cost]] = {size: [] for size in stacks}
    cohort, data = make_cohort(task, max(stacks), epochs=ENDLESS)
    for number in range(rounds):
        seconds.cache_clear()  # a round measures the limit anew
        limit, flops = limit_of(cohort[0], data, stacks)
        limits.append(limit)
        for size in stacks:
            learner = learner_of(cohort[:size], data)
            costs[size].append(cost_of(learner, seconds=TIMED_SECONDS))
            note(f"round {number}, {task.title}, stack {size}: {1e6 * costs[size][-1].update:.0f}")
    limit_update = statistics.median(limit.update for limit in limits)
    return [
        {
            "model": task.title,
            "Mflop/update": flops / 1e6,
            "Gflop/s": flops / limit_update / 1e9,
            "limit, us": 1e6 * limit_update,
            "engine": "looped" if size == 1 else f"stack of {size}",
            "update, us": 1e6 * statistics.median(cost.update for cost in costs[size]),
            "times the limit": _ratio(costs[size], limits, "update"),
            "with measuring, us": 1e6 * statistics.median(cost.measured for cost in costs[size]),
            "times its limit": _ratio(costs[size], limits, "measured"),
        }
        for size in stacks
    ]


def _ratio(costs: list[Cost], limits: list[Cost], part: str) -> float:
    return statistics.median(
        getattr(cost, part) / getattr(limit, part)
        for cost, limit in zip(costs, limits, strict=True)
    )


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--models", default=",".join(TASKS), metavar="NAMES", help="default: %(default)s"
    )
    parser.add_argument(
        "--stacks", default="8,32,64", metavar="SIZES", help="beside 1; default: %(default)s"
    )
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="default: 3")
    parser.add_argument(
        "--threads", type=int, default=1, metavar="N", help="for all of it; default: 1, as a worker"
    )
    add_json_option(parser)
    options = parser.parse_args()
    try:
        options.models = tasks_named(options.models)
        options.stacks = sorted({1, *map(int, options.stacks.split(","))})
    except ValueError as error:
        parser.error(str(error))
    return options


def main() -> None:
    """Measure every model and print the table."""
    options = read_options()
    torch.set_num_threads(options.threads)
    rows = [row for task in options.models for row in rows_of(task, options.stacks, options.rounds)]
    report(
        f"microseconds of one trial's update, {options.threads} thread(s), {options.rounds} rounds",
        rows,
        packages=("dltune", "torch"),
        json_file=options.json,
    )


if __name__ == "__main__":
    main()
