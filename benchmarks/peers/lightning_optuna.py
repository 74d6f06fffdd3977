"""Peer (d): a LightningModule for each trial of an Optuna study, one process.

Logging, checkpoints, progress bar and model summary are off.

    python benchmarks/peers/lightning_optuna.py --model mlp-128 --trials 8
"""

from __future__ import annotations

import logging
import warnings

import lightning
import optuna
import torch
from task import build_model, load_datasets, print_study, read_options
from torch import nn
from torch.utils.data import DataLoader


class Digits(lightning.LightningModule):
    """A model, its optimizer, and the dev error of every epoch."""

    def __init__(self, model: str, *, lr: float, weight_decay: float, dropout: float) -> None:
        super().__init__()
        self.model = build_model(model, dropout)
        self.lr, self.weight_decay = lr, weight_decay
        self.best_dev_error = 1.0
        self.wrong = self.total = 0

    def training_step(self, batch: tuple[torch.Tensor, torch.Tensor], index: int) -> torch.Tensor:
        features, targets = batch
        return nn.functional.cross_entropy(self.model(features), targets)

    def on_validation_epoch_start(self) -> None:
        self.wrong = self.total = 0

    def validation_step(self, batch: tuple[torch.Tensor, torch.Tensor], index: int) -> None:
        features, targets = batch
        self.wrong += int((self.model(features).argmax(dim=1) != targets).sum())
        self.total += len(targets)

    def on_validation_epoch_end(self) -> None:
        self.best_dev_error = min(self.best_dev_error, self.wrong / self.total)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=self.lr, weight_decay=self.weight_decay)


def main() -> None:
    options = read_options("Lightning and Optuna, one process.")
    # Advice on workers for the loaders, which are slower for data in memory.
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")
    train, dev = load_datasets(options.model)

    def objective(trial: optuna.Trial) -> float:
        lr = trial.suggest_float("lr", 1e-4, 1e-1, log=True)
        weight_decay = trial.suggest_float("weight_decay", 1e-6, 1e-2, log=True)
        dropout = trial.suggest_float("dropout", 0.0, 0.5)
        torch.manual_seed(options.seed * 10_000 + trial.number)
        module = Digits(options.model, lr=lr, weight_decay=weight_decay, dropout=dropout)
        trainer = lightning.Trainer(
            accelerator="cpu",
            devices=1,
            max_epochs=options.epochs,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
        )
        train_loader = DataLoader(train, batch_size=64, shuffle=True)
        trainer.fit(module, train_loader, DataLoader(dev, batch_size=256))
        return module.best_dev_error

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=options.seed))
    study.optimize(objective, n_trials=options.trials)
    print_study(study, processes=1)


if __name__ == "__main__":
    main()
