"""Peer (b): what an expert would write by hand with Optuna for a machine with two cores.

Two processes of one thread on one study in a journal file. The data lie in memory as tensors,
batches are index gathers, Adam is fused. The processes are forked, so that they share the imports
and the data.

    python benchmarks/peers/optuna_processes.py --model mlp-128 --trials 64
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
from pathlib import Path

import optuna
import torch
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from task import build_model, load_tensors, print_study, read_options
from torch.nn.functional import cross_entropy

WORKERS = 2
STUDY = "digits"
Tensors = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]


def open_storage(folder: str) -> JournalStorage:
    return JournalStorage(JournalFileBackend(str(Path(folder) / "journal.log")))


def train_trial(trial: optuna.Trial, tensors: Tensors, options: argparse.Namespace) -> float:
    """The best dev error of one trial's epochs."""
    train_x, train_y, dev_x, dev_y = tensors
    lr = trial.suggest_float("lr", 1e-4, 1e-1, log=True)
    weight_decay = trial.suggest_float("weight_decay", 1e-6, 1e-2, log=True)
    dropout = trial.suggest_float("dropout", 0.0, 0.5)
    torch.manual_seed(options.seed * 10_000 + trial.number)
    model = build_model(options.model, dropout)
    optimizer = torch.optim.Adam(model.parameters(), lr=lr, weight_decay=weight_decay, fused=True)
    best = 1.0
    for _ in range(options.epochs):
        model.train()
        for rows in torch.randperm(len(train_y)).split(64):
            optimizer.zero_grad()
            cross_entropy(model(train_x[rows]), train_y[rows]).backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            wrong = (model(dev_x).argmax(dim=1) != dev_y).sum().item()
        best = min(best, wrong / len(dev_y))
    return best


def work(
    number: int, trials: int, folder: str, tensors: Tensors, options: argparse.Namespace
) -> None:
    """One process: its share of the trials of the common study."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    # Seeds of their own, or both would draw the same points.
    sampler = optuna.samplers.RandomSampler(seed=options.seed * WORKERS + number)
    study = optuna.load_study(study_name=STUDY, storage=open_storage(folder), sampler=sampler)
    study.optimize(lambda trial: train_trial(trial, tensors, options), n_trials=trials)


def main() -> None:
    options = read_options("Optuna, two processes, data in memory, fused Adam.")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    torch.set_num_threads(1)
    tensors = load_tensors(options.model)
    fork = multiprocessing.get_context("fork")
    with tempfile.TemporaryDirectory() as folder:
        study = optuna.create_study(study_name=STUDY, storage=open_storage(folder))
        processes = []
        for number in range(WORKERS):
            trials = len(range(number, options.trials, WORKERS))
            arguments = (number, trials, folder, tensors, options)
            processes.append(fork.Process(target=work, args=arguments))
            processes[-1].start()
        for process in processes:
            process.join()
        print_study(study, processes=WORKERS)


if __name__ == "__main__":
    main()
