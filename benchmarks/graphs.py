"""An update of a stack as one CUDA graph: what it would take if launching cost nothing.

For measuring only: a graph repeats the numbers that its capture has seen, so the optimizer's count
of updates, the rates and the batches stand still in it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import torch

from dltune.data.device import DeviceData
from dltune.training.history import Trial
from dltune.training.stacked.learner import StackedLearner

RATE = 1e-4  # small, as the same batch is trained on again and again
WARM_UPS = 3  # outside of the capture: what torch's notes on CUDA graphs ask for
REPLAYS, ROUNDS = 20, 5  # some hundred updates; the fastest round counts, noise only ever adds


def seconds_as_graph(trials: list[Trial], data: DeviceData) -> float:
    """Seconds of an update of the whole stack, on CUDA; raises what capturing it raises."""
    learner = StackedLearner(trials, data, folder=Path())
    with learner.running():
        update = repeated_update(learner)
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(WARM_UPS):
                update()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            update()
        return min(_seconds_of_replays(graph) for _ in range(ROUNDS)) / REPLAYS


def repeated_update(learner: StackedLearner) -> Callable[[], None]:
    """An update that can be done again, always on the same batches.

    On the CPU no more often than an epoch has updates: dropout's numbers are drawn for those.
    """
    batches = next(learner.update_batches())
    rates = learner.parameters.weights.new_full((len(learner.trials),), RATE)

    def update() -> None:
        learner.gradients(batches)
        learner.apply(rates, None)

    return update


def _seconds_of_replays(graph: torch.cuda.CUDAGraph) -> float:
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(REPLAYS):
        graph.replay()
    torch.cuda.synchronize()
    return time.perf_counter() - start
