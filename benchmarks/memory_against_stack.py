"""Peak resident memory of a training against the size of its stack.

    python benchmarks/memory_against_stack.py
    python benchmarks/memory_against_stack.py --models mlp-32 --stacks 1,8     # for a look

Every size is trained in a process of its own, for two epochs, with one thread; the peak is what the
system has counted for it (`getrusage`), imports and data included. Size 1 is the looped engine.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
from pathlib import Path
from typing import Any

from tasks import TASKS, Task, tasks_named
from timing import add_json_option, last_line, note, report, timed

# Nothing here imports torch but the processes that are measured: on Linux a process inherits the
# peak of the one that starts it.

EPOCHS = 2  # the second has the best weights of the first to keep beside its own
RUSAGE_UNIT = 1 if sys.platform == "darwin" else 1024  # bytes of ru_maxrss's unit
MIB = 2**20


def train_here(task: Task, stack: int) -> None:
    """Train one stack in this process; print its peak in bytes and the parameters of a trial."""
    import torch
    from cohorts import make_cohort

    from dltune.training.loop import train_cohort

    torch.set_num_threads(1)
    trials, data = make_cohort(task, stack, epochs=EPOCHS)
    outcomes = [
        outcome
        for epoch in train_cohort(trials, data, folder=Path(), stacked=stack > 1)
        for outcome in epoch.ended
    ]
    assert len(outcomes) == stack
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * RUSAGE_UNIT
    print(json.dumps({"peak": peak, "parameters": outcomes[0].record.parameters}))


def rows_of(task: Task, stacks: list[int]) -> list[dict[str, Any]]:
    """A row for every size, from small to large."""
    rows: list[dict[str, Any]] = []
    smallest = 0.0
    for stack in stacks:
        _, printed, _ = timed([sys.executable, __file__, "--train", task.name, str(stack)])
        measured = last_line(printed)
        peak = measured["peak"] / MIB
        note(f"{task.title}, stack of {stack}: {peak:.0f} MiB")
        smallest = smallest or peak
        more = stack - stacks[0]
        each = (peak - smallest) / more if more else None
        parameters = 4 * measured["parameters"] / MIB  # float32
        rows.append(
            {
                "model": task.title,
                "stack": stack,
                "peak, MiB": peak,
                "each further trial, MiB": "" if each is None else each,
                "in sizes of its parameters": "" if each is None else each / parameters,
            }
        )
    return rows


def main() -> None:
    """Measure every size and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--models", default=",".join(TASKS), metavar="NAMES", help="default: %(default)s"
    )
    parser.add_argument(
        "--stacks", default="1,8,16,32,64,128,256", metavar="SIZES", help="default: %(default)s"
    )
    parser.add_argument("--train", nargs=2, metavar=("MODEL", "SIZE"), help=argparse.SUPPRESS)
    add_json_option(parser)
    options = parser.parse_args()
    if options.train:
        train_here(TASKS[options.train[0]], int(options.train[1]))
        return
    try:
        models, stacks = tasks_named(options.models), sorted(map(int, options.stacks.split(",")))
    except ValueError as error:
        parser.error(str(error))
    report(
        f"peak resident memory, {EPOCHS} epochs",
        [row for task in models for row in rows_of(task, stacks)],
        packages=("dltune", "torch"),
        json_file=options.json,
    )


if __name__ == "__main__":
    main()
