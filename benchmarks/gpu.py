"""Stacks of 1 to 1,024 trials against one trial after another, on a GPU.

    python benchmarks/gpu.py --json gpu.json
    python benchmarks/gpu.py --device cpu --models mlp-32 --stacks 1,4 --seconds 20    # for a look

Microseconds of one trial's update, in the looped engine, in stacks, and in stacks whose update is
replayed as one CUDA graph, which dltune itself does not do: the graph's column says what launching
kernels costs. Then how far the losses of a stack and of its trials one after another are apart on
this device. A size is left out, with the reason, where memory or time will not do; the whole takes
at most about `--seconds`, of which the measurements of stacks have a part for each model.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from pathlib import Path
from typing import Any

import torch
from cohorts import make_cohort
from engines import Cost, cost_of
from graphs import seconds_as_graph
from tasks import TASKS, Task, perceptron, tasks_named
from timing import add_json_option, markdown_table, note, report

from dltune.data.device import DeviceData, resolve_device
from dltune.errors import TrainingError, ran_out_of_memory
from dltune.lr.batch.memory import PeakMemory
from dltune.recipe.schema import TrainConfig
from dltune.recipe.users_code import in_a_line
from dltune.training.history import Trial
from dltune.training.learner import Learner
from dltune.training.loop import train_cohort
from dltune.training.memory import available_bytes
from dltune.training.probe import COPIES_OF_WEIGHTS
from dltune.training.stacked.learner import StackedLearner

ALL = TASKS | {"mlp-1024": perceptron(1024)}
MODELS = "mlp-32,mlp-128,mlp-512,mlp-1024,cnn"
STACKS = "1,4,16,64,256,1024"
SECONDS = 420  # under eight minutes with the start of CUDA and what a prediction misses

SHARE_OF_STACKS = 0.7  # of the seconds; the rest is for the losses and the graphs
SHARE_OF_CELL = 1 / 400  # for one measurement: some 40, and a graph each, are half of the seconds
LONGEST_CELL = 1 / 20  # what a size may take with the building of its models
MOST_OF_MEMORY = 0.8  # the activations need some, too
HOST_COPIES = 3  # of the weights while a stack is made: modules, parameters, the matrix

ENDLESS = 1_000_000  # epochs: as many as the clock wants
PRECISIONS = ("float32", "float64")
COMPARED_TRIALS, COMPARED_EPOCHS = 8, 2
# No dropout, which is drawn for a whole stack on a GPU, and a rate at which rounding does not grow.
COMPARABLE = ("model.dropout=0.0", "optim.lr=1e-3")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cell:
    """A stack that was measured.

    wall  seconds with the building of its models.
    peak  bytes on the device above those before; None on the CPU.
    """

    size: int
    cost: Cost
    wall: float
    peak: int | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Room:
    """What the next stack may take: seconds, and bytes on the device and on the host."""

    seconds: float
    device: float
    host: float


def reason_to_skip(size: int, row_bytes: int, *, before: Cell | None, room: Room) -> str:
    """Why a stack is left out; "" where it is not.

    row_bytes  of one trial's weights.
    before     the largest stack measured: time grows at most with the size.

    >>> room = Room(seconds=10.0, device=8e9, host=2e9)
    >>> reason_to_skip(1024, 10**6, before=None, room=room)
    'needs 8.2 GB, and 8.0 GB are free'
    """
    needs = [(COPIES_OF_WEIGHTS, room.device), (HOST_COPIES, room.host)]
    for copies, free in needs:
        if (wanted := copies * row_bytes * size) > free:
            return f"needs {wanted / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free"
    if before is not None and (expected := before.wall * size / before.size) > room.seconds:
        return f"would take up to {expected:.0f} s, and has {max(0.0, room.seconds):.0f} s"
    return ""


def measured(trials: list[Trial], data: DeviceData, *, seconds: float) -> Cell:
    """One stack by the clock."""
    peak, start = PeakMemory(data.device), time.perf_counter()
    learner = StackedLearner(trials, data, folder=Path())
    cost = cost_of(learner, seconds=seconds)
    wall = time.perf_counter() - start
    return Cell(size=len(trials), cost=cost, wall=wall, peak=peak.rise())


def rows_of(
    task: Task, stacks: list[int], device: torch.device, *, seconds: float, until: float
) -> tuple[list[dict[str, Any]], list[Cell]]:
    """A row for every size up to the first that is left out, and what was measured.

    seconds  of the whole benchmark.
    until    the time of the clock at which this model must be done.
    """
    cohort, data = make_cohort(task, max(stacks), epochs=ENDLESS, device=device)
    one = Learner(cohort[0].config, seed=cohort[0].seed, data=data, folder=Path())
    row_bytes = sum(weight.nbytes for weight in one.parameters)
    timed = SHARE_OF_CELL * seconds
    looped = cost_of(one, seconds=timed)
    del one
    note(f"{task.title}, looped: {1e6 * looped.update:.0f} us")
    rows: list[dict[str, Any]] = []
    cells: list[Cell] = []
    for size in stacks:
        room = Room(
            seconds=min(until - time.perf_counter(), LONGEST_CELL * seconds),
            device=MOST_OF_MEMORY * available_bytes(device),
            host=MOST_OF_MEMORY * available_bytes(torch.device("cpu")),
        )
        reason = reason_to_skip(size, row_bytes, before=cells[-1] if cells else None, room=room)
        try:
            if not reason:
                cells.append(measured(cohort[:size], data, seconds=timed))
        except Exception as error:
            if not ran_out_of_memory(error):
                raise
            reason = "out of memory"
        rows.append(_row(task, size, looped, None if reason else cells[-1], reason))
        result = reason or f"{1e6 * cells[-1].cost.update:.0f} us"
        note(f"{task.title}, stack of {size}: {result}")
        if reason:
            break
    return rows, cells


def _row(task: Task, size: int, looped: Cost, cell: Cell | None, reason: str) -> dict[str, Any]:
    row = {"model": task.title, "stack": size, "looped, us": 1e6 * looped.update}
    none = {"stack, us": reason, "times": "", "with measuring, times": "", "peak, MiB": ""}
    if cell is None:
        return {**row, **none, "CUDA graph, us": ""}
    return {
        **row,
        "stack, us": 1e6 * cell.cost.update,
        "times": looped.update / cell.cost.update,
        "with measuring, times": looped.measured / cell.cost.measured,
        "peak, MiB": "" if cell.peak is None else cell.peak / 2**20,
        "CUDA graph, us": "",  # comes last
    }


def add_graphs(
    task: Task, rows: list[dict[str, Any]], cells: list[Cell], device: torch.device, *, until: float
) -> None:
    """Fill in the graph's column, up to the first size that cannot be captured."""
    for row, cell in zip(rows, cells, strict=False):  # a row more, where a size was left out
        if device.type != "cuda":
            row["CUDA graph, us"] = "no: not CUDA"
            continue
        if time.perf_counter() + cell.wall > until:
            row["CUDA graph, us"] = "no: no time left"
            return
        trials, data = make_cohort(task, cell.size, epochs=ENDLESS, device=device)
        try:
            row["CUDA graph, us"] = 1e6 * seconds_as_graph(trials, data) / cell.size
        except Exception as error:  # whatever cannot be captured says so in its own way
            row["CUDA graph, us"] = f"no: {in_a_line(error)}"
            return
        finally:
            note(f"{task.title}, stack of {cell.size} as a graph: {row['CUDA graph, us']}")


def apart(task: Task, device: torch.device, precision: str) -> float | str:
    """The largest relative difference of the losses of trials in a stack and one after another."""
    overrides = [*COMPARABLE, f"train.precision={precision}"]
    try:
        resolve_device(TrainConfig(device=device.type, precision=precision))  # type: ignore[arg-type]
        trials, data = make_cohort(
            task, COMPARED_TRIALS, epochs=COMPARED_EPOCHS, device=device, overrides=overrides
        )
    except TrainingError as error:
        return f"no: {error.found}"
    losses = []
    for stacked in (False, True):
        epochs = train_cohort(trials, data, folder=Path(), stacked=stacked)
        records = [record for epoch in epochs for record in epoch.records]
        records.sort(key=lambda one: (one.trial, one.epoch))
        losses.append([loss for one in records for loss in (one.train_loss, one.dev_loss)])
    return max(abs(a - b) / abs(a) for a, b in zip(*losses, strict=True))


def words_for(device: torch.device) -> str:
    """The device and what drives it."""
    if device.type == "cuda":
        memory = torch.cuda.get_device_properties(device).total_memory / 2**30
        versions = f"CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}"
        return f"{torch.cuda.get_device_name(device)} ({memory:.0f} GiB), {versions}"
    if device.type == "mps":
        return "Apple's GPU (mps)"
    return f"the CPU, {torch.get_num_threads()} thread(s)"


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--device", choices=["cuda", "mps", "cpu"], help="default: the GPU that there is"
    )
    parser.add_argument("--models", default=MODELS, metavar="NAMES", help="default: %(default)s")
    parser.add_argument("--stacks", default=STACKS, metavar="SIZES", help="default: %(default)s")
    parser.add_argument(
        "--seconds", type=float, default=SECONDS, metavar="S", help="for all; default: %(default)s"
    )
    add_json_option(parser)
    options = parser.parse_args()
    asked = options.device
    try:
        options.models = tasks_named(options.models, ALL)
        options.stacks = sorted({*map(int, options.stacks.split(","))})
        options.device = resolve_device(TrainConfig(device=asked or "auto"))
    except ValueError as error:
        parser.error(str(error))
    except TrainingError as error:
        parser.exit(2, f"{parser.prog}: {error.found}\n")
    if asked is None and options.device.type == "cpu":
        found = f"torch {torch.__version__} finds no GPU here; for a look type --device cpu"
        parser.exit(2, f"{parser.prog}: {found}\n")
    return options


def main() -> None:
    """Measure every model and print the tables."""
    start, options = time.perf_counter(), read_options()
    device, seconds, tasks = options.device, options.seconds, options.models
    measurements = [
        rows_of(
            task,
            options.stacks,
            device,
            seconds=seconds,
            until=start + SHARE_OF_STACKS * seconds * number / len(tasks),
        )
        for number, task in enumerate(tasks, start=1)
    ]
    losses = []
    for task in tasks:
        differences = {precision: apart(task, device, precision) for precision in PRECISIONS}
        losses.append({"model": task.title, **differences})
        note(f"{task.title}, losses apart by {', '.join(map(str, differences.values()))}")
    # Last: a capture that fails may leave the device's random numbers where nothing else works.
    for task, (rows, cells) in zip(tasks, measurements, strict=True):
        add_graphs(task, rows, cells, device, until=start + seconds)
    report(
        f"microseconds of one trial's update in float32, on {words_for(device)}",
        [row for rows, _ in measurements for row in rows],
        packages=("dltune", "torch"),
        json_file=options.json,
        losses=losses,
        seconds=time.perf_counter() - start,
    )
    about = f"{COMPARED_TRIALS} trials, {COMPARED_EPOCHS} epochs"
    print(f"\nlargest relative difference of losses in a stack and one after another, {about}\n")
    print(markdown_table(losses))


if __name__ == "__main__":
    main()
