"""Peer (a): what a user would write by hand with Optuna, a DataLoader and torch.optim.Adam.

One process; torch's own number of threads.

    python benchmarks/peers/optuna_dataloader.py --model mlp-128 --trials 64
"""

from __future__ import annotations

import optuna
import torch
from task import build_model, error_on, load_datasets, print_study, read_options, train_epoch
from torch.utils.data import DataLoader


def main() -> None:
    options = read_options("Optuna, a DataLoader and torch.optim.Adam, one process.")
    train, dev = load_datasets(options.model)

    def objective(trial: optuna.Trial) -> float:
        lr = trial.suggest_float("lr", 1e-4, 1e-1, log=True)
        weight_decay = trial.suggest_float("weight_decay", 1e-6, 1e-2, log=True)
        dropout = trial.suggest_float("dropout", 0.0, 0.5)
        torch.manual_seed(options.seed * 10_000 + trial.number)
        model = build_model(options.model, dropout)
        optimizer = torch.optim.Adam(model.parameters(), lr=lr, weight_decay=weight_decay)
        train_loader = DataLoader(train, batch_size=64, shuffle=True)
        dev_loader = DataLoader(dev, batch_size=256)
        best = 1.0
        for _ in range(options.epochs):
            train_epoch(model, train_loader, optimizer)
            best = min(best, error_on(model, dev_loader))
        return best

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=options.seed))
    study.optimize(objective, n_trials=options.trials)
    print_study(study, processes=1)


if __name__ == "__main__":
    main()
