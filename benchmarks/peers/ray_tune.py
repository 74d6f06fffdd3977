"""Peer (c): Ray Tune as its guide for PyTorch shows it, two trials at a time on one CPU each.

Random search; the data sets lie in Ray's object store (`tune.with_parameters`); the trainable is a
function with a DataLoader and torch.optim.Adam that reports the dev error after every epoch.

    python benchmarks/peers/ray_tune.py --model mlp-128 --trials 8

As most users write it every trial has a process of its own; REUSE_ACTORS=1 in the environment keeps
the processes, as Ray's guide to speed advises.
"""

from __future__ import annotations

import os
import tempfile
import time
from typing import Any

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # read on import: no call to another machine

import ray
import torch
from ray import tune
from ray.tune.search.basic_variant import BasicVariantGenerator
from task import build_model, error_on, load_datasets, print_outcome, read_options, train_epoch
from torch.utils.data import DataLoader, TensorDataset

CPUS = 2
REUSE_ACTORS = os.environ.get("REUSE_ACTORS") == "1"


def train_digits(config: dict[str, Any], data: tuple[TensorDataset, TensorDataset]) -> None:
    """One trial; Ray gives it one thread, as it has one CPU."""
    started = time.time()
    train, dev = data
    model = build_model(config["model"], config["dropout"])
    optimizer = torch.optim.Adam(
        model.parameters(), lr=config["lr"], weight_decay=config["weight_decay"]
    )
    train_loader = DataLoader(train, batch_size=64, shuffle=True)
    dev_loader = DataLoader(dev, batch_size=256)
    for _ in range(config["epochs"]):
        train_epoch(model, train_loader, optimizer)
        tune.report({"dev_error": error_on(model, dev_loader), "started": started})


def main() -> None:
    options = read_options("Ray Tune, two trials at a time.")
    ray.init(num_cpus=CPUS, include_dashboard=False, logging_level="ERROR")
    space = {
        "lr": tune.loguniform(1e-4, 1e-1),
        "weight_decay": tune.loguniform(1e-6, 1e-2),
        "dropout": tune.uniform(0.0, 0.5),
        "model": options.model,
        "epochs": options.epochs,
    }
    trainable = tune.with_parameters(train_digits, data=load_datasets(options.model))
    with tempfile.TemporaryDirectory() as folder:
        tuner = tune.Tuner(
            tune.with_resources(trainable, {"cpu": 1}),
            param_space=space,
            tune_config=tune.TuneConfig(
                metric="dev_error",
                mode="min",
                num_samples=options.trials,
                # Ray's default is False: every trial starts a process, about three seconds.
                reuse_actors=REUSE_ACTORS,
                search_alg=BasicVariantGenerator(random_state=options.seed),
            ),
            run_config=tune.RunConfig(storage_path=folder, verbose=0),
        )
        results = tuner.fit()
        done = time.time()
        dev_errors = [float(result.metrics_dataframe["dev_error"].min()) for result in results]
        # Until its processes are up is Ray's start-up.
        ready = min(float(result.metrics["started"]) for result in results)
    print_outcome(warm=0, ready=ready, done=done, dev_errors=dev_errors)


if __name__ == "__main__":
    main()
