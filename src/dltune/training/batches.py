"""The order of the examples: which go into which update."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from dltune.recipe.schema import TrainConfig
from dltune.training.updates import update_slices


class BatchOrder:
    """A trial's own endless sequence of shuffled epochs.

    train     batch size and accumulation.
    examples  in the train split.
    seed      decides the order; two orders of one seed are the same on every device.
    """

    def __init__(
        self, train: TrainConfig, examples: int, *, seed: int, device: torch.device
    ) -> None:
        self._train = train
        self._examples = examples
        self._device = device
        # On the CPU whatever the device, so that the order is the same on all.
        self._generator = torch.Generator().manual_seed(seed)

    @property
    def state(self) -> torch.Tensor:
        """Where it stands between two epochs: the generator's state, uint8."""
        return self._generator.get_state()

    @state.setter
    def state(self, state: torch.Tensor) -> None:
        self._generator.set_state(state)

    def permutation(self) -> torch.Tensor:
        """The order of the next epoch: every example once, on the CPU, (examples,)."""
        return torch.randperm(self._examples, generator=self._generator)

    def epoch(self) -> Iterator[list[torch.Tensor]]:
        """The updates of one epoch: each is the batches to accumulate, as indices (batch,)."""
        order = self.permutation().to(self._device)
        for slices in update_slices(self._train, self._examples):
            yield [order[part] for part in slices]
