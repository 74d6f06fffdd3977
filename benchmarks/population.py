"""Population-based training beside halving with a cosine schedule, at equal trial-epochs.

    python benchmarks/population.py --json population.json    # ten minutes
    python benchmarks/population.py --tasks digits --seeds 2  # a look

Each search is a whole process. Both have the same ranges; PBT finds a schedule of its own, halving
is given half a cosine. Halving gets as many trials as make the epochs equal.

pbt, halving  dev error of the best trial, the mean over the seeds.
pbt - halving  the mean difference over the seeds, with its standard error.
epochs        that pbt has trained, as a share of what halving has.
test          the mean difference of their test errors likewise, by which nothing was chosen.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pruning import HOUSING, mean_and_error
from timing import add_json_option, note, report, timed

from dltune.runs.run import Run, load_run

EPOCHS, MEMBERS = 27, 32
# With rungs at 3 and 9 of 27 epochs, 122 trials train 3 x 122 + 6 x 40 + 18 x 13 epochs: those of
# 32 members.
TRIALS = 122


def _recipe(data: str, units: int) -> str:
    """A perceptron with two hidden layers on these data, and the ranges that may move."""
    return f"""\
[data]
{data}
[model]
hidden = [{units}, {units}]
dropout = {{ uniform = [0.0, 0.5] }}
[optim]
name = "adamw"
lr = {{ log = [1e-4, 1e-1] }}
weight_decay = {{ log = [1e-6, 1e-1] }}
[train]
epochs = {EPOCHS}
batch_size = 32
device = "cpu"
"""


TASKS = {
    "digits": _recipe('source = "sklearn:digits"', 64),
    "diabetes": _recipe('source = "sklearn:diabetes"', 64),
    "housing": _recipe(f'source = "{HOUSING}"\ntarget = "price"\nnormalize = "zscore"', 32),
}
WAYS = {
    "pbt": ("--strategy", "pbt", "--trials", str(MEMBERS)),
    "halving": (
        *("--prune", "halving", "--trials", str(TRIALS)),
        *("--set", "schedule.name=cosine"),
    ),
}


def search(folder: Path, recipe: Path, way: str, seed: int) -> Run:
    """A whole process; what it has come to."""
    name = f"{recipe.stem}-{way}-{seed}"
    words = [*WAYS[way], "--seed", str(seed), "--name", name, "--runs-dir", str(folder)]
    timed([sys.executable, "-m", "dltune", "search", str(recipe), *words], fine=(0, 1))
    return load_run(folder / name, histories="none")


def measure(task: str, seeds: int) -> Mapping[str, Any]:
    """Both ways on one task."""
    errors: dict[str, list[float]] = {way: [] for way in WAYS}
    tests: dict[str, list[float]] = {way: [] for way in WAYS}
    epochs = dict.fromkeys(WAYS, 0)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        recipe = folder / f"{task}.toml"
        recipe.write_text(TASKS[task], encoding="utf-8")
        for seed in range(seeds):
            for way in WAYS:
                run = search(folder, recipe, way, seed)
                assert run.best is not None
                errors[way].append(run.best.dev_error or 0.0)
                tests[way].append(run.best.test_error or 0.0)
                epochs[way] += sum(one.epochs for one in run.trials)
            note(f"{task}, seed {seed}: " + ", ".join(f"{w} {errors[w][-1]:.4f}" for w in WAYS))
    loss, error = _difference(errors)
    test, test_error = _difference(tests)
    return {
        "task": task,
        **{way: statistics.mean(found) for way, found in errors.items()},
        "pbt - halving": f"{loss:+.4f} +- {error:.4f}",
        "test": f"{test:+.4f} +- {test_error:.4f}",
        "epochs": epochs["pbt"] / epochs["halving"],
    }


def _difference(found: Mapping[str, list[float]]) -> tuple[float, float]:
    pairs = zip(found["pbt"], found["halving"], strict=True)
    return mean_and_error([one - other for one, other in pairs])


def main() -> None:
    """Run every task."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--tasks", default=",".join(TASKS))
    parser.add_argument("--seeds", type=int, default=10)
    add_json_option(parser)
    options = parser.parse_args()
    rows = [measure(task, options.seeds) for task in options.tasks.split(",")]
    report(
        f"PBT of {MEMBERS} beside halving of {TRIALS} with a cosine, {options.seeds} seeds",
        rows,
        packages=("dltune", "torch"),
        json_file=options.json,
    )


if __name__ == "__main__":
    main()
