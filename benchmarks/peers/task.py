"""The task in plain torch, as the peers share it: the data sets and the four models."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from digits_split import load_scaled
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

if TYPE_CHECKING:  # Ray's workers do without
    import optuna

UNITS = {"mlp-32": 32, "mlp-128": 128, "mlp-512": 512}
MODELS = (*UNITS, "cnn")


def build_model(name: str, dropout: float) -> nn.Sequential:
    """A fresh module of this name; `dropout` is the share of units or channels left out."""
    if name == "cnn":
        return nn.Sequential(
            nn.Conv2d(1, 16, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Dropout2d(dropout),
            nn.Conv2d(16, 32, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Dropout2d(dropout),
            nn.Flatten(),
            nn.Linear(32 * 2 * 2, 64),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(64, 10),
        )
    units = UNITS[name]
    return nn.Sequential(
        nn.Linear(64, units),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(units, units),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(units, 10),
    )


def load_tensors(model: str) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Train features and targets, dev features and targets, as the model wants them."""
    splits = load_scaled()
    train_x, train_y, dev_x, dev_y = map(torch.from_numpy, (*splits["train"], *splits["dev"]))
    if model == "cnn":
        return train_x, train_y, dev_x, dev_y
    return train_x.flatten(1), train_y, dev_x.flatten(1), dev_y


def load_datasets(model: str) -> tuple[TensorDataset, TensorDataset]:
    """The train and the dev split."""
    train_x, train_y, dev_x, dev_y = load_tensors(model)
    return TensorDataset(train_x, train_y), TensorDataset(dev_x, dev_y)


def train_epoch(model: nn.Module, loader: DataLoader, optimizer: torch.optim.Optimizer) -> None:
    """One pass over the loader's batches."""
    model.train()
    for features, targets in loader:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(features), targets)
        loss.backward()
        optimizer.step()


def error_on(model: nn.Module, loader: DataLoader) -> float:
    """Share of the loader's examples that are misclassified."""
    model.eval()
    wrong = total = 0
    with torch.no_grad():
        for features, targets in loader:
            wrong += (model(features).argmax(dim=1) != targets).sum().item()
            total += len(targets)
    return wrong / total


def read_options(description: str) -> argparse.Namespace:
    """What every peer is told: the model, how much to train, and the seed."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--model", choices=MODELS, default="mlp-128")
    parser.add_argument("--trials", type=int, default=8, help="default: 8, for a look")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0, help="of the search and of the weights")
    return parser.parse_args()


def print_outcome(
    *, warm: int, ready: float, done: float, dev_errors: Sequence[float | None]
) -> None:
    """The last line of a peer's output: what `search_against_peers.py` reads.

    warm, ready, done  the first `warm` trials, which libraries still import in, had ended at
                       `ready`, and the last one at `done`, in Unix seconds.
    dev_errors         the lowest of every trial's epochs, in order; None for a trial that failed.
    """
    outcome = {"warm": warm, "ready": ready, "done": done, "dev_errors": list(dev_errors)}
    print(json.dumps(outcome))


def print_study(study: optuna.Study, *, processes: int) -> None:
    """`print_outcome` of a study with so many processes: the first trial of each is warm-up."""
    ends = sorted(trial.datetime_complete.timestamp() for trial in study.trials)
    print_outcome(
        warm=min(processes, len(ends)),
        ready=ends[:processes][-1],
        done=ends[-1],
        dev_errors=[trial.value for trial in study.trials],
    )
