"""The peer: what a user would write by hand with Optuna, a DataLoader and torch.optim.Adam.

The same task as recipes/digits-mlp.toml: digits, MLP 64-128-128-10, batch 64, Adam, random over
lr and weight decay (log) and dropout; shares 0.6 / 0.2 / 0.2, z-scored by the train split; dev
error after every epoch.

    python benchmarks/peers/optuna_dataloader.py --trials 64 --epochs 10 --seed 0
"""

from __future__ import annotations

import argparse
import json

import digits_split
import numpy as np
import optuna
import torch
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def load_datasets() -> tuple[TensorDataset, TensorDataset]:
    splits = digits_split.load()
    scaler = StandardScaler().fit(splits["train"][0])

    def to_dataset(features: np.ndarray, targets: np.ndarray) -> TensorDataset:
        scaled = torch.tensor(scaler.transform(features), dtype=torch.float32)
        return TensorDataset(scaled, torch.tensor(targets))

    return to_dataset(*splits["train"]), to_dataset(*splits["dev"])


def error_on(model: nn.Module, loader: DataLoader) -> float:
    model.eval()
    wrong = total = 0
    with torch.no_grad():
        for features, targets in loader:
            wrong += (model(features).argmax(dim=1) != targets).sum().item()
            total += len(targets)
    return wrong / total


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--trials", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    train, dev = load_datasets()

    def objective(trial: optuna.Trial) -> float:
        lr = trial.suggest_float("lr", 1e-4, 1e-1, log=True)
        weight_decay = trial.suggest_float("weight_decay", 1e-6, 1e-2, log=True)
        dropout = trial.suggest_float("dropout", 0.0, 0.5)
        torch.manual_seed(options.seed * 10_000 + trial.number)
        model = nn.Sequential(
            nn.Linear(64, 128),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(128, 128),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(128, 10),
        )
        optimizer = torch.optim.Adam(model.parameters(), lr=lr, weight_decay=weight_decay)
        train_loader = DataLoader(train, batch_size=64, shuffle=True)
        dev_loader = DataLoader(dev, batch_size=256)
        best = 1.0
        for _ in range(options.epochs):
            model.train()
            for features, targets in train_loader:
                optimizer.zero_grad()
                loss = nn.functional.cross_entropy(model(features), targets)
                loss.backward()
                optimizer.step()
            best = min(best, error_on(model, dev_loader))
        return best

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=options.seed))
    study.optimize(objective, n_trials=options.trials)
    print(json.dumps({"best_dev_error": study.best_value, "trials": len(study.trials)}))


if __name__ == "__main__":
    main()
