"""How good `dltune lr-find` is, beside what one would take instead.

    python benchmarks/lr_find/run.py                        everything: an hour on two cores
    python benchmarks/lr_find/run.py --only wine            tasks whose name contains "wine"
    python benchmarks/lr_find/run.py --half reporting       one half of the tasks
    python benchmarks/lr_find/run.py --again                dltune's part anew, after a change of it
    python benchmarks/lr_find/run.py --cost                 the seconds: one task at a time
    python benchmarks/lr_find/run.py --tables               print the tables of what is there

Needs `oracle.json` (it lies here; `oracle.py` makes it anew). What is measured goes to
`results.json` and `costs.json`, a task at a time; tasks that are in there already are left alone.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import json
import multiprocessing
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from finders import Seeds, measure_cost, measure_dltune, measure_task
from oracle import read_oracles
from tables import all_tables
from tasks import FOLDER, TASKS, Task

sys.path.append(str(FOLDER.parent))  # after this folder, which has a tasks.py of its own
from timing import machine, versions

FILE, COSTS = FOLDER / "results.json", FOLDER / "costs.json"
PACKAGES = ("torch", "fastai", "lightning", "torch-lr-finder", "prodigyopt", "schedulefree")


def measured(task: Task) -> dict:
    """One task, on one thread: the other core measures another task."""
    torch.set_num_threads(1)
    return measure_task(task, Seeds())


def measured_again(task: Task) -> dict:
    """The same, dltune's own part alone."""
    torch.set_num_threads(1)
    return measure_dltune(task, Seeds())


def cost(task: Task) -> dict:
    """The seconds of one task, on one thread and with nothing beside it."""
    torch.set_num_threads(1)
    return measure_cost(task)


def read(file: Path) -> dict:
    """What a file has; nothing if it is not there."""
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}


def add(file: Path, tasks: Sequence[Task], measure: Callable[[Task], dict], workers: int) -> None:
    """Measure tasks, and write what came out beside what the file has of them; one line a task."""
    results = read(file)
    spawned = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(workers, mp_context=spawned) as pool:
        running = {pool.submit(measure, task): task for task in tasks}
        for done in concurrent.futures.as_completed(running):
            name = running[done].name
            results[name] = results.get(name, {}) | done.result()
            lines = [f"{json.dumps(key)}: {json.dumps(one)}" for key, one in results.items()]
            file.write_text("{\n" + ",\n".join(sorted(lines)) + "\n}\n", encoding="utf-8")
            print(name, file=sys.stderr, flush=True)


def main() -> None:
    """Measure what is missing, then print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", default="", help="part of a task's name")
    parser.add_argument("--half", choices=["tuning", "reporting"])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--again", action="store_true", help="measure dltune's part anew")
    parser.add_argument("--cost", action="store_true", help="measure the seconds")
    parser.add_argument("--tables", action="store_true", help="measure nothing")
    options = parser.parse_args()
    wanted = [
        task for task in TASKS if options.only in task.name and options.half in (None, task.half)
    ]
    if options.cost:
        add(COSTS, [task for task in wanted if task.name not in read(COSTS)], cost, workers=1)
    elif options.again:
        there = [task for task in wanted if task.name in read(FILE)]
        add(FILE, there, measured_again, options.workers)
    elif not options.tables:
        missing = [task for task in wanted if task.name not in read(FILE)]
        add(FILE, missing, measured, options.workers)
    results = read(FILE)
    there = [task for task in wanted if task.name in results]
    print(f"{machine()}; {versions(*PACKAGES)}\n")
    print(all_tables(there, results, read_oracles(), read(COSTS)))


if __name__ == "__main__":
    main()
