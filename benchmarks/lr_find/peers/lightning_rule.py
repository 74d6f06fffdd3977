"""Lightning's `Tuner.lr_find` and its suggestion."""

from __future__ import annotations

import logging
import tempfile

import lightning
import torch
from lightning.pytorch.tuner import Tuner

from dltune.data.device import DeviceData
from dltune.recipe.schema import Config
from peers.plain import fresh_model, loss_of, plain_optimizer, train_loader
from peers.result import PeerResult, run_finder

RULES = ("lightning",)


class Module(lightning.LightningModule):
    """The task's model, loss and optimizer."""

    def __init__(self, config: Config, data: DeviceData, seed: int) -> None:
        super().__init__()
        self.config = config
        self.lr = config.optim.lr
        self.model = fresh_model(config, data, seed)
        self.loss = loss_of(data)

    def training_step(self, batch: list[torch.Tensor], index: int) -> torch.Tensor:
        features, targets = batch
        return self.loss(self.model(features), targets)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return plain_optimizer(self.config, self.parameters())


def lightning_rule(config: Config, data: DeviceData, seed: int) -> PeerResult:
    """The steepest fall of its sweep."""
    # Above its errors: "not enough points" is an answer here.
    logging.getLogger("lightning.pytorch").setLevel(logging.CRITICAL)

    def find() -> dict[str, float | None]:
        with tempfile.TemporaryDirectory() as folder:  # lr_find saves a checkpoint
            trainer = lightning.Trainer(
                accelerator="cpu",
                devices=1,
                max_epochs=-1,  # the sweep ends by itself; with the recipe's it might end early
                logger=False,
                enable_checkpointing=False,
                enable_progress_bar=False,
                enable_model_summary=False,
                default_root_dir=folder,
            )
            module = Module(config, data, seed)
            found = Tuner(trainer).lr_find(module, train_dataloaders=train_loader(config, data))
            return {RULES[0]: None if found is None else found.suggestion()}

    return run_finder(find, rules=RULES)
